/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Degradation: a pool that runs short saves on what it can do without, step by step, and says so.
 *
 *                from degrade_at on          from survive_at on         the heap serves
 *     healthy ----------------------> degraded ----------> survival ----------------------> fallback
 *        ^                               |  ^                 |  ^                              |
 *        +-------------------------------+  +-----------------+  +------------------------------+
 *            10 points below the threshold, for a second (of fallback: no heap slab left, and 90 % used)
 *
 *     degraded    no latencies are measured; of the audit trail and the stacks those of one slab in 16 are kept
 *     survival    reuse_delay waits for nothing, and what waited goes to the shards; the CPU caches are emptied once
 *     fallback    as survival
 *
 * A step may skip states either way. It is taken on slow paths alone, every `every` of them per CPU, on every
 * allocation that found no slab, and by ticks: see slb_degrade_update. Statistics and health show the state that such a
 * look would lead to; they note when the second began, but take no step and raise no event.
 *
 * `state` changes under the gate lock. Others read it relaxed: who reads the state before a change does once more what
 * he did before it.
 */
#ifndef SLB_RESILIENCE_DEGRADE_H
#define SLB_RESILIENCE_DEGRADE_H

#include "observe/events.h"
#include "pool.h"

/* How far the thresholds lie below for the way back, and for how long the use must. */
#define SLB_DEGRADE_POINTS 10u
#define SLB_DEGRADE_CALM_NS 1000000000u

/* At the making of a pool. */
SLB_PRIVATE void slb_degrade_begin(struct slabby_allocator *pool, int64_t degrade_at, int64_t survive_at);

/* One of the two thresholds changes; at once healthy where both are off. */
SLB_PRIVATE slabby_status slb_degrade_change(struct slabby_allocator *pool, int32_t option, int64_t value,
                                             slabby_error *error);

/* latency_tracking as somebody asks for it; in effect when the pool is healthy. */
SLB_PRIVATE void slb_degrade_track(struct slabby_allocator *pool, uint32_t tracking);

/* Looks at the use and takes the step that it warrants. Never waits: where the gate lock is taken the next look does
 * it. For callers inside slb_enter as well, who tell what there is to tell once they are outside. */
SLB_PRIVATE SLB_COLD void slb_degrade_update(struct slabby_allocator *pool, struct slb_notification *out);

/* The same for callers outside. */
SLB_PRIVATE SLB_COLD void slb_degrade_poll(struct slabby_allocator *pool);

/* The state as the next look that takes steps would leave it. */
SLB_PRIVATE int32_t slb_degrade_check(struct slabby_allocator *pool);

SLB_INLINE bool slb_degrade_is_on(struct slabby_allocator *pool) {
    return slb_unlikely(atomic_load_explicit(&pool->degrade.every, memory_order_relaxed) != 0);
}

/* Whether this slow operation is one of those that look. */
SLB_INLINE bool slb_degrade_is_due(struct slabby_allocator *pool, struct slb_stripe *stripe) {
    uint32_t every = atomic_load_explicit(&pool->degrade.every, memory_order_relaxed);
    return slb_unlikely(every != 0) &&
           atomic_load_explicit(&stripe->entered, memory_order_relaxed) % every == 0;
}

SLB_INLINE uint32_t slb_degrade_state(struct slabby_allocator *pool) {
    return slb_degrade_state_of(&pool->degrade);
}

/* How many released slabs wait before the oldest goes on. */
SLB_INLINE uint64_t slb_degrade_delay(struct slabby_allocator *pool) {
    return slb_degrade_state(pool) >= SLABBY_DEGRADATION_STATE_SURVIVAL ? 0 : pool->delay.limit;
}

#endif
