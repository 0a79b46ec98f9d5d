/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The allocation times of a pool's whole life as a histogram in seconds. Its buckets are those of observe/latency.h, 32
 * an octave of ticks. A native histogram of schema 5 has as many buckets in each octave of seconds. So the one
 * histogram is the other one moved by a whole number of buckets, with an error of at most half a bucket (1.1 %).
 *
 * The duration of a tick is measured once, when the first histogram of the process is read. The measured rate becomes
 * more exact with time, but no bucket may ever fall.
 */
#ifndef SLB_OBSERVE_HISTOGRAM_H
#define SLB_OBSERVE_HISTOGRAM_H

#include "metric_table.h"
#include "observe/latency_state.h"
#include "pool.h"

struct slb_histogram {
    uint64_t count;
    double sum_seconds;
    uint64_t at_most[SLB_METRIC_BOUND_COUNT]; /* allocations that took no longer than each limit */
};

/* buckets: the counts of all SLB_LATENCY_BUCKETS, for slb_histogram_index. */
SLB_PRIVATE void slb_histogram_fill(struct slabby_allocator *pool, uint64_t *buckets,
                                    struct slb_histogram *out);

/* The index in a native histogram of schema 5 of a bucket of ours. */
SLB_PRIVATE int32_t slb_histogram_index(uint32_t bucket);

#endif
