/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Allocations that are timed, and on which nothing else acts: a hit in the CPU cache without the search of
 * slb_take_slab. */
#ifndef SLB_API_TIMED_H
#define SLB_API_TIMED_H

#include "api/issue.h"
#include "api/refill.h"
#include "observe/counters.h"
#include "observe/latency.h"
#include "protect/guard_slots.h"
#include "tiers/cpu_cache.h"
#include "tiers/in_flight.h"
#include "tiers/word_bias.h"

/* The cache of `cpu` has served an allocation that began at `started`: times it, if its turn has come, and answers
 * whether it took longer than max_alloc_latency. */
SLB_PRIVATE bool slb_end_timed(struct slabby_allocator *pool, uint32_t cpu, uint64_t started);

/* The same where each allocation is timed, with a short path for short times. False, and nothing was done, where
 * slb_end_timed has to do it. `cpu` is below pool->rseq_cpus. */
SLB_INLINE bool slb_end_tracked(struct slabby_allocator *pool, uint32_t cpu, uint64_t started,
                                bool *out_slow) {
    uint64_t now = slb_os_ticks(), ticks = now - started;
    if (slb_unlikely(!slb_timing_follows(&pool->caches[cpu].cache)))
        return false;
    if (slb_unlikely(!slb_latency_record_short(pool, cpu, now, ticks))) {
        ticks = now > started ? ticks : 0;
        slb_latency_record(pool, now, ticks, 1);
        if (!slb_in_flight())
            slb_note_peak_sampled(pool, started);
    }
    *out_slow = slb_timing_judge(pool, ticks);
    return true;
}

/* For an allocation that is to be timed, and on which nothing else acts, not even a guard slot: a hit in the CPU cache
 * without the search of slb_take_slab. The slab is in hand until its word says live, so the pool cannot end. */
SLB_INLINE bool slb_take_timed(struct slabby_allocator *pool, uint32_t state, uint32_t *out_id,
                               uint64_t *out_word, bool *out_slow) {
    /* relaxed: an option that changes meanwhile acts on the next allocation */
    uint32_t tracking = atomic_load_explicit(&pool->timing.tracking, memory_order_relaxed);
    if (slb_unlikely(atomic_load_explicit(&pool->hot_cpus, memory_order_relaxed) == 0 ||
                     tracking == SLABBY_LATENCY_TRACKING_OFF))
        return false;
    slb_rearrange_if_due(pool);
    uint32_t cpu = slb_rseq_cpu();
    bool guards = slb_guard_is_on(pool);
    if (guards && (cpu >= pool->rseq_cpus || !slb_guard_is_far(pool, cpu)))
        return false;
    uint64_t started = slb_os_ticks();
    if (slb_unlikely(state == SLABBY_SLAB_STATE_LIVE_FAST ? !slb_cache_take_counted(pool, out_id)
                                                          : !slb_rseq_take(pool, out_id)))
        return false;
    cpu = slb_rseq_cpu(); /* the CPU that served, unless this thread has moved since */
    if (tracking != SLABBY_LATENCY_TRACKING_ALL || guards || slb_unlikely(cpu >= pool->rseq_cpus) ||
        !slb_end_tracked(pool, cpu, started, out_slow))
        *out_slow = slb_end_timed(pool, cpu, started);
    *out_word = slb_issue(pool, *out_id, slb_bias_poll(pool, cpu) | state);
    return true;
}

#endif
