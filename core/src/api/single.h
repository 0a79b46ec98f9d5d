/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A free slab of a pool without CPU caches, by the short path (tiers/single.h). */
#ifndef SLB_API_SINGLE_H
#define SLB_API_SINGLE_H

#include "observe/counters.h"
#include "observe/latency.h"
#include "os/os.h"
#include "tiers/single.h"

/* Ends the timing of a slab that is in hand and counted, if a timing has begun, and checks the peak. */
SLB_PRIVATE SLB_COLD void slb_single_note(struct slabby_allocator *pool, struct slb_stripe *stripe,
                                          uint64_t started);

/* Whether a pool takes the short path. relaxed: a hint, read again inside the sequence. */
SLB_INLINE bool slb_takes_singles(const struct slabby_allocator *pool) {
    return atomic_load_explicit(&pool->single_cpus, memory_order_relaxed) != 0;
}

/* Pools without caches take one id at a time, unless a random one of several is asked for. */
SLB_INLINE bool slb_searches_singly(struct slabby_allocator *pool) {
    return pool->cache_max == 0 &&
           (atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_SHUFFLE) == 0;
}

/* The search of the slow path in the tiers of such a pool, inside slb_enter. */
SLB_PRIVATE bool slb_search_singly(struct slabby_allocator *pool, struct slb_stripe *stripe,
                                   uint32_t *out_id);

/* Whether nothing requires an allocation to take the slow path. relaxed: an option that changes meanwhile, or a gate
 * that closes, acts on the next allocation; slb_single_enter checks for the two reasons that must act at once. */
SLB_INLINE bool slb_goes_singly(struct slabby_allocator *pool) {
    uint32_t acts = atomic_load_explicit(&pool->protect, memory_order_relaxed) &
                    (SLB_PROTECT_ON_ALLOCATE | SLB_PROTECT_SHUFFLE);
    return slb_likely((acts | atomic_load_explicit(&pool->gate.reasons, memory_order_relaxed) |
                       atomic_load_explicit(&pool->guard_rate, memory_order_relaxed) |
                       atomic_load_explicit(&pool->degrade.every, memory_order_relaxed)) == 0 &&
                      atomic_load_explicit(&pool->timing.limit_ticks, memory_order_relaxed) == 0 &&
                      atomic_load_explicit(&pool->timing.tracking, memory_order_relaxed) !=
                          SLABBY_LATENCY_TRACKING_ALL);
}

/* A free slab of this CPU's shard, counted, unless anything is unusual. This allocation may be the one that is
 * timed. */
SLB_INLINE bool slb_take_singly(struct slabby_allocator *pool, uint32_t *out_id) {
    struct slb_single single;
    uint64_t started = 0;
    if (slb_unlikely(!slb_goes_singly(pool) || !slb_single_enter(pool, &single)))
        return false;
    if (slb_unlikely(slb_timing_is_due(single.number)) &&
        atomic_load_explicit(&pool->timing.tracking, memory_order_relaxed) != SLABBY_LATENCY_TRACKING_OFF)
        started = slb_os_ticks();
    if (slb_unlikely(!slb_single_pop(pool, &single, out_id))) {
        slb_single_leave(&single);
        return false;
    }
    slb_single_leave_with_slab(&single);
    if (slb_unlikely(started != 0 || slb_peak_may_be_due(single.stripe, single.number)))
        slb_single_note(pool, single.stripe, started);
    return true;
}

#endif
