/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "allocate.h"

#include "observe/counters.h"
#include "observe/events.h"
#include "observe/latency.h"
#include "os/os.h"
#include "protect/protect.h"
#include "protect/reuse_delay.h"
#include "protect/shuffle.h"
#include "resilience/breaker.h"
#include "resilience/degrade.h"
#include "resilience/fork.h"
#include "tiers/depot.h"
#include "tiers/gate.h"
#include "tiers/heap.h"
#include "tiers/in_flight.h"
#include "tiers/shards.h"

#include <string.h>

/* Leave, wait for the work on the whole pool to end, and begin again. Not a status: never leaves this file. */
#define SLB_AGAIN 1

/* The sums behind peak_used touch every CPU's lines: only every so many refills of a CPU. */
#define PEAK_EVERY 16

/* ------------------------------------------------------------------------------------- the gate is open */

/* The first id goes to the caller, the rest into this CPU's cache, or to the shards where that is locked or full. */
static void keep_batch(struct slabby_allocator *pool, struct slb_stripe *stripe, const uint32_t *ids,
                       uint32_t count) {
    if (count == 0)
        return;
    slb_count(&stripe->cache_in, count);
    if (slb_cache_give_batch(pool, ids, count))
        return;
    for (uint32_t i = 0; i < count; i++)
        slb_shards_push(pool, slb_os_cpu(), ids[i]);
    slb_count(&stripe->cache_out, count);
}

/* Pools without caches take one id at a time, unless a random one of several is asked for. */
static uint32_t refill_size(struct slabby_allocator *pool) {
    if (pool->cache_max != 0)
        return pool->batch;
    return atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_SHUFFLE
               ? SLB_SHUFFLE_AMONG
               : 1;
}

static bool refill(struct slabby_allocator *pool, struct slb_stripe *stripe, uint32_t *out_id,
                   enum slb_tier *out_tier) {
    uint32_t ids[SLB_CACHE_IDS];
    uint32_t count = 0;
    slb_move_begin(stripe);
    if (slb_depot_pop(pool, ids)) {
        count = pool->batch;
        *out_tier = SLB_TIER_DEPOT;
    } else {
        count = slb_shards_pop_many(pool, slb_os_cpu(), ids, refill_size(pool));
        *out_tier = SLB_TIER_SHARD;
    }
    if (count == 0 && pool->delay.limit != 0)
        count = slb_delay_pop(pool, 0, ids, NULL);
    SLB_POINT(SLB_POINT_REFILL);
    if (count != 0) {
        slb_shuffle(pool, ids, count);
        *out_id = ids[0];
        keep_batch(pool, stripe, &ids[1], count - 1);
        slb_cache_fold(pool);
    }
    slb_move_end(stripe);
    if (slb_unlikely(atomic_load_explicit(&stripe->moves_finished, memory_order_relaxed) % PEAK_EVERY == 0))
        slb_note_peak(pool);
    return count != 0;
}

/* ----------------------------------------------------------------------------------- the gate is closed */

static bool split_depot_batch(struct slabby_allocator *pool, struct slb_stripe *stripe, uint32_t *out_id) {
    uint32_t ids[SLB_CACHE_IDS];
    slb_move_begin(stripe);
    bool found = slb_depot_pop(pool, ids);
    SLB_POINT(SLB_POINT_SPLIT);
    if (found) {
        *out_id = ids[0];
        for (uint32_t i = 1; i < pool->batch; i++)
            slb_shards_push(pool, slb_os_cpu(), ids[i]);
    }
    slb_move_end(stripe);
    return found;
}

static bool take_single(struct slabby_allocator *pool, struct slb_stripe *stripe, uint32_t *out_id,
                        enum slb_tier *out_tier) {
    if (slb_shards_pop(pool, slb_os_cpu(), out_id))
        *out_tier = SLB_TIER_SHARD;
    else if (split_depot_batch(pool, stripe, out_id))
        *out_tier = SLB_TIER_DEPOT;
    else if (pool->delay.limit != 0 && slb_delay_pop(pool, 0, out_id, NULL))
        *out_tier = SLB_TIER_SHARD;
    else
        return false;
    slb_gate_note_free(pool, -1);
    return true;
}

SLB_PRIVATE bool slb_take_free(struct slabby_allocator *pool, struct slb_stripe *stripe, uint32_t *out_id) {
    enum slb_tier tier;
    return take_single(pool, stripe, out_id, &tier);
}

/* ------------------------------------------------------------------------------------- the slow journey */

static slabby_status from_heap(struct slabby_allocator *pool, uint32_t *out_id, enum slb_tier *out_tier) {
    *out_tier = SLB_TIER_HEAP;
    return slb_heap_take(pool, out_id);
}

/* How an allocation looks for its slab. */
struct search {
    bool nested;      /* in a signal handler that interrupted its own thread inside the core */
    uint64_t started; /* ticks, for max_alloc_latency */
    uint64_t mark;    /* events from here on that this thread raised are told when it has left */
};

static struct search search_begin(struct slabby_allocator *pool) {
    struct search search = {.nested = slb_in_flight_depth != 0, .mark = slb_events_mark(pool)};
    if (slb_unlikely(atomic_load_explicit(&pool->latency_limit_ticks, memory_order_relaxed) != 0))
        search.started = slb_os_ticks();
    return search;
}

/* Inside slb_enter. Every round either finds a slab, proves that there is none, or follows a change that another
 * thread made. */
static slabby_status find_inside(struct slabby_allocator *pool, struct slb_stripe *stripe,
                                 const struct search *search, uint32_t *out_id, enum slb_tier *out_tier) {
    const bool nested = search->nested;
    bool drained = false, probe = false;
    for (uint32_t attempt = 0;; attempt++) {
        /* seq_cst: behind the increment of slb_enter, pairs with the reasons that slb_gate_close sets */
        uint32_t gate = atomic_load_explicit(&pool->gate, memory_order_seq_cst);
        if (slb_unlikely((gate & SLB_GATE_CLOSED) != 0 || !slb_pool_exists(pool)))
            return SLABBY_CLOSED;
        if (slb_unlikely(gate & (SLB_GATE_RESETTING | SLB_GATE_FORKED)))
            return nested ? SLABBY_BUSY : SLB_AGAIN;
        if (slb_unlikely((gate & SLB_GATE_BREAKER) != 0 && !probe && !(probe = slb_breaker_admits(pool))))
            return SLABBY_CIRCUIT_BREAKER_OPEN;
        if (slb_unlikely(gate & SLB_GATE_SERVE)) {
            slb_pool_run_deferred(pool); /* who came first is served first */
            gate = atomic_load_explicit(&pool->gate, memory_order_seq_cst);
        }
        bool may_take = (gate & ~(uint32_t)(SLB_GATE_SCARCE | SLB_GATE_PAUSE | SLB_GATE_BREAKER)) == 0;
        if (may_take && (gate == 0 ? refill(pool, stripe, out_id, out_tier)
                                   : take_single(pool, stripe, out_id, out_tier))) {
            if (drained)
                *out_tier = SLB_TIER_GATE;
            return SLABBY_OK;
        }
        if (slb_unlikely(slb_latency_is_spent(pool, search->started)))
            return SLABBY_LATENCY_EXCEEDED;
        switch (slb_gate_prove_empty(pool, nested)) {
        case SLB_PROOF_EMPTY:
            slb_note_peak(pool);
            return from_heap(pool, out_id, out_tier);
        case SLB_PROOF_DRAINED:
            drained = true;
            break;
        case SLB_PROOF_MOVED:
            slb_os_wait_a_little(attempt);
            break;
        case SLB_PROOF_WAIT:
            return nested ? SLABBY_BUSY : SLB_AGAIN;
        }
    }
}

/* Maintenance and rebuilding wait for everybody inside to leave, so allocations wait outside. */
static void wait_for_maintenance(struct slabby_allocator *pool) {
    slb_fork_check(pool);
    for (uint32_t attempt = 0; atomic_load_explicit(&pool->gate, memory_order_acquire) & SLB_GATE_RESETTING;
         attempt++)
        slb_os_wait_a_little(attempt);
}

/* What is due once an operation has left that may have brought slabs back. seq_cst: behind the pushes, see
 * resilience/waiters.h. */
static void after_leaving(struct slabby_allocator *pool) {
    if (slb_unlikely(atomic_load_explicit(&pool->gate, memory_order_seq_cst) & SLB_GATE_POLL))
        slb_pool_run_deferred(pool);
}

/* A probe that succeeds closes the breaker. */
static void note_success(struct slabby_allocator *pool) {
    if (slb_unlikely(atomic_load_explicit(&pool->breaker.state, memory_order_relaxed) ==
                     SLABBY_BREAKER_STATE_HALF_OPEN))
        slb_breaker_succeeded(pool);
}

static void notify_search(struct slabby_allocator *pool, const struct slb_found *found,
                          slabby_status status) {
    bool refused = status == SLABBY_OUT_OF_MEMORY;
    bool heap = status == SLABBY_OK && found->tier == SLB_TIER_HEAP;
    slb_events_deliver(pool, found->mark);
    if (status == SLABBY_OK)
        note_success(pool);
    if (slb_unlikely(found->degrade_due || ((refused || heap) && slb_degrade_is_on(pool))))
        slb_degrade_poll(pool);
    if (slb_unlikely(refused || found->tier == SLB_TIER_HEAP))
        slb_event_exhausted(pool, refused);
}

SLB_PRIVATE SLB_COLD void slb_search_notify(struct slabby_allocator *pool, const struct slb_found *found) {
    notify_search(pool, found, SLABBY_OK);
}

SLB_PRIVATE SLB_COLD slabby_status slb_find(struct slabby_allocator *pool, uint32_t *out_id, bool fast,
                                            struct slb_found *out_found) {
    slabby_status status;
    if (!slb_pool_exists(pool))
        return slb_pool_closed_status(pool);
    struct search search = search_begin(pool);
    out_found->mark = search.mark;
    for (;;) {
        struct slb_stripe *stripe = slb_enter(pool);
        status = find_inside(pool, stripe, &search, out_id, &out_found->tier);
        if (status == SLABBY_OK) {
            slb_count(&stripe->hits[out_found->tier], 1);
            slb_count(&stripe->fast_taken, fast);
        }
        out_found->degrade_due = slb_degrade_is_due(pool, stripe);
        slb_leave(stripe);
        if (status != SLB_AGAIN)
            break;
        wait_for_maintenance(pool);
    }
    after_leaving(pool);
    if (status != SLABBY_OK)
        notify_search(pool, out_found, status);
    return status;
}

/* ------------------------------------------------------------------------------------------------ batches */

struct batch_hits {
    uint64_t by_tier[SLB_TIER_COUNT];
};

/* Gives back what an unfinished batch had taken: uncounted on the way in, so uncounted on the way out. Nobody may
 * conclude from the tiers that the pool is empty meanwhile, but nobody can: the caller still asks for these slabs. */
static void undo_batch(struct slabby_allocator *pool, struct slb_stripe *stripe, const slabby_ref *ids,
                       uint64_t count, const struct batch_hits *hits) {
    for (uint64_t i = 0; i < count; i++) {
        uint32_t id = (uint32_t)ids[i];
        if (id >= pool->reserved) {
            slb_heap_give(pool, id, true);
            continue;
        }
        slb_shards_push(pool, slb_os_cpu(), id);
        slb_gate_note_free(pool, 1);
    }
    slb_count(&stripe->undone, hits->by_tier[SLB_TIER_CACHE]);
}

static slabby_status collect_batch(struct slabby_allocator *pool, struct slb_stripe *stripe,
                                   const struct search *search, slabby_ref *out_ids, uint64_t count,
                                   struct batch_hits *hits) {
    for (uint64_t i = 0; i < count; i++) {
        uint32_t id;
        enum slb_tier tier = SLB_TIER_CACHE;
        slabby_status status = SLABBY_OK;
        if (!slb_cache_take(pool, &id, false))
            status = find_inside(pool, stripe, search, &id, &tier);
        if (status != SLABBY_OK) {
            undo_batch(pool, stripe, out_ids, i, hits);
            return status;
        }
        hits->by_tier[tier]++;
        out_ids[i] = id;
    }
    for (uint32_t tier = SLB_TIER_CACHE + 1; tier < SLB_TIER_COUNT; tier++)
        slb_count(&stripe->hits[tier], hits->by_tier[tier]);
    return SLABBY_OK;
}

/* Ids first, in the caller's array; references only once all are there. */
SLB_PRIVATE slabby_status slb_allocate_batch(struct slabby_allocator *pool, slabby_ref *out_refs,
                                             void **out_datas, uint64_t count) {
    slabby_status status;
    if (!slb_pool_exists(pool))
        return slb_pool_closed_status(pool);
    bool heap = atomic_load_explicit(&pool->heap.enabled, memory_order_relaxed) != 0;
    if (count == 0 || count > (uint64_t)slb_capacity(pool) + (heap ? pool->heap.limit : 0))
        return SLABBY_INVALID_BATCH_SIZE;
    struct search search = search_begin(pool);
    struct batch_hits hits;
    struct slb_timing timing = {0, 0};
    slb_timing_slow(pool, &timing);
    for (;;) {
        memset(&hits, 0, sizeof hits);
        struct slb_stripe *stripe = slb_enter(pool);
        status = collect_batch(pool, stripe, &search, out_refs, count, &hits);
        slb_leave(stripe);
        if (status != SLB_AGAIN)
            break;
        wait_for_maintenance(pool);
    }
    after_leaving(pool);
    struct slb_found found = {
        .tier = hits.by_tier[SLB_TIER_HEAP] != 0 ? SLB_TIER_HEAP : SLB_TIER_CACHE,
        .degrade_due = slb_degrade_is_on(pool),
        .mark = search.mark,
    };
    if (status != SLABBY_OK) {
        notify_search(pool, &found, status);
        return status;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint32_t id = (uint32_t)out_refs[i];
        uint64_t word =
            slb_issue_slowly(pool, id, SLABBY_SLAB_STATE_LIVE, SLABBY_AUDIT_OPERATION_ALLOCATE_BATCH);
        out_refs[i] = slb_ref_make(pool, slb_word_generation(pool->id_bits, word), id);
        if (out_datas != NULL)
            out_datas[i] = slb_slab_data(pool, id);
    }
    /* what the CPU caches served is in their samples' weight already */
    timing.weight = count - hits.by_tier[SLB_TIER_CACHE];
    slb_timing_end(pool, &timing, count);
    slb_timing_catch_up(pool);
    slb_search_notify(pool, &found);
    return SLABBY_OK;
}
