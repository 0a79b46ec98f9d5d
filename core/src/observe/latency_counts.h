/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where samples of allocation times are written, and how they are read (observe/latency_state.h). */
#ifndef SLB_OBSERVE_LATENCY_COUNTS_H
#define SLB_OBSERVE_LATENCY_COUNTS_H

#include "pool.h"
#include "tiers/cpu_cache.h"

/* The bucket of a time, and the middle of a bucket, in ticks. */
SLB_PRIVATE uint32_t slb_latency_bucket_of(uint64_t ticks);
SLB_PRIVATE double slb_latency_bucket_middle(uint32_t bucket);

/* A sample of `ticks`, which ended at `now` and stands for `weight` allocations. */
SLB_PRIVATE void slb_latency_record(struct slabby_allocator *pool, uint64_t now, uint64_t ticks,
                                    uint64_t weight);

/* The clock is read once in some 50 us or (if the counter is slow) 5 ms, measured in ticks: half minutes need not
 * change at the exact moment. */
#define SLB_LATENCY_TICKS_BETWEEN_CHECKS (1u << 17)

SLB_INLINE bool slb_latency_period_is_known(struct slb_latency *latency, uint64_t now) {
    /* relaxed: a time alone */
    return now - atomic_load_explicit(&latency->looked_at, memory_order_relaxed) <
           SLB_LATENCY_TICKS_BETWEEN_CHECKS;
}

/* The same for a short time of one allocation on `cpu`, below pool->rseq_cpus. False, and nothing is written, where
 * slb_latency_record has to do it. */
SLB_INLINE bool slb_latency_record_short(struct slabby_allocator *pool, uint32_t cpu, uint64_t now,
                                         uint64_t ticks) {
#ifdef SLB_HAVE_RSEQ_SHORT_TIMES
    struct slb_latency *latency = &pool->latency[cpu];
    return slb_likely(ticks < SLB_LATENCY_SHORT - 1 && slb_latency_period_is_known(latency, now) &&
                      slb_rseq_try_add_short(cpu, &latency->short_times, slb_short_index(ticks)) ==
                          SLB_RSEQ_DONE);
#else
    (void)pool, (void)cpu, (void)now, (void)ticks;
    return false;
#endif
}

/* How many short times of each index there were; counts[0] means nothing. No count is lower than in an earlier reading,
 * and where no sample comes meanwhile each is exact. */
SLB_PRIVATE void slb_short_times_read(struct slb_short_times *times, uint64_t *counts);

/* The numbers of CPU i below `cpus`, the CPUs in use; of `cpus` itself those that are common to all CPUs. */
SLB_INLINE struct slb_latency *slb_latency_at(struct slabby_allocator *pool, uint32_t i, uint32_t cpus) {
    return &pool->latency[i < cpus ? i : pool->cpus];
}

struct slb_latency_sums {
    uint64_t samples, weight, weighted_ticks;
};

/* Of all CPUs. A sample that is being added is seen in this reading or in the next. */
SLB_PRIVATE struct slb_latency_sums slb_latency_sums(struct slabby_allocator *pool);

/* Adds the allocations of one CPU to buckets[SLB_LATENCY_BUCKETS]: all, and those of this half minute and the last. */
SLB_PRIVATE void slb_latency_add_all(struct slb_latency *latency, uint64_t *buckets);
SLB_PRIVATE void slb_latency_add_recent(struct slb_latency *latency, uint64_t period, uint64_t *buckets);

/* The number of the half minute, + 1. */
SLB_PRIVATE uint64_t slb_latency_period(void);

#endif
