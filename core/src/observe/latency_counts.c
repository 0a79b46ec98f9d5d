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

/* What counts[] may lack. It is never more than what there was. */
static void raise_to(uint64_t *counts, uint64_t index, uint64_t count) {
    counts[index] = count > counts[index] ? count : counts[index];
}

static uint64_t raise_by_counted(struct slb_short_times *times, uint64_t *counts) {
    uint64_t counted = atomic_load_explicit(&times->counted, memory_order_acquire);
    raise_to(counts, counted % SLB_SHORT_TURN, counted >> SLB_SHORT_COUNT);
    return counted;
}

/*
 * Samples may come meanwhile. Each that came before this began is in the result. Call the last of them L, and the one
 * before it K. `counted` is read behind L, so it has K, or a later one, and then counts[] has K.
 * - Where L is still the last in the end, `counted` has K, or L by a sequence that was not committed. Nothing has L
 *   beside that, and so it is added.
 * - Where it is not, `counted`, read behind that, has L, or a later one, and then counts[] has L, read behind that.
 * acquire: what is read later is not older than what was read before.
 */
SLB_PRIVATE void slb_short_times_read(struct slb_short_times *times, uint64_t *counts) {
    uint64_t last = atomic_load_explicit(&times->last, memory_order_acquire), index = last % SLB_SHORT_TURN;
    uint64_t counted = atomic_load_explicit(&times->counted, memory_order_acquire);
    for (uint32_t i = 0; i < SLB_LATENCY_SHORT; i++)
        counts[i] = atomic_load_explicit(&times->counts[i], memory_order_relaxed);
    raise_to(counts, counted % SLB_SHORT_TURN, counted >> SLB_SHORT_COUNT);
    atomic_thread_fence(memory_order_acquire);
    counted = raise_by_counted(times, counts);
    if (atomic_load_explicit(&times->last, memory_order_acquire) != last) {
        (void)raise_by_counted(times, counts);
        raise_to(counts, index, atomic_load_explicit(&times->counts[index], memory_order_relaxed));
    } else if (((last ^ counted) & SLB_SHORT_TURN) != 0) {
        counts[index]++;
    }
}

static void copy_counts(struct slb_latency_start *to, struct slb_latency *from) {
    uint64_t counts[SLB_LATENCY_SHORT];
    slb_short_times_read(&from->short_times, counts);
    for (uint32_t i = 0; i < SLB_LATENCY_SHORT; i++)
        atomic_store_explicit(&to->short_counts[i], counts[i], memory_order_relaxed);
    for (uint32_t i = 0; i < SLB_LATENCY_BUCKETS; i++)
        atomic_store_explicit(&to->buckets[i], atomic_load_explicit(&from->buckets[i], memory_order_relaxed),
                              memory_order_relaxed);
}

/* The first sample of a half minute notes what there was before it. A sample that another thread adds meanwhile may be
 * missing in the percentiles. Where a thread has stopped in the middle, maybe for good, the next one does it anew: what
 * either has copied is not above what there is. release: a reader that finds the number finds the counts. */
static SLB_COLD void check_clock(struct slb_latency *latency, uint64_t now) {
    uint64_t period = slb_latency_period();
    struct slb_latency_start *start = &latency->starts[period & 1];
    uint64_t before = atomic_load_explicit(&start->period, memory_order_relaxed);
    if (before != period &&
        (before == 0 || atomic_compare_exchange_strong_explicit(
                            &start->period, &before, 0, memory_order_acq_rel, memory_order_relaxed))) {
        copy_counts(start, latency);
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
    bool own = pool->backend != SLABBY_CPU_CACHE_BACKEND_RSEQ && cpu < slb_used_cpus(pool);
    return (struct record){.latency = &pool->latency[own ? cpu : pool->cpus], .cpu = UINT32_MAX};
}

/* This thread has moved, or was interrupted too often: what is left of its sample goes to the common numbers. */
static void continue_for_all(struct slabby_allocator *pool, struct record *record) {
    uint64_t now = slb_os_ticks();
    *record = (struct record){.latency = &pool->latency[pool->cpus], .cpu = UINT32_MAX};
    if (!slb_latency_period_is_known(record->latency, now))
        check_clock(record->latency, now);
}

static SLB_COLD void add_for_all(struct slabby_allocator *pool, struct record *record, size_t offset,
                                 uint64_t by) {
    if (record->cpu != UINT32_MAX)
        continue_for_all(pool, record);
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
        check_clock(record.latency, now);
    add_to_record(pool, &record, offsetof(struct slb_latency, samples), 1);
    add_to_record(pool, &record,
                  offsetof(struct slb_latency, buckets) + slb_latency_bucket_of(ticks) * sizeof ticks,
                  weight);
    add_to_record(pool, &record, offsetof(struct slb_latency, weight), weight);
    add_to_record(pool, &record, offsetof(struct slb_latency, weighted_ticks), ticks * weight);
}

/* ------------------------------------------------------------------------------------------------- reading */

/* relaxed, here and below: each number stands for itself. Where no sample was ever written, the clock was not looked
 * at. */
static bool has_samples(struct slb_latency *latency) {
    return atomic_load_explicit(&latency->looked_at, memory_order_relaxed) != 0;
}

static void add_sums(struct slb_latency *latency, struct slb_latency_sums *sums) {
    uint64_t counts[SLB_LATENCY_SHORT];
    slb_short_times_read(&latency->short_times, counts);
    sums->samples += atomic_load_explicit(&latency->samples, memory_order_relaxed);
    sums->weight += atomic_load_explicit(&latency->weight, memory_order_relaxed);
    sums->weighted_ticks += atomic_load_explicit(&latency->weighted_ticks, memory_order_relaxed);
    for (uint32_t i = 1; i < SLB_LATENCY_SHORT; i++) {
        sums->samples += counts[i];
        sums->weight += counts[i];
        sums->weighted_ticks += counts[i] * slb_short_ticks(i);
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

SLB_PRIVATE void slb_latency_add_all(struct slb_latency *latency, uint64_t *buckets) {
    uint64_t counts[SLB_LATENCY_SHORT];
    if (!has_samples(latency))
        return;
    slb_short_times_read(&latency->short_times, counts);
    for (uint32_t i = 1; i < SLB_LATENCY_SHORT; i++)
        buckets[slb_latency_bucket_of(slb_short_ticks(i))] += counts[i];
    for (uint32_t i = 0; i < SLB_LATENCY_BUCKETS; i++)
        buckets[i] += atomic_load_explicit(&latency->buckets[i], memory_order_relaxed);
}

/* Modulo 2^64: together with slb_latency_add_all, read behind it, no bucket is below 0. */
static void take_off(struct slb_latency_start *start, uint64_t *buckets) {
    for (uint32_t i = 1; i < SLB_LATENCY_SHORT; i++)
        buckets[slb_latency_bucket_of(slb_short_ticks(i))] -=
            atomic_load_explicit(&start->short_counts[i], memory_order_relaxed);
    for (uint32_t i = 0; i < SLB_LATENCY_BUCKETS; i++)
        buckets[i] -= atomic_load_explicit(&start->buckets[i], memory_order_relaxed);
}

/* What there was when a half minute began, if a sample came in it. acquire: the counts are those of the number. */
static struct slb_latency_start *start_of(struct slb_latency *latency, uint64_t period) {
    struct slb_latency_start *start = &latency->starts[period & 1];
    return atomic_load_explicit(&start->period, memory_order_acquire) == period ? start : NULL;
}

SLB_PRIVATE void slb_latency_add_recent(struct slb_latency *latency, uint64_t period, uint64_t *buckets) {
    struct slb_latency_start *start = start_of(latency, period - 1);
    if (start == NULL)
        start = start_of(latency, period);
    if (start == NULL)
        return;
    take_off(start, buckets);
    slb_latency_add_all(latency, buckets);
}
