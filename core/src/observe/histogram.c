/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "observe/histogram.h"

#include "observe/latency.h"
#include "os/os.h"

#include <string.h>

/* relaxed: the value stands for itself */
static double seconds_per_tick(void) {
    static _Atomic uint64_t stored;
    uint64_t bits = atomic_load_explicit(&stored, memory_order_relaxed), fresh;
    double seconds = slb_likely(bits != 0) ? 0 : slb_os_ns_per_tick() * 1e-9;
    memcpy(&fresh, &seconds, sizeof fresh);
    if (bits == 0 && atomic_compare_exchange_strong_explicit(&stored, &bits, fresh, memory_order_relaxed,
                                                             memory_order_relaxed))
        bits = fresh;
    memcpy(&seconds, &bits, sizeof seconds);
    return seconds;
}

SLB_PRIVATE void slb_histogram_fill(struct slabby_allocator *pool, uint64_t *buckets,
                                    struct slb_histogram *out) {
    double seconds = seconds_per_tick();
    uint64_t bound = 0;
    memset(buckets, 0, SLB_LATENCY_BUCKETS * sizeof *buckets);
    memset(out, 0, sizeof *out);
    for (uint32_t i = 0, cpus = slb_used_cpus(pool); i <= cpus; i++)
        slb_latency_add_all(slb_latency_at(pool, i, cpus), buckets);
    for (uint32_t i = 0; i < SLB_LATENCY_BUCKETS; i++) {
        if (buckets[i] == 0)
            continue;
        double middle = slb_latency_bucket_middle(i) * seconds;
        for (; bound < SLB_METRIC_BOUND_COUNT && middle > slb_metric_bounds[bound].seconds; bound++)
            out->at_most[bound] = out->count;
        out->count += buckets[i];
    }
    for (; bound < SLB_METRIC_BOUND_COUNT; bound++)
        out->at_most[bound] = out->count;
    out->sum_seconds = (double)slb_latency_sums(pool).weighted_ticks * seconds;
}

/* A tick in units of 2^-58 seconds, which has a bucket for every clock from 1 MHz to 100 GHz; half a bucket is added,
 * so that rounding down rounds to the nearest. */
#define TICK_UNIT 58
#define HALF_BUCKET 1.0108892860517005

SLB_PRIVATE int32_t slb_histogram_index(uint32_t bucket) {
    double tick = seconds_per_tick() * (double)(1ull << TICK_UNIT) * HALF_BUCKET;
    int32_t moved =
        (int32_t)slb_latency_bucket_of((uint64_t)tick) - TICK_UNIT * (int32_t)SLB_LATENCY_PER_OCTAVE;
    return (int32_t)bucket + 1 + moved;
}
