/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "resilience/fork.h"

#include "tiers/used_slabs.h"
#include "observe/audit.h"
#include "observe/audit_rings.h"
#include "observe/counters.h"
#include "observe/event_watch.h"
#include "observe/events.h"
#include "os/os.h"
#include "protect/guard_slots.h"
#include "protect/reuse_delay.h"
#include "protect/secure.h"
#include "protect/slab_commit.h"
#include "protect/switches.h"
#include "protect/tools.h"
#include "resilience/ticker.h"
#include "resilience/resize.h"
#include "resilience/grants.h"
#include "tiers/cpu_cache.h"
#include "tiers/delay_queue.h"
#include "tiers/gate.h"
#include "tiers/heap.h"
#include "tiers/hold.h"
#include "tiers/in_flight.h"
#include "tiers/lease.h"
#include "tiers/section.h"
#include "tiers/shards.h"
#include "tiers/stack.h"

/* ------------------------------------------------------------------------------------------ at the fork */

static void lock_every_header(struct slabby_allocator *pool) {
    uint32_t cpu;
    for (uint32_t i = 0; i < slb_cache_stacks(pool); i++)
        atomic_fetch_or(&slb_cache_stack(pool, i, &cpu)->header, SLB_CACHE_LOCKED);
}

/* Operations that vanished threads were inside have ended. This is not left to the rebuilding: other threads of the
 * child may be inside one by then. */
static void end_operations(struct slabby_allocator *pool) {
    for (uint32_t cpu = 0; cpu < slb_used_cpus(pool); cpu++) {
        struct slb_stripe *stripe = &pool->stripes[cpu];
        atomic_store(&stripe->left, atomic_load(&stripe->entered) + atomic_load(&stripe->single_entered) -
                                        atomic_load(&stripe->single_taken));
        atomic_store(&stripe->moves_finished, atomic_load(&stripe->moves_started));
    }
    slb_count_end_samples(pool);
}

/* Locks that vanished threads hold are free in the child, and each call that changes the pool takes a slow path. */
static void mark_pool(struct slabby_allocator *pool) {
    slb_word_sequences_forbid(pool); /* no section changes words either: the headers are locked */
    end_operations(pool);
    atomic_store(&pool->gate.lock, 0);
    atomic_store(&pool->health.lock, 0);
    atomic_fetch_or(&pool->gate.reasons, SLB_GATE_FORKED);
    lock_every_header(pool);
    slb_leases_after_fork(pool);
    slb_audit_after_fork(pool);
}

static void in_child(void) {
    slb_in_flight_depth = 0;
    slb_os_forget_thread();
    slb_audit_forget_thread();
    slb_sections_after_fork();
    slb_watch_after_fork();
    for (uint32_t entry = 1; entry < SLB_POOL_ENTRIES; entry++)
        if (slb_pool_exists(&slb_pool_table[entry].pool))
            mark_pool(&slb_pool_table[entry].pool);
    slb_ticker_after_fork(true);
    slb_pool_table_unlock();
}

static void before_fork(void) {
    slb_pool_table_lock();
    slb_ticker_before_fork();
}

static void in_parent(void) {
    slb_ticker_after_fork(false);
    slb_pool_table_unlock();
}

/* Without handlers a child could find its pools locked by threads that do not exist there. */
SLB_PRIVATE bool slb_fork_prepare_process(void) {
    return slb_os_at_fork(before_fork, in_parent, in_child);
}

/* ------------------------------------------------------------------------------------------- rebuilding */

/* Slabs that wait for reuse do not wait on in the child: what was written to them is found now. */
static void check_delayed(struct slabby_allocator *pool) {
    uint64_t cells = pool->delay.limit == 0 ? 0 : slb_delay_cells(pool);
    uint32_t id;
    for (uint64_t n = 0; n < cells; n++)
        if (slb_delay_at(pool, n, &id) &&
            slb_word_state(atomic_load(&pool->words[id])) == SLABBY_SLAB_STATE_FREE)
            (void)slb_delay_check(pool, id, NULL);
}

static void clear_lists(struct slabby_allocator *pool) {
    for (uint32_t shard = 0; shard <= pool->shard_mask; shard++)
        atomic_store(&pool->shards[shard].head, 0);
    atomic_store(&pool->depot.heads->full, 0);
    atomic_store(&pool->depot.heads->empty, 0);
    atomic_store(&pool->depot.heads->used, 0);
    atomic_store(&pool->heap.head, 0);
    slb_delay_forget(pool);
    slb_resize_forget(pool);
    pool->first_waiter = pool->last_waiter = NULL;
    atomic_store(&pool->waiters, 0);
}

/* Finds by its bytes a slab whose releasing thread vanished between freeing and zeroing it. */
static void zero_leftovers(struct slabby_allocator *pool, uint32_t id) {
    const unsigned char *data = slb_slab_data(pool, id);
    uint64_t offset = 0;
    slb_tools_open(pool, id);
    while (offset < pool->slab_size && data[offset] == 0)
        offset++;
    if (offset < pool->slab_size)
        slb_secure_zero_slab(pool, id);
    slb_tools_shut(pool, id);
}

static void regain(struct slabby_allocator *pool, uint32_t id, bool secure) {
    if (id >= pool->reserved) {
        void *_Atomic *table = atomic_load(&pool->heap.table);
        if (table != NULL && atomic_load(&table[id - pool->reserved]) != NULL)
            slb_heap_give(pool, id,
                          true); /* its allocation had not returned yet, or its release was not complete */
        else
            slb_stack_push(&pool->heap.head, pool->next, id);
        return;
    }
    if (secure)
        zero_leftovers(pool, id);
    slb_shards_push(pool, id, id);
}

static void set_state(struct slabby_allocator *pool, uint32_t id, uint32_t state) {
    uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_acquire);
    atomic_store_explicit(&pool->words[id],
                          slb_word_make(pool->id_bits, slb_word_generation(pool->id_bits, word), state),
                          memory_order_release);
}

static void hold_granted(void *pool, const struct slb_grant *grant) {
    set_state(pool, grant->id, SLABBY_SLAB_STATE_LIVE);
}

static void let_granted_wait(void *pool, const struct slb_grant *grant) {
    set_state(pool, grant->id, SLABBY_SLAB_STATE_FREE);
}

/* What the words say. A vanished thread may have been between a word and the count that belongs to it. */
struct census {
    uint64_t out, heap, quarantined, retired, heap_retired;
};

static void count_word(struct census *census, uint64_t word, bool heap) {
    uint32_t state = slb_word_state(word);
    census->out += slb_word_is_out(word);
    census->heap += heap && slb_word_is_out(word);
    census->quarantined += state == SLABBY_SLAB_STATE_QUARANTINED;
    *(heap ? &census->heap_retired : &census->retired) += state == SLABBY_SLAB_STATE_RETIRED;
}

static struct census regain_free_slabs(struct slabby_allocator *pool) {
    uint32_t protect = atomic_load(&pool->protect);
    bool secure = (protect & (SLB_PROTECT_SECURE | SLB_PROTECT_DELAY)) != 0;
    uint32_t limit = atomic_load(&pool->id_limit);
    struct census census = {0};
    for (uint32_t id = slb_next_used(pool, 0); id < limit; id = slb_next_used(pool, id + 1)) {
        uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_acquire);
        count_word(&census, word, id >= pool->reserved);
        if (slb_word_state(word) == SLABBY_SLAB_STATE_FREE)
            regain(pool, id, secure);
        else if (slb_word_state(word) == SLABBY_SLAB_STATE_CLAIMED)
            slb_resize_regain(pool, id);
    }
    return census;
}

static void balance_counters(struct slabby_allocator *pool, const struct census *census) {
    lock_every_header(pool);
    slb_count_balance(pool, census->out);
    atomic_store(&pool->heap.live, census->heap);
    atomic_store(&pool->corruption.quarantined, census->quarantined);
    atomic_store(&pool->counts.retired, census->retired);
    atomic_store(&pool->counts.heap_retired, census->heap_retired);
}

/* Reasons of vanished threads go; closed and the breaker stay. The caches are locked and empty: the epoch is odd. */
static void reopen(struct slabby_allocator *pool) {
    uint64_t epoch = atomic_load(&pool->gate.epoch);
    atomic_store(&pool->gate.epoch, epoch | 1);
    atomic_store(&pool->gate.scarce_free, 0);
    uint32_t stale = SLB_GATE_SCARCE | SLB_GATE_RESETTING | SLB_GATE_PAUSE | SLB_GATE_SERVE;
    atomic_fetch_and(&pool->gate.reasons, ~stale);
    slb_gate_open(pool, SLB_GATE_FORKED);
}

/* Under the gate lock. */
static void rebuild_locked(struct slabby_allocator *pool) {
    check_delayed(pool);
    clear_lists(pool);
    slb_listeners_renew(pool);
    bool dressed = slb_guards_renew(pool);
    /* words of granted slabs say free until they are taken */
    (void)slb_grants_visit(pool, hold_granted, pool);
    struct census census = regain_free_slabs(pool);
    (void)slb_grants_visit(pool, let_granted_wait, pool);
    balance_counters(pool, &census);
    int64_t lock = slb_option(&pool->options, SLABBY_OPTION_LOCK_MEMORY);
    if (lock != SLABBY_LOCK_MEMORY_OFF && !slb_slabs_lock(pool))
        dressed = false;
    if (lock == SLABBY_LOCK_MEMORY_REQUIRED && !dressed)
        slb_gate_close(pool, SLB_GATE_CLOSED); /* a child inherits no memory locks, which were required */
    slb_word_sequences_allow(pool);
    slb_protections_set(pool, atomic_load(&pool->protect));
    reopen(pool);
    slb_resize_run_deferred(pool); /* steps left by a vanished thread, or due from releases */
}

static bool rebuilding_is_due(struct slabby_allocator *pool) {
    return slb_pool_exists(pool) && (atomic_load(&pool->gate.reasons) & SLB_GATE_FORKED) != 0;
}

struct rebuilding {
    struct slabby_allocator *pool;
    bool done;
};

static void try_rebuild(void *argument) {
    struct rebuilding *rebuilding = argument;
    if (!slb_gate_try_lock(rebuilding->pool))
        return;
    rebuilding->done = rebuilding_is_due(rebuilding->pool);
    if (rebuilding->done)
        rebuild_locked(rebuilding->pool);
    slb_gate_release_lock(rebuilding->pool);
}

/* A thread may wait for the lock here, even one that is inside an operation: while a rebuilding is due, the holder of
 * the lock waits for no operation. */
SLB_PRIVATE SLB_COLD void slb_fork_rebuild(struct slabby_allocator *pool) {
    SLB_HOLD(pool);
    if (!rebuilding_is_due(pool) || slb_gate_is_locked_here(pool))
        return;
    struct rebuilding rebuilding = {.pool = pool};
    uint64_t mark = slb_events_mark(pool);
    for (uint32_t tries = 0; !rebuilding.done && rebuilding_is_due(pool); tries++) {
        slb_os_without_signals(try_rebuild, &rebuilding);
        if (!rebuilding.done)
            slb_os_wait_a_little(tries);
    }
    if (!rebuilding.done)
        return;
    slb_ticker_revive(pool);
    slb_events_deliver(pool, mark);
    slb_pool_run_deferred(pool);
}
