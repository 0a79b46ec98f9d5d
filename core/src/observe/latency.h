/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How long allocations take. On the fast path about one in 64 is timed, but no more than one in 8 us of a CPU, down to
 * one in 1,024. The hot path refuses the allocation with the chosen number; the slow path serves it, reads the clock,
 * and chooses the next number at random, up to twice as far away. A sample stands for all allocations of its
 * CPU's cache since the last one; an allocation from a slower tier stands for itself, except in a pool without CPU
 * caches, where one in 64 is timed as well. So percentiles describe all allocations, not just the slow ones.
 */
#ifndef SLB_OBSERVE_LATENCY_H
#define SLB_OBSERVE_LATENCY_H

#include "observe/latency_counts.h"
#include "os/os.h"
#include "pool.h"
#include "tiers/in_flight.h"

/* What one allocation's timing needs to know; started = 0: not timed. */
struct slb_timing {
    uint64_t started;
    uint64_t weight;
};

/* Whether it is the turn of this CPU's next allocation, and when that began. */
struct slb_due {
    bool due;
    uint64_t now; /* ticks */
};

/* Called before the allocation has a slab in hand: with the rseq backend the pool may have ended; with the portable
 * backend the caller is in a hold. */
SLB_PRIVATE struct slb_due slb_timing_if_due(struct slabby_allocator *pool);

/* After the cache has served the allocation: begins its timing if it was due, and sets which allocation is timed
 * next. */
SLB_PRIVATE struct slb_timing slb_timing_begin_due(struct slabby_allocator *pool, const struct slb_due *due);

/* The cache of `cpu` has just served an allocation that began at `started`: begins its timing if its turn has come, and
 * sets which allocation is timed next. It checks after the take, so that the allocation accesses its cache once. */
SLB_PRIVATE struct slb_timing slb_timing_of_served(struct slabby_allocator *pool, uint32_t cpu,
                                                   uint64_t started);

/* After allocations that did not check whether they are timed: resets a sampling point that they have passed. */
SLB_PRIVATE void slb_timing_catch_up(struct slabby_allocator *pool);

SLB_INLINE struct slb_timing slb_timing_begin(struct slabby_allocator *pool, const struct slb_due *due) {
    if (due->due)
        return slb_timing_begin_due(pool, due);
    slb_timing_catch_up(pool); /* where this thread moved to another CPU meanwhile, whose turn it was */
    return (struct slb_timing){0, 0};
}

/* One allocation in how many is to be timed: `weight` of them came between the last sample, whose ticks
 * `*sampled_ticks` has, and the one that begins `now`, whose ticks it gets. */
SLB_PRIVATE uint32_t slb_latency_mean(_Atomic uint64_t *sampled_ticks, uint64_t weight, uint64_t now);

/* How far it is from a sample to the next: 1 to twice the mean, or less with guard slots. */
SLB_PRIVATE uint64_t slb_latency_distance(struct slabby_allocator *pool, uint64_t now, uint32_t mean);

/* Begins timing an allocation that the CPU cache could not serve, unless `timing` has begun already. */
SLB_PRIVATE void slb_timing_slow(struct slabby_allocator *pool, struct slb_timing *timing);

/* The same for a single allocation. In a pool without CPU caches every allocation comes this way. There about one in 64
 * is timed, and stands for 64, as with a cache; all are timed if a limit requires it. In a hold of a pool that
 * exists. */
SLB_PRIVATE void slb_timing_search(struct slabby_allocator *pool, struct slb_timing *timing);

/* Which of the allocations that bypass the caches are timed: one in SLB_SAMPLE_MEAN, which stands for that many. */
SLB_INLINE bool slb_timing_is_due(uint64_t number) {
    return (number * 0x9E3779B97F4A7C15u) >> 58 == 0;
}

/* Ends timing; the time was spent on `parts` allocations. Returns whether one took longer than max_alloc_latency; the
 * caller reports that to the breaker. */
SLB_PRIVATE bool slb_timing_end(struct slabby_allocator *pool, const struct slb_timing *timing,
                                uint64_t parts);

/* What is left to do with a time that was recorded. relaxed: the highest value stands for itself. */
SLB_INLINE bool slb_timing_judge(struct slabby_allocator *pool, uint64_t ticks) {
    uint64_t most = atomic_load_explicit(&pool->timing.max, memory_order_relaxed);
    while (slb_unlikely(ticks > most) &&
           !atomic_compare_exchange_weak_explicit(&pool->timing.max, &most, ticks, memory_order_relaxed,
                                                  memory_order_relaxed))
        ;
    uint64_t limit = atomic_load_explicit(&pool->timing.limit_ticks, memory_order_relaxed);
    bool slow = slb_unlikely(limit != 0 && ticks > limit);
    if (slow)
        slb_count(&pool->timing.violations, 1);
    return slow;
}

/* Of a cache that times each allocation: whether the one that it has just served is the next after the last that was
 * timed. Then the next one is the next to be timed. relaxed, as in latency.c: only this CPU's threads write these. */
SLB_INLINE bool slb_timing_follows(struct slb_cpu_cache *cache) {
    uint64_t served = slb_header_served(atomic_load_explicit(&cache->header, memory_order_relaxed));
    if (slb_unlikely(served != atomic_load_explicit(&cache->sampled_at, memory_order_relaxed) + 1 ||
                     served >= SLB_CACHE_FOLD_AT))
        return false;
    atomic_store_explicit(&cache->sampled_at, served, memory_order_relaxed);
    atomic_store_explicit(&cache->sample_at, SLB_SAMPLE_POINT(served), memory_order_relaxed);
    return true;
}

/* Each CPU's next allocation is timed. */
SLB_PRIVATE void slb_latency_sample_next(struct slabby_allocator *pool);

/* Changes which allocations are timed; each CPU's next allocation is the first that is timed. Needs the gate lock. */
SLB_PRIVATE void slb_latency_track_locked(struct slabby_allocator *pool, uint32_t tracking);

/* Sets max_alloc_latency. A slow path that has used up its time gives up before it starts a slower tier. */
SLB_PRIVATE void slb_latency_limit(struct slabby_allocator *pool, int64_t limit_ns);
SLB_PRIVATE bool slb_latency_is_spent(struct slabby_allocator *pool, uint64_t started);

SLB_PRIVATE void slb_latency_fill(struct slabby_allocator *pool, slabby_stats *out);

/* The time that a share q of the last minute's allocations did not exceed, in ns; 0 without samples. */
SLB_PRIVATE void slb_latency_percentiles(struct slabby_allocator *pool, const double *parts, int64_t *out_ns,
                                         uint32_t count);

#endif
