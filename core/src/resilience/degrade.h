/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Degradation: a pool that runs short of slabs switches off what it can do without, step by step, and reports each
 * step.
 *
 *                from degrade_at on          from survive_at on         the heap serves
 *     healthy ----------------------> degraded ----------> survival ----------------------> fallback
 *        ^                               |  ^                 |  ^                              |
 *        +-------------------------------+  +-----------------+  +------------------------------+
 *            10 points below the threshold, for a second (of fallback: no heap slab left, and 90 % used)
 *
 *     degraded    latencies are not measured; audit records and stacks are stored for one slab in 16
 *     survival    reuse_delay does not delay, and delayed slabs go to the shards; the CPU caches are emptied once
 *     fallback    as survival
 *
 * A step may skip states in both directions. It is taken only on slow paths: on every `every`-th slow operation of a
 * CPU, on every allocation that found no slab, and by ticks (slb_degrade_update). Statistics and health show the state
 * that such a check would lead to. They note when the second began, but take no step and raise no event.
 *
 * `state` changes under the gate lock. Other readers load it relaxed: a reader that sees the old state acts once
 * more as before the change.
 */
#ifndef SLB_RESILIENCE_DEGRADE_H
#define SLB_RESILIENCE_DEGRADE_H

#include "observe/events.h"
#include "pool.h"

/* On the way back a threshold is lower by this many points, and the use must stay below it for this long. */
#define SLB_DEGRADE_POINTS 10u
#define SLB_DEGRADE_CALM_NS 1000000000u

/* When a pool is made. */
SLB_PRIVATE void slb_degrade_begin(struct slabby_allocator *pool, int64_t degrade_at, int64_t survive_at);

/* One of the two thresholds changes; at once healthy where both are off. */
SLB_PRIVATE slabby_status slb_degrade_change(struct slabby_allocator *pool, int32_t option, int64_t value,
                                             slabby_error *error);

/* Sets latency_tracking as requested; in effect when the pool is healthy. */
SLB_PRIVATE void slb_degrade_track(struct slabby_allocator *pool, uint32_t tracking);

/* Checks the use and takes the resulting step. Never waits: if the gate lock is taken, the next check takes the step.
 * Callers may be inside slb_enter; they deliver the events after they have left. */
SLB_PRIVATE SLB_COLD void slb_degrade_update(struct slabby_allocator *pool, struct slb_notification *out);

/* The same for callers outside. */
SLB_PRIVATE SLB_COLD void slb_degrade_poll(struct slabby_allocator *pool);

/* The state that the next check that takes steps would lead to. */
SLB_PRIVATE int32_t slb_degrade_check(struct slabby_allocator *pool);

/* The capacity has changed. Needs the gate lock. */
SLB_PRIVATE void slb_degrade_size(struct slabby_allocator *pool);

SLB_INLINE bool slb_degrade_is_on(struct slabby_allocator *pool) {
    return slb_unlikely(atomic_load_explicit(&pool->degrade.every, memory_order_relaxed) != 0);
}

/* Whether this slow operation must check. */
SLB_INLINE bool slb_degrade_is_due(struct slabby_allocator *pool, struct slb_stripe *stripe) {
    uint32_t every = atomic_load_explicit(&pool->degrade.every, memory_order_relaxed);
    return slb_unlikely(every != 0) &&
           atomic_load_explicit(&stripe->entered, memory_order_relaxed) % every == 0;
}

SLB_INLINE uint32_t slb_degrade_state(struct slabby_allocator *pool) {
    return slb_degrade_state_of(&pool->degrade);
}

/* Whether released slabs are delayed, in a pool with reuse_delay. */
SLB_INLINE bool slb_degrade_delays(struct slabby_allocator *pool) {
    return slb_degrade_state(pool) < SLABBY_DEGRADATION_STATE_SURVIVAL;
}

#endif
