/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tiers/gate.h"

#include "os/os.h"
#include "os/trace.h"
#include "tiers/delay_queue.h"
#include "tiers/cpu_cache.h"
#include "tiers/in_flight.h"
#include "tiers/lease.h"
#include "tiers/shards.h"
#include "tiers/stack.h"

/* ---------------------------------------------------------------------------------------------- the lock */

/* Held briefly except during maintenance. Not a pthread mutex: a signal handler may try it. */
SLB_PRIVATE bool slb_gate_try_lock(struct slabby_allocator *pool) {
    slb_in_flight_enter();
    uint64_t unlocked = 0;
    /* acquire pairs with the release of slb_gate_unlock */
    if (atomic_compare_exchange_strong_explicit(&pool->gate.lock, &unlocked, slb_os_thread_mark(),
                                                memory_order_acquire, memory_order_relaxed)) {
        SLB_LOCKED();
        return true;
    }
    slb_in_flight_leave();
    return false;
}

SLB_PRIVATE void slb_gate_lock(struct slabby_allocator *pool) {
    for (uint32_t attempt = 0; !slb_gate_try_lock(pool); attempt++)
        slb_os_wait_a_little(attempt);
}

/* relaxed: only this thread stores its number */
SLB_PRIVATE bool slb_gate_is_locked_here(struct slabby_allocator *pool) {
    return atomic_load_explicit(&pool->gate.lock, memory_order_relaxed) == slb_os_thread_mark();
}

SLB_PRIVATE void slb_gate_release_lock(struct slabby_allocator *pool) {
    /* seq_cst: before the load of deferred_pending; its release half pairs with slb_gate_try_lock */
    atomic_store_explicit(&pool->gate.lock, 0, memory_order_seq_cst);
    slb_in_flight_leave();
}

/* A thread that failed to get the lock in slb_pool_run_deferred relies on the holder to run the deferred work. */
SLB_PRIVATE void slb_gate_unlock(struct slabby_allocator *pool) {
    slb_gate_release_lock(pool);
    if (slb_unlikely(atomic_load_explicit(&pool->gate.deferred_pending, memory_order_seq_cst) != 0 ||
                     (atomic_load_explicit(&pool->gate.reasons, memory_order_seq_cst) & SLB_GATE_SERVE) != 0))
        slb_pool_run_deferred(pool);
}

/* ---------------------------------------------------------------------------------------------- new CPUs */

/* Under the lock and with the gate open no header is locked and none will be until the lock is given back, so the new
 * caches may be unlocked, which zero is. The stripes come first, then the caches: a sum that sees what a cache holds
 * sees its stripe. */
SLB_PRIVATE SLB_COLD void slb_cpu_join(struct slabby_allocator *pool, uint32_t cpu) {
    if (!slb_gate_try_lock(pool))
        return;
    if (cpu >= slb_used_cpus(pool) && slb_pool_exists(pool) && atomic_load(&pool->gate.reasons) == 0) {
        uint32_t limit = cpu < SLB_WORD_REVOKING ? cpu + 1 : SLB_WORD_REVOKING;
        atomic_store_explicit(&pool->used_cpus, cpu + 1, memory_order_seq_cst);
        if (pool->rseq_cpus != 0)
            atomic_store(&pool->rseq_cpus, limit);
        if (atomic_load(&pool->portable_cpus) != 0)
            atomic_store(&pool->portable_cpus, cpu + 1);
        if (pool->takes_singles)
            atomic_store(&pool->single_cpus, cpu + 1);
        if (atomic_load(&pool->hot_cpus) != 0) /* 0: protections act */
            atomic_store(&pool->hot_cpus, limit);
        if (atomic_load(&pool->release_cpus) != 0)
            atomic_store(&pool->release_cpus, limit);
    }
    slb_gate_unlock(pool);
}

/* -------------------------------------------------------------------------------------- closing and opening */

/* acquire: the ids below the header */
static void lock_header(struct slb_cpu_cache *cache) {
    uint64_t before = atomic_fetch_or_explicit(&cache->header, SLB_CACHE_LOCKED, memory_order_acq_rel);
    cache->locked_length = slb_header_length(before);
}

static bool is_locked(struct slb_cpu_cache *cache) {
    return slb_header_length(atomic_load_explicit(&cache->header, memory_order_acquire)) == SLB_CACHE_LOCKED;
}

/* A change may be committed over the lock as long as a sequence or section that loaded the old header runs: after a
 * fence none does, and a header that is still locked stays so. */
static void lock_headers(struct slabby_allocator *pool) {
    uint32_t cpu;
    for (uint32_t i = 0; i < slb_cache_stacks(pool); i++)
        lock_header(slb_cache_stack(pool, i, &cpu));
    slb_leases_lock(pool);
    for (bool overwritten = true; overwritten;) {
        overwritten = false;
        slb_cache_fence(pool);
        for (uint32_t i = 0; i < slb_cache_stacks(pool); i++) {
            struct slb_cpu_cache *cache = slb_cache_stack(pool, i, &cpu);
            if (!is_locked(cache)) {
                lock_header(cache);
                overwritten = true;
            }
        }
    }
}

static uint64_t drain_caches(struct slabby_allocator *pool) {
    uint64_t moved = 0;
    struct slb_stripe *stripe = slb_stripe_here(pool);
    lock_headers(pool);
    slb_move_begin(stripe);
    SLB_POINT(SLB_POINT_GATE_DRAIN);
    for (uint32_t stack = 0; stack < slb_cache_stacks(pool); stack++) {
        uint32_t cpu;
        struct slb_cpu_cache *cache = slb_cache_stack(pool, stack, &cpu);
        for (uint32_t i = 0; i < cache->locked_length; i++)
            slb_shards_push(pool, cpu, cache->ids[i]);
        slb_count(&stripe->cache_out, cache->locked_length);
        moved += cache->locked_length;
    }
    moved += slb_leases_drain(pool, stripe);
    slb_move_end(stripe);
    return moved;
}

#define RECOUNT_US 1000u

static void recount_later(struct slabby_allocator *pool, uint64_t now) {
    atomic_store_explicit(&pool->gate.recount_after, now + RECOUNT_US * slb_os_ticks_per_us(),
                          memory_order_relaxed);
}

/* Reasons for which the short path without CPU caches (single.h) is closed; its counters are then read after a
 * fence. */
#define STOPS_SINGLES (SLB_GATE_RESETTING | SLB_GATE_CLOSED)

/* Call this after the reason is set, and before any counter is read: see single.h. */
static void stop_singles(struct slabby_allocator *pool) {
    atomic_store_explicit(&pool->single_cpus, 0, memory_order_seq_cst);
    slb_os_fence_rseq();
}

/* release: after the work for which the path was closed */
static void allow_singles(struct slabby_allocator *pool) {
    bool stopped = (atomic_load_explicit(&pool->gate.reasons, memory_order_relaxed) & STOPS_SINGLES) != 0;
    if (pool->takes_singles && !stopped && slb_pool_exists(pool))
        atomic_store_explicit(&pool->single_cpus, slb_used_cpus(pool), memory_order_release);
}

SLB_PRIVATE uint64_t slb_gate_close(struct slabby_allocator *pool, uint32_t reason) {
    uint64_t moved = 0;
    /* seq_cst: pairs with the load of the gate behind slb_enter */
    uint32_t before = atomic_fetch_or_explicit(&pool->gate.reasons, reason, memory_order_seq_cst);
    SLB_POINT(SLB_POINT_GATE_CLOSING);
    if (pool->takes_singles && (reason & ~before & STOPS_SINGLES) != 0)
        stop_singles(pool);
    if (before == 0) {
        atomic_store_explicit(&pool->gate.scarce_free, 0, memory_order_relaxed);
        uint64_t began = slb_os_ticks();
        recount_later(pool, began);
        if (pool->cache_max != 0)
            moved = drain_caches(pool);
        uint64_t lasted = slb_os_ticks() - began;
        atomic_store_explicit(&pool->counts.last_drain_ticks, lasted, memory_order_relaxed);
        SLB_TRACE(drain, pool, moved, lasted);
        atomic_fetch_add_explicit(&pool->gate.scarce_free, (int64_t)moved, memory_order_relaxed);
        atomic_fetch_add_explicit(&pool->gate.epoch, 1, memory_order_seq_cst);
    }
    return moved;
}

SLB_PRIVATE void slb_gate_open(struct slabby_allocator *pool, uint32_t reason) {
    uint32_t before = atomic_load_explicit(&pool->gate.reasons, memory_order_relaxed);
    if ((before & reason) == 0)
        return;
    if ((before & ~reason) != 0) {
        atomic_fetch_and_explicit(&pool->gate.reasons, ~reason, memory_order_seq_cst);
        allow_singles(pool);
        return;
    }
    atomic_fetch_add_explicit(&pool->gate.epoch, 1, memory_order_seq_cst);
    SLB_POINT(SLB_POINT_GATE_OPENING);
    atomic_fetch_and_explicit(&pool->gate.reasons, ~reason, memory_order_seq_cst);
    for (uint32_t i = 0; i < slb_cache_stacks(pool); i++) {
        uint32_t cpu;
        _Atomic uint64_t *header = &slb_cache_stack(pool, i, &cpu)->header;
        uint64_t locked = atomic_load_explicit(header, memory_order_relaxed);
        /* release: the caches were emptied before */
        atomic_store_explicit(header, locked & ~(uint64_t)SLB_CACHE_LOCKED, memory_order_release);
    }
    slb_leases_open(pool);
    allow_singles(pool);
}

/* Enough free slabs to fill every cache twice. But not more free slabs than a pool at 99 % use has, because the gate
 * must open again there, and not more than half of a small pool. */
SLB_PRIVATE void slb_gate_size(struct slabby_allocator *pool, uint32_t capacity) {
    uint64_t enough = 2ull * pool->batch * pool->cpus;
    uint64_t share = capacity / 128 > 16 ? capacity / 128 : 16;
    if (enough > share)
        enough = share;
    if (enough > capacity / 2)
        enough = capacity / 2;
    atomic_store_explicit(&pool->gate.scarce_enough, enough < 1 ? 1 : (int64_t)enough, memory_order_relaxed);
}

SLB_PRIVATE void slb_gate_note_free(struct slabby_allocator *pool, int64_t change) {
    int64_t free_now =
        atomic_fetch_add_explicit(&pool->gate.scarce_free, change, memory_order_relaxed) + change;
    if (free_now < atomic_load_explicit(&pool->gate.scarce_enough, memory_order_relaxed) ||
        (atomic_load_explicit(&pool->gate.reasons, memory_order_relaxed) & SLB_GATE_SCARCE) == 0)
        return;
    if (!slb_gate_try_lock(pool))
        return; /* the next slow operation tries again */
    if (atomic_load_explicit(&pool->gate.scarce_free, memory_order_relaxed) >=
        atomic_load_explicit(&pool->gate.scarce_enough, memory_order_relaxed))
        slb_gate_open(pool, SLB_GATE_SCARCE);
    slb_gate_unlock(pool);
}

/* relaxed: a hint about when, and a lost race counts twice */
SLB_PRIVATE bool slb_gate_recount_is_due(struct slabby_allocator *pool) {
    if (slb_likely((atomic_load_explicit(&pool->gate.reasons, memory_order_relaxed) & SLB_GATE_SCARCE) == 0))
        return false;
    uint64_t now = slb_os_ticks();
    if (now < atomic_load_explicit(&pool->gate.recount_after, memory_order_relaxed))
        return false;
    recount_later(pool, now);
    return true;
}

SLB_PRIVATE void slb_gate_recounted(struct slabby_allocator *pool, uint64_t free_now) {
    int64_t known = atomic_load_explicit(&pool->gate.scarce_free, memory_order_relaxed);
    if ((int64_t)free_now > known)
        slb_gate_note_free(pool, (int64_t)free_now - known);
}

/* ------------------------------------------------------------------------------------ the proof of emptiness */

struct collect {
    uint64_t finished, epoch, depot, delayed, started;
    uint64_t shards; /* sum of the heads' tags: each only grows, so equal sums mean equal heads */
    bool empty;
};

static void collect_tiers(struct slabby_allocator *pool, struct collect *out) {
    out->finished = out->started = out->shards = 0;
    for (uint32_t i = 0; i < slb_used_cpus(pool); i++)
        out->finished += atomic_load_explicit(&pool->stripes[i].moves_finished, memory_order_seq_cst);
    out->epoch = atomic_load_explicit(&pool->gate.epoch, memory_order_seq_cst);
    out->depot = atomic_load_explicit(&pool->depot.heads->full, memory_order_seq_cst);
    out->empty = slb_stack_is_empty(out->depot);
    out->delayed = 0;
    if (pool->delay.limit != 0)
        out->empty &= slb_delay_is_empty(pool, &out->delayed);
    for (uint32_t shard = 0; shard <= pool->shard_mask; shard++) {
        uint64_t head = atomic_load_explicit(&pool->shards[shard].head, memory_order_seq_cst);
        out->empty &= slb_stack_is_empty(head) && slb_shard_unused(pool, shard) == 0;
        out->shards += head >> 32;
    }
    for (uint32_t i = 0; i < slb_used_cpus(pool); i++)
        out->started += atomic_load_explicit(&pool->stripes[i].moves_started, memory_order_seq_cst);
}

static bool collects_prove(const struct collect *first, const struct collect *second) {
    return first->empty && second->empty && (first->epoch & 1) == 1 && first->epoch == second->epoch &&
           first->started == first->finished && second->started == second->finished &&
           first->started == second->started && first->depot == second->depot &&
           first->shards == second->shards && first->delayed == second->delayed;
}

/* Closes the gate for scarcity unless it is closed for that already. False where the lock is held by maintenance,
 * which waits for this very operation to leave. */
static bool close_for_scarcity(struct slabby_allocator *pool, uint64_t *out_moved) {
    *out_moved = 0;
    uint32_t gate = atomic_load_explicit(&pool->gate.reasons, memory_order_seq_cst);
    if ((gate & SLB_GATE_SCARCE) != 0 &&
        (atomic_load_explicit(&pool->gate.epoch, memory_order_seq_cst) & 1) == 1)
        return true;
    for (uint32_t attempt = 0; !slb_gate_try_lock(pool); attempt++) {
        if (atomic_load_explicit(&pool->gate.reasons, memory_order_relaxed) & SLB_GATE_RESETTING)
            return false;
        slb_os_wait_a_little(attempt);
    }
    *out_moved = slb_gate_close(pool, SLB_GATE_SCARCE);
    slb_gate_unlock(pool);
    return true;
}

SLB_PRIVATE enum slb_proof slb_gate_prove_empty(struct slabby_allocator *pool, bool nested) {
    struct collect first, second;
    uint64_t moved;
    if (nested || !close_for_scarcity(pool, &moved))
        return SLB_PROOF_WAIT;
    if (moved != 0)
        return SLB_PROOF_DRAINED;
    collect_tiers(pool, &first);
    SLB_POINT(SLB_POINT_PROOF);
    collect_tiers(pool, &second);
    return collects_prove(&first, &second) ? SLB_PROOF_EMPTY : SLB_PROOF_MOVED;
}

SLB_PRIVATE void slb_gate_forget(struct slabby_allocator *pool) {
    atomic_store(&pool->gate.reasons, 0);
    atomic_store(&pool->gate.epoch, 0);
    atomic_store(&pool->gate.scarce_free, 0);
}

SLB_PRIVATE SLB_COLD bool slb_gate_move(struct slabby_allocator *pool,
                                        bool (*work)(struct slabby_allocator *pool,
                                                     struct slb_stripe *stripe)) {
    bool done = false;
    SLB_HOLD(pool);
    if (!slb_pool_exists(pool))
        return false;
    struct slb_stripe *stripe = slb_enter(pool);
    /* seq_cst: behind the increment of slb_enter, pairs with the reasons that slb_gate_close sets */
    if (atomic_load_explicit(&pool->gate.reasons, memory_order_seq_cst) == 0 && slb_pool_exists(pool)) {
        slb_move_begin(stripe);
        done = work(pool, stripe);
        slb_move_end(stripe);
    }
    slb_leave(stripe);
    /* seq_cst: behind the pushes where the gate closed meanwhile, see resilience/waiters.h */
    if (slb_unlikely(atomic_load_explicit(&pool->gate.reasons, memory_order_seq_cst) & SLB_GATE_POLL))
        slb_pool_run_deferred(pool);
    return done;
}
