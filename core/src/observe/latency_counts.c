/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "observe/latency_counts.h"

#include "os/os.h"
#include "tiers/in_flight.h"

/* Where the buckets of an octave begin: 2^(k/32) in units of 2^-31. */
static const uint64_t octave[SLB_LATENCY_PER_OCTAVE + 1] = {
    2147483648u, 2194507417u, 2242560872u, 2291666561u, 2341847524u, 2393127307u, 2445529972u,
    2499080105u, 2553802834u, 2609723834u, 2666869345u, 2725266179u, 2784941738u, 2845924021u,
    2908241642u, 2971923842u, 3037000500u, 3103502151u, 3171459999u, 3240905930u, 3311872529u,
    3384393094u, 3458501653u, 3534232978u, 3611622603u, 3690706840u, 3771522796u, 3854108391u,
    3938502376u, 4024744348u, 4112874773u, 4202935003u, 4294967296u,
};

/* The bucket in which the c-th of an octave's 64 equal parts begins; no part reaches into a third bucket. */
static const uint8_t first_bucket[64] = {
    0,  0,  1,  2,  2,  3,  4,  4,  5,  6,  6,  7,  7,  8,  9,  9,  10, 10, 11, 12, 12, 13,
    13, 14, 14, 15, 15, 16, 16, 17, 17, 18, 18, 19, 19, 20, 20, 21, 21, 21, 22, 22, 23, 23,
    24, 24, 25, 25, 25, 26, 26, 27, 27, 27, 28, 28, 29, 29, 29, 30, 30, 30, 31, 31,
};

SLB_PRIVATE uint32_t slb_latency_bucket_of(uint64_t ticks) {
    if (ticks == 0)
        return 0;
    uint32_t exponent = 63u - (uint32_t)__builtin_clzll(ticks);
    if (exponent >= SLB_LATENCY_OCTAVES)
        return SLB_LATENCY_BUCKETS - 1;
    uint64_t mantissa = exponent > 31 ? ticks >> (exponent - 31) : ticks << (31 - exponent);
    uint32_t low = first_bucket[mantissa >> 25 & 63];
    low += mantissa >= octave[low + 1];
    return exponent * SLB_LATENCY_PER_OCTAVE + low;
}

SLB_PRIVATE double slb_latency_bucket_middle(uint32_t bucket) {
    uint32_t k = bucket % SLB_LATENCY_PER_OCTAVE;
    double middle = ((double)octave[k] + (double)octave[k + 1]) / 2.0 / 2147483648.0;
    return middle * (double)(1ull << (bucket / SLB_LATENCY_PER_OCTAVE));
}

/* ------------------------------------------------------------------------------------------------- writing */

SLB_PRIVATE uint64_t slb_latency_period(void) {
    return slb_os_coarse_ns() / SLB_LATENCY_WINDOW_NS + 1;
}

static void copy_counts(struct slb_latency_counts *to, struct slb_latency_counts *from) {
    for (uint32_t i = 0; i < SLB_LATENCY_SHORT; i++)
        atomic_store_explicit(&to->short_times[i],
                              atomic_load_explicit(&from->short_times[i], memory_order_relaxed),
                              memory_order_relaxed);
    for (uint32_t i = 0; i < SLB_LATENCY_BUCKETS; i++)
        atomic_store_explicit(&to->buckets[i], atomic_load_explicit(&from->buckets[i], memory_order_relaxed),
                              memory_order_relaxed);
}

/* The first sample of a half minute notes what there was before it. A sample that another thread adds meanwhile may be
 * missing in the percentiles. release: a reader that finds the number finds the counts. */
static SLB_COLD void look_at_clock(struct slb_latency *latency, uint64_t now) {
    uint64_t period = slb_latency_period();
    struct slb_latency_start *start = &latency->starts[period & 1];
    uint64_t before = atomic_load_explicit(&start->period, memory_order_relaxed);
    if (before != period && atomic_load_explicit(&latency->period, memory_order_relaxed) != period &&
        atomic_compare_exchange_strong_explicit(&start->period, &before, 0, memory_order_acq_rel,
                                                memory_order_relaxed)) {
        atomic_store_explicit(&latency->period, period, memory_order_relaxed);
        copy_counts(&start->counts, &latency->lifetime);
        atomic_store_explicit(&start->period, period, memory_order_release);
    }
    atomic_store_explicit(&latency->looked_at, now, memory_order_relaxed);
}

/*
 * Where a sample is written. With restartable sequences each CPU has numbers to which only threads on it add, by a
 * sequence. A thread that cannot run sequences adds to the numbers behind those of all CPUs, atomically. With the
 * portable backend all additions are atomic.
 */
struct record {
    struct slb_latency *latency;
    uint32_t cpu; /* the CPU of these numbers, or UINT32_MAX: common to all */
};

static struct record begin_record(struct slabby_allocator *pool) {
    uint32_t cpu = slb_rseq_cpu();
    if (slb_likely(cpu < pool->rseq_cpus))
        return (struct record){.latency = &pool->latency[cpu], .cpu = cpu};
    cpu = slb_os_cpu();
    return (struct record){.latency = &pool->latency[cpu < slb_used_cpus(pool) ? cpu : pool->cpus],
                           .cpu = UINT32_MAX};
}

static SLB_COLD void add_for_all(struct slabby_allocator *pool, struct record *record, size_t offset,
                                 uint64_t by) {
    if (record->cpu != UINT32_MAX)
        *record = (struct record){.latency = &pool->latency[pool->cpus], .cpu = UINT32_MAX};
    slb_count((_Atomic uint64_t *)(void *)((char *)record->latency + offset), by);
}

SLB_INLINE void add_to_record(struct slabby_allocator *pool, struct record *record, size_t offset,
                              uint64_t by) {
    char *own = (char *)record->latency + offset;
    if (slb_unlikely(record->cpu == UINT32_MAX ||
                     !slb_rseq_add(record->cpu, (_Atomic uint64_t *)(void *)own, by)))
        add_for_all(pool, record, offset, by);
}

SLB_PRIVATE void slb_latency_record(struct slabby_allocator *pool, uint64_t now, uint64_t ticks,
                                    uint64_t weight) {
    struct record record = begin_record(pool);
    if (slb_unlikely(!slb_latency_period_is_known(record.latency, now)))
        look_at_clock(record.latency, now);
    if (weight == 1 && ticks < SLB_LATENCY_SHORT) {
        add_to_record(pool, &record, offsetof(struct slb_latency, lifetime.short_times) + ticks * sizeof ticks, 1);
        return;
    }
    add_to_record(pool, &record, offsetof(struct slb_latency, samples), 1);
    add_to_record(pool, &record,
                  offsetof(struct slb_latency, lifetime.buckets) + slb_latency_bucket_of(ticks) * sizeof ticks,
                  weight);
    add_to_record(pool, &record, offsetof(struct slb_latency, weight), weight);
    add_to_record(pool, &record, offsetof(struct slb_latency, weighted_ticks), ticks * weight);
}

/* ------------------------------------------------------------------------------------------------- reading */

/* relaxed, here and below: each number stands for itself. Where no sample was ever written, the clock was not looked at. */
static bool has_samples(struct slb_latency *latency) {
    return atomic_load_explicit(&latency->period, memory_order_relaxed) != 0;
}

static void add_sums(struct slb_latency *latency, struct slb_latency_sums *sums) {
    sums->samples += atomic_load_explicit(&latency->samples, memory_order_relaxed);
    sums->weight += atomic_load_explicit(&latency->weight, memory_order_relaxed);
    sums->weighted_ticks += atomic_load_explicit(&latency->weighted_ticks, memory_order_relaxed);
    for (uint32_t ticks = 0; ticks < SLB_LATENCY_SHORT; ticks++) {
        uint64_t count = atomic_load_explicit(&latency->lifetime.short_times[ticks], memory_order_relaxed);
        sums->samples += count;
        sums->weight += count;
        sums->weighted_ticks += count * ticks;
    }
}

SLB_PRIVATE struct slb_latency_sums slb_latency_sums(struct slabby_allocator *pool) {
    struct slb_latency_sums sums = {0, 0, 0};
    for (uint32_t i = 0, cpus = slb_used_cpus(pool); i <= cpus; i++) {
        struct slb_latency *latency = slb_latency_at(pool, i, cpus);
        if (has_samples(latency))
            add_sums(latency, &sums);
    }
    return sums;
}

/* Modulo 2^64, so that what was before is taken off by adding it with the other sign. */
static void add_counts(struct slb_latency_counts *counts, uint64_t *buckets, uint64_t sign) {
    for (uint32_t ticks = 0; ticks < SLB_LATENCY_SHORT; ticks++)
        buckets[slb_latency_bucket_of(ticks)] +=
            sign * atomic_load_explicit(&counts->short_times[ticks], memory_order_relaxed);
    for (uint32_t i = 0; i < SLB_LATENCY_BUCKETS; i++)
        buckets[i] += sign * atomic_load_explicit(&counts->buckets[i], memory_order_relaxed);
}

SLB_PRIVATE void slb_latency_add_all(struct slb_latency *latency, uint64_t *buckets) {
    if (has_samples(latency))
        add_counts(&latency->lifetime, buckets, 1);
}

/* What there was when a half minute began, if a sample came in it. acquire: the counts are those of the number. */
static struct slb_latency_counts *start_of(struct slb_latency *latency, uint64_t period) {
    struct slb_latency_start *start = &latency->starts[period & 1];
    return atomic_load_explicit(&start->period, memory_order_acquire) == period ? &start->counts : NULL;
}

SLB_PRIVATE void slb_latency_add_recent(struct slb_latency *latency, uint64_t period, uint64_t *buckets) {
    struct slb_latency_counts *before = start_of(latency, period - 1);
    if (before == NULL)
        before = start_of(latency, period);
    if (before == NULL)
        return;
    add_counts(before, buckets, UINT64_MAX);
    add_counts(&latency->lifetime, buckets, 1);
}
