/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The end of a release: the id of a free slab goes where an allocation finds it. */
#include "api/give.h"

#include "observe/events.h"
#include "protect/reuse_delay.h"
#include "resilience/degrade.h"
#include "tiers/cpu_cache.h"
#include "tiers/depot.h"
#include "tiers/gate.h"
#include "tiers/heap.h"
#include "tiers/shards.h"
#include "tiers/single.h"

/* The cache is full: its oldest batch goes to the depot, or to the shards where no node is free. */
static bool flush_batch(struct slabby_allocator *pool, struct slb_stripe *stripe) {
    uint32_t ids[SLB_CACHE_IDS];
    slb_move_begin(stripe);
    bool taken = slb_cache_take_batch(pool, &pool->return_caches, ids, pool->batch);
    SLB_POINT(SLB_POINT_FLUSH);
    if (taken) {
        if (!slb_depot_push(pool, ids))
            for (uint32_t i = 0; i < pool->batch; i++)
                slb_shards_push(pool, slb_os_cpu(), ids[i]);
        slb_count(&stripe->cache_out, pool->batch);
    }
    slb_move_end(stripe);
    return taken;
}

/* Counts a release whose slab did not go through a CPU cache. */
static void count_release(struct slb_stripe *stripe, bool fast) {
    slb_count(&stripe->releases, 1);
    if (slb_unlikely(fast))
        slb_count(&stripe->fast_given, 1);
}

/* Before leaving: the pool may be gone afterwards. */
static SLB_COLD void check_and_leave(struct slabby_allocator *pool, struct slb_stripe *stripe) {
    struct slb_notification notification;
    slb_notification_none(&notification);
    slb_degrade_update(pool, &notification);
    slb_leave(stripe);
    slb_event_notify(&notification);
}

/* The look at the gate comes after the push, seq_cst on both sides: see resilience/waiters.h. */
SLB_PRIVATE void slb_leave_behind_release(struct slabby_allocator *pool, struct slb_stripe *stripe) {
    if (slb_degrade_is_due(pool, stripe) && !slb_in_flight_beside(1))
        check_and_leave(pool, stripe);
    else
        slb_leave(stripe);
    if (slb_unlikely(atomic_load_explicit(&pool->gate.reasons, memory_order_seq_cst) & SLB_GATE_POLL))
        slb_pool_run_deferred(pool);
}

static void give_inside_tiers(struct slabby_allocator *pool, struct slb_stripe *stripe, uint32_t id,
                              bool fast) {
    uint32_t gate = atomic_load_explicit(&pool->gate.reasons, memory_order_seq_cst);
    if (gate == 0 && pool->cache_max != 0 && flush_batch(pool, stripe) && slb_cache_give(pool, id, fast))
        return;
    slb_shards_push(pool, slb_os_cpu(), id);
    count_release(stripe, fast);
    if (gate != 0)
        slb_gate_note_free(pool, 1);
}

static SLB_COLD void give_inside(struct slabby_allocator *pool, uint32_t id, bool fast) {
    struct slb_stripe *stripe = slb_enter(pool);
    give_inside_tiers(pool, stripe, id, fast);
    slb_leave_behind_release(pool, stripe);
}

SLB_PRIVATE SLB_COLD void slb_give_heap(struct slabby_allocator *pool, uint32_t id, bool fast,
                                        bool reusable) {
    struct slb_stripe *stripe = slb_enter(pool);
    slb_heap_give(pool, id, reusable);
    slb_count(&pool->counts.heap_retired, !reusable);
    count_release(stripe, fast);
    slb_leave_behind_release(pool, stripe);
}

/* A slab that does not come back: its generation is spent, or it is in quarantine. */
SLB_PRIVATE SLB_COLD void slb_keep_out(struct slabby_allocator *pool, bool fast) {
    struct slb_stripe *stripe = slb_enter(pool);
    count_release(stripe, fast);
    slb_leave_behind_release(pool, stripe);
}

/* The slab takes the place of the slab that has waited longest. That one goes into this CPU's cache, which counts this
 * release. While slabs are short, the released slab goes to the shards at once. */
static SLB_COLD void give_delayed(struct slabby_allocator *pool, uint32_t id, bool fast) {
    struct slb_stripe *stripe = slb_enter(pool);
    struct slb_notification notification;
    slb_notification_none(&notification);
    struct slb_notification *later = !slb_in_flight_beside(1) ? &notification : NULL;
    uint32_t reasons = atomic_load_explicit(&pool->gate.reasons, memory_order_seq_cst), oldest;
    if ((reasons & SLB_GATE_HURRY) != 0 || !slb_degrade_delays(pool))
        give_inside_tiers(pool, stripe, id, fast);
    else if (!slb_delay_exchange(pool, id, &oldest) || !slb_delay_check(pool, oldest, later))
        count_release(stripe, fast);
    else if (!slb_cache_give(pool, oldest, fast))
        give_inside_tiers(pool, stripe, oldest, fast);
    slb_leave_behind_release(pool, stripe);
    slb_event_notify(&notification);
}

/* The slab that waited longest was written to, or this CPU's cache does not take it. */
static SLB_COLD void give_oldest(struct slabby_allocator *pool, uint32_t oldest) {
    struct slb_stripe *stripe = slb_enter(pool);
    struct slb_notification notification;
    slb_notification_none(&notification);
    struct slb_notification *later = !slb_in_flight_beside(1) ? &notification : NULL;
    if (!slb_delay_check(pool, oldest, later))
        count_release(stripe, false);
    else
        give_inside_tiers(pool, stripe, oldest, false);
    slb_leave_behind_release(pool, stripe);
    slb_event_notify(&notification);
}

static void run_deferred_if_due(struct slabby_allocator *pool) {
    if (slb_unlikely(atomic_load_explicit(&pool->gate.reasons, memory_order_seq_cst) & SLB_GATE_POLL))
        slb_pool_run_deferred(pool);
}

/* Counts a release after the step that made its slab free, if this thread is in no slow operation. Until the count, the
 * end of the pool sees the slab as in hand. The count is the last access to memory that is unmapped with the pool.
 * seq_cst: after the push and before the check of the gate, see resilience/waiters.h. */
static void count_last(struct slabby_allocator *pool, _Atomic uint64_t *releases) {
    SLB_POINT(SLB_POINT_RELEASED);
    atomic_fetch_add_explicit(releases, 1, memory_order_seq_cst);
    run_deferred_if_due(pool);
}

/* give_delayed without a slow operation: until the oldest slab is given back, this thread has a slab in hand, like a
 * release on the inline path. It also needs no check of the gate after the swap: a thread that closes the gate locks
 * the caches before it searches for slabs. So either the oldest slab entered the cache before, and then this slab was
 * in its ring already, or the cache refuses the oldest slab, and it takes the slow path. Degradation counts slow
 * operations, so releases come this way only while it is off. */
SLB_PRIVATE void slb_give_in_turn(struct slabby_allocator *pool, uint32_t id) {
    uint32_t oldest;
    bool open = atomic_load_explicit(&pool->gate.reasons, memory_order_relaxed) == 0; /* a hint */
    if (slb_unlikely(!open || slb_degrade_is_on(pool)))
        give_delayed(pool, id, false);
    else if (slb_unlikely(!slb_delay_exchange(pool, id, &oldest)))
        count_last(pool, &slb_stripe_here(pool)->releases);
    else if (slb_unlikely(!slb_delay_is_zero(pool, oldest) || !slb_cache_give(pool, oldest, false)))
        give_oldest(pool, oldest);
}

/* give_inside for a pool without caches. No slow operation is counted, as in slb_give_in_turn. The check of the gate is
 * seq_cst: after the push and the count, see tiers/single.h. */
SLB_PRIVATE bool slb_give_to_shard(struct slabby_allocator *pool, uint32_t id) {
    bool open = atomic_load_explicit(&pool->gate.reasons, memory_order_relaxed) == 0; /* a hint */
    if (slb_unlikely(!open || slb_degrade_is_on(pool)))
        return false;
    if (slb_likely(slb_single_give(pool, id))) {
        run_deferred_if_due(pool);
        return true;
    }
    uint32_t cpu = slb_os_cpu();
    _Atomic uint64_t *releases = &slb_stripe_here(pool)->releases;
    slb_shards_push(pool, cpu, id);
    count_last(pool, releases);
    return true;
}

/* Into the tiers, unprotected or behind every protection. */
SLB_PRIVATE void slb_give(struct slabby_allocator *pool, uint32_t id, bool fast) {
    if (slb_unlikely(id >= pool->reserved))
        slb_give_heap(pool, id, fast, true);
    else if (slb_unlikely(pool->delay.limit != 0))
        give_delayed(pool, id, fast);
    else if (slb_unlikely(!slb_cache_give(pool, id, fast)) &&
             (pool->cache_max != 0 || fast || !slb_give_to_shard(pool, id)))
        give_inside(pool, id, fast);
}

/* Puts the ids into this CPU's cache in one commit, if they fit; the commit counts them as released. */
SLB_PRIVATE void slb_give_run(struct slabby_allocator *pool, struct slb_stripe *stripe, const uint32_t *ids,
                              uint32_t count) {
    bool cached = pool->cache_max >= count;
    if (cached &&
        (slb_cache_give_batch(pool, &pool->return_caches, ids, count) ||
         (flush_batch(pool, stripe) && slb_cache_give_batch(pool, &pool->return_caches, ids, count))))
        return;
    for (uint32_t i = 0; i < count; i++)
        give_inside_tiers(pool, stripe, ids[i], false);
}
