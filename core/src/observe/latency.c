/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "observe/latency.h"

#include "os/os.h"
#include "tiers/cpu_cache.h"
#include "tiers/gate.h"
#include "tiers/in_flight.h"
#include "tiers/lease.h"
#include "tiers/random.h"

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

/* ------------------------------------------------------------------------------------------------- buckets */

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

/* ------------------------------------------------------------------------------------------------- timing */

/* A sample takes some 40 ns, so one every 8 us takes half a percent of the time. relaxed: threads of one CPU, or the
 * user of one lease, write it, and a lost race gives one distance. */
SLB_PRIVATE uint32_t slb_latency_mean(_Atomic uint64_t *sampled_ticks, uint64_t weight, uint64_t now) {
    uint64_t elapsed = now - atomic_load_explicit(sampled_ticks, memory_order_relaxed);
    atomic_store_explicit(sampled_ticks, now, memory_order_relaxed);
    uint64_t mean = weight * slb_os_ticks_per_us() * SLB_SAMPLE_EVERY_US / (elapsed != 0 ? elapsed : 1);
    return mean < SLB_SAMPLE_MEAN        ? SLB_SAMPLE_MEAN
           : mean > SLB_SAMPLE_BUSY_MEAN ? SLB_SAMPLE_BUSY_MEAN
                                         : (uint32_t)mean;
}

/* Guards that are more frequent than samples make each allocation one. */
static uint32_t mean_with_guards(uint32_t mean, uint32_t guard_rate) {
    uint32_t most = guard_rate == 0                        ? SLB_SAMPLE_BUSY_MEAN
                    : guard_rate >= SLB_SAMPLE_GUARDS_MOST ? SLB_SAMPLE_GUARDS_MEAN
                    : guard_rate >= 2 * SLB_SAMPLE_MEAN    ? SLB_SAMPLE_MEAN
                                                           : 0;
    return mean < most ? mean : most;
}

/* Random, so that no pattern in the program keeps in step with it. The clock is random enough after mixing.
 * Multiplication alone is not enough: if each allocation takes the same number of ticks, each distance would follow
 * from the one before. */
SLB_PRIVATE uint64_t slb_latency_distance(struct slabby_allocator *pool, uint64_t now, uint32_t mean) {
    bool all =
        atomic_load_explicit(&pool->timing.tracking, memory_order_relaxed) == SLABBY_LATENCY_TRACKING_ALL;
    mean = mean_with_guards(mean, atomic_load_explicit(&pool->guard_rate, memory_order_relaxed));
    return all || mean == 0 ? 1 : 1 + slb_random_scaled((uint32_t)(slb_random_mix(now) >> 32), 2 * mean);
}

/* The same of a CPU's cache, whose sample of `weight` allocations begins now; it sets the next sampling point. */
static void set_next_sample(struct slabby_allocator *pool, struct slb_cpu_cache *cache, uint64_t served,
                            uint64_t weight, uint64_t now) {
    uint32_t mean = slb_latency_mean(&cache->sampled_ticks, weight, now);
    atomic_store_explicit(&cache->sampled_at, served, memory_order_relaxed);
    atomic_store_explicit(&cache->sample_at, (uint16_t)(served - 1 + slb_latency_distance(pool, now, mean)),
                          memory_order_relaxed);
}

/* Latencies, or which allocations lie on guard slots. */
static bool samples_anything(struct slabby_allocator *pool) {
    return atomic_load_explicit(&pool->timing.tracking, memory_order_relaxed) !=
               SLABBY_LATENCY_TRACKING_OFF ||
           atomic_load_explicit(&pool->guard_rate, memory_order_relaxed) != 0;
}

static bool peek_at_cache(struct slabby_allocator *pool, uint64_t *out_header, uint16_t *out_sample_at) {
    if (pool->backend == SLABBY_CPU_CACHE_BACKEND_RSEQ)
        return slb_rseq_peek(pool, out_header, out_sample_at);
    uint32_t cpu = slb_os_cpu();
    if (pool->cache_max == 0 || cpu >= slb_used_cpus(pool))
        return false;
    struct slb_cpu_cache *cache = &pool->caches[cpu].cache;
    *out_header = atomic_load_explicit(&cache->header, memory_order_relaxed);
    *out_sample_at = atomic_load_explicit(&cache->sample_at, memory_order_relaxed);
    return true;
}

/* A header that was never refilled is folded here. */
static bool nears_its_end(uint64_t served) {
    return slb_unlikely(served >= SLB_CACHE_FOLD_AT);
}

/* relaxed here and below: only this CPU's threads write these, and a lost race costs one sample. An empty or locked
 * cache will not serve this allocation; then the next allocation that it serves is timed. Headers that near their end
 * are folded on this path too, because a program may never need a refill, which also folds. */
SLB_PRIVATE struct slb_due slb_timing_if_due(struct slabby_allocator *pool) {
    struct slb_due due = {false, 0};
    uint64_t header;
    uint16_t sample_at;
    if (pool->cache_max == 0 || !peek_at_cache(pool, &header, &sample_at))
        return due;
    uint64_t served = slb_header_served(header);
    if (nears_its_end(served))
        due.due = true;
    else if (!samples_anything(pool))
        return due;
    else
        due.due = (uint16_t)served == sample_at && slb_header_ids(header) != 0;
    if (due.due)
        due.now = slb_os_ticks();
    return due;
}

/* The number of the allocation that was just served is the last but one of the header's now, unless this thread did not
 * run for a while in between: then the weight is slightly wrong, and the next sample still lies ahead. */
SLB_PRIVATE SLB_COLD struct slb_timing slb_timing_begin_due(struct slabby_allocator *pool,
                                                            const struct slb_due *due) {
    struct slb_timing timing = {0, 0};
    uint32_t cpu = slb_os_cpu();
    slb_cache_fold(pool);
    bool off =
        atomic_load_explicit(&pool->timing.tracking, memory_order_relaxed) == SLABBY_LATENCY_TRACKING_OFF;
    if (cpu >= slb_used_cpus(pool) || !samples_anything(pool))
        return timing;
    struct slb_cpu_cache *cache = &pool->caches[cpu].cache;
    uint64_t served = slb_header_served(atomic_load_explicit(&cache->header, memory_order_relaxed));
    uint64_t last = atomic_load_explicit(&cache->sampled_at, memory_order_relaxed);
    timing.started = off ? 0 : due->now;
    timing.weight = served > last ? served - last : SLB_SAMPLE_MEAN; /* the header was folded */
    set_next_sample(pool, cache, served, timing.weight, due->now);
    return timing;
}

/* Relaxed as above. A cache that has not passed its sampling point is at most SLB_SAMPLE_MOST allocations before it. If
 * nothing is sampled, the point is not moved, because the hot path would then leave the inline path for it. */
SLB_PRIVATE void slb_timing_catch_up(struct slabby_allocator *pool) {
    uint32_t cpu = slb_os_cpu();
    if (pool->cache_max == 0 || cpu >= slb_used_cpus(pool) || !samples_anything(pool))
        return;
    struct slb_cpu_cache *cache = &pool->caches[cpu].cache;
    uint64_t served = slb_header_served(atomic_load_explicit(&cache->header, memory_order_relaxed));
    uint16_t at = atomic_load_explicit(&cache->sample_at, memory_order_relaxed);
    if ((uint16_t)(at - served) > SLB_SAMPLE_MOST)
        atomic_store_explicit(&cache->sample_at, (uint16_t)served, memory_order_relaxed);
}

/* The number of the allocation is the last but one of the header's, unless another thread of this CPU ran in between:
 * then perhaps no number matches, and slb_timing_catch_up corrects that. */
SLB_PRIVATE struct slb_timing slb_timing_of_served(struct slabby_allocator *pool, uint32_t cpu,
                                                   uint64_t started) {
    struct slb_cpu_cache *cache = &pool->caches[cpu].cache;
    uint64_t served = slb_header_served(atomic_load_explicit(&cache->header, memory_order_relaxed));
    uint64_t last = atomic_load_explicit(&cache->sampled_at, memory_order_relaxed);
    uint16_t at = atomic_load_explicit(&cache->sample_at, memory_order_relaxed);
    bool all =
        atomic_load_explicit(&pool->timing.tracking, memory_order_relaxed) == SLABBY_LATENCY_TRACKING_ALL;
    if (slb_unlikely((uint16_t)(served - 1) != at && !all)) {
        slb_timing_catch_up(pool);
        return (struct slb_timing){0, 0};
    }
    uint64_t weight = served > last ? served - last : all ? 1 : SLB_SAMPLE_MEAN;
    set_next_sample(pool, cache, served, weight, started);
    if (nears_its_end(served))
        slb_cache_fold(pool);
    return (struct slb_timing){started, weight};
}

/* The caches are locked, so no allocation can use up a number while the next sample is set to this number. */
SLB_PRIVATE void slb_latency_track_locked(struct slabby_allocator *pool, uint32_t tracking) {
    slb_gate_close(pool, SLB_GATE_PAUSE);
    atomic_store_explicit(&pool->timing.tracking, tracking, memory_order_relaxed);
    for (uint32_t cpu = 0; cpu < slb_used_cpus(pool) && pool->cache_max != 0; cpu++) {
        struct slb_cpu_cache *cache = &pool->caches[cpu].cache;
        uint64_t served = slb_header_served(atomic_load_explicit(&cache->header, memory_order_relaxed));
        atomic_store_explicit(&cache->sampled_at, served, memory_order_relaxed);
        atomic_store_explicit(&cache->sample_at, (uint16_t)served, memory_order_relaxed);
    }
    slb_leases_sample_next(pool);
    slb_gate_open(pool, SLB_GATE_PAUSE);
}

SLB_PRIVATE void slb_latency_sample_next(struct slabby_allocator *pool) {
    slb_gate_lock(pool); /* the option may change meanwhile; relaxed: under the lock */
    slb_latency_track_locked(pool, atomic_load_explicit(&pool->timing.tracking, memory_order_relaxed));
    slb_gate_unlock(pool);
}

SLB_PRIVATE void slb_timing_slow(struct slabby_allocator *pool, struct slb_timing *timing) {
    if (atomic_load_explicit(&pool->timing.tracking, memory_order_relaxed) == SLABBY_LATENCY_TRACKING_OFF)
        return;
    if (timing->started == 0)
        timing->started = slb_os_ticks();
    timing->weight = 1;
}

/* relaxed: even if two threads see the same number, the choice is random enough */
SLB_PRIVATE void slb_timing_search(struct slabby_allocator *pool, struct slb_timing *timing) {
    bool each = pool->cache_max != 0 ||
                atomic_load_explicit(&pool->timing.tracking, memory_order_relaxed) !=
                    SLABBY_LATENCY_TRACKING_SAMPLED ||
                atomic_load_explicit(&pool->timing.limit_ticks, memory_order_relaxed) != 0;
    uint64_t number = atomic_load_explicit(&slb_stripe_here(pool)->entered, memory_order_relaxed);
    if (!each && !slb_timing_is_due(number))
        return;
    slb_timing_slow(pool, timing);
    if (!each)
        timing->weight *= SLB_SAMPLE_MEAN;
}

/* The number of the half minute. The clock is read once per millisecond or (if the counter is slow) per tenth of a
 * second, measured in ticks: the windows need not change at the exact moment. relaxed: a stale pair holds numbers
 * that were right a moment ago. */
#define TICKS_BETWEEN_CHECKS (1u << 21)

static uint64_t period_now(struct slb_latency *latency, uint64_t now) {
    uint64_t period = atomic_load_explicit(&latency->period, memory_order_relaxed);
    uint64_t looked = atomic_load_explicit(&latency->looked_at, memory_order_relaxed);
    if (slb_likely(period != 0 && now - looked < TICKS_BETWEEN_CHECKS))
        return period;
    period = slb_os_coarse_ns() / SLB_LATENCY_WINDOW_NS + 1;
    atomic_store_explicit(&latency->period, period, memory_order_relaxed);
    atomic_store_explicit(&latency->looked_at, now, memory_order_relaxed);
    return period;
}

/* The window of this half minute; the first to need it clears it. A sample that is added meanwhile may be lost. */
static struct slb_latency_window *window_now(struct slb_latency *latency, uint64_t now) {
    uint64_t period = period_now(latency, now);
    struct slb_latency_window *window = &latency->windows[period & 1];
    uint64_t before = atomic_load_explicit(&window->period, memory_order_relaxed);
    if (before != period && atomic_compare_exchange_strong_explicit(
                                &window->period, &before, period, memory_order_relaxed, memory_order_relaxed))
        for (uint32_t i = 0; i < SLB_LATENCY_BUCKETS && before != 0; i++)
            atomic_store_explicit(&window->buckets[i], 0, memory_order_relaxed);
    return window;
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

static void write_record(struct slabby_allocator *pool, uint64_t now, uint64_t ticks, uint64_t weight) {
    struct record record = begin_record(pool);
    add_to_record(pool, &record, offsetof(struct slb_latency, samples), 1);
    struct slb_latency_window *window = window_now(record.latency, now);
    uint32_t bucket = slb_latency_bucket_of(ticks);
    size_t offset = (size_t)((char *)&window->buckets[bucket] - (char *)record.latency);
    add_to_record(pool, &record, offset, weight);
    add_to_record(pool, &record, offsetof(struct slb_latency, lifetime) + bucket * sizeof(uint64_t), weight);
    add_to_record(pool, &record, offsetof(struct slb_latency, weight), weight);
    add_to_record(pool, &record, offsetof(struct slb_latency, weighted_ticks), ticks * weight);
}

SLB_PRIVATE bool slb_timing_end(struct slabby_allocator *pool, const struct slb_timing *timing,
                                uint64_t parts) {
    if (timing->started == 0 || timing->weight == 0)
        return false;
    uint64_t now = slb_os_ticks();
    uint64_t ticks = now > timing->started ? (now - timing->started) / parts : 0;
    write_record(pool, now, ticks, timing->weight);
    uint64_t most = atomic_load_explicit(&pool->timing.max, memory_order_relaxed);
    while (ticks > most && !atomic_compare_exchange_weak_explicit(&pool->timing.max, &most, ticks,
                                                                  memory_order_relaxed, memory_order_relaxed))
        ;
    uint64_t limit = atomic_load_explicit(&pool->timing.limit_ticks, memory_order_relaxed);
    bool slow = slb_unlikely(limit != 0 && ticks > limit);
    if (slow)
        slb_count(&pool->timing.violations, 1);
    return slow;
}

/* --------------------------------------------------------------------------------------------------- limit */

SLB_PRIVATE void slb_latency_limit(struct slabby_allocator *pool, int64_t limit_ns) {
    double ticks = limit_ns == 0 ? 0 : (double)limit_ns / slb_os_ns_per_tick() + 1;
    slb_gate_lock(pool); /* of two threads that set it, one sets both */
    atomic_store(&pool->timing.limit_ns, (uint64_t)limit_ns);
    atomic_store(&pool->timing.limit_ticks, (uint64_t)ticks);
    slb_gate_unlock(pool);
}

/* An allocation that began without a limit has none: nobody noted when. */
SLB_PRIVATE bool slb_latency_is_spent(struct slabby_allocator *pool, uint64_t started) {
    uint64_t limit = atomic_load_explicit(&pool->timing.limit_ticks, memory_order_relaxed);
    return limit != 0 && started != 0 && slb_os_ticks() - started > limit;
}

/* ------------------------------------------------------------------------------------------------ reading */

/* The rate is read once for all times that are compared: it is measured anew each time. */
static double at_least_the_floor(double ticks, double ns_per_tick) {
    double floor_ns = (double)slb_os_clock_floor_ns(), ns = ticks * ns_per_tick;
    return ns < floor_ns ? floor_ns : ns;
}

SLB_PRIVATE void slb_latency_fill(struct slabby_allocator *pool, slabby_stats *out) {
    uint64_t weight = 0, weighted_ticks = 0;
    for (uint32_t i = 0, cpus = slb_used_cpus(pool); i <= cpus; i++) {
        struct slb_latency *latency = slb_latency_at(pool, i, cpus);
        out->latency_samples += atomic_load_explicit(&latency->samples, memory_order_relaxed);
        weight += atomic_load_explicit(&latency->weight, memory_order_relaxed);
        weighted_ticks += atomic_load_explicit(&latency->weighted_ticks, memory_order_relaxed);
    }
    out->latency_floor_ns = slb_os_clock_floor_ns();
    if (weight == 0)
        return;
    double ns_per_tick = slb_os_ns_per_tick();
    uint64_t most = atomic_load_explicit(&pool->timing.max, memory_order_relaxed);
    out->avg_alloc_time_ns = at_least_the_floor((double)weighted_ticks / (double)weight, ns_per_tick);
    double max_ns = at_least_the_floor((double)most, ns_per_tick);
    out->max_alloc_time_ns = (int64_t)max_ns + ((double)(int64_t)max_ns < max_ns); /* not below the average */
}

/* Both windows of every CPU that are of this half minute or the last. */
static uint64_t merged_bucket(struct slabby_allocator *pool, uint64_t period, uint32_t bucket) {
    uint64_t sum = 0;
    for (uint32_t i = 0, cpus = slb_used_cpus(pool); i <= cpus; i++) {
        for (uint32_t w = 0; w < 2; w++) {
            struct slb_latency_window *window = &slb_latency_at(pool, i, cpus)->windows[w];
            uint64_t of = atomic_load_explicit(&window->period, memory_order_relaxed);
            if (of != 0 && of + 1 >= period)
                sum += atomic_load_explicit(&window->buckets[bucket], memory_order_relaxed);
        }
    }
    return sum;
}

SLB_PRIVATE void slb_latency_percentiles(struct slabby_allocator *pool, const double *parts, int64_t *out_ns,
                                         uint32_t count) {
    uint64_t period = slb_os_coarse_ns() / SLB_LATENCY_WINDOW_NS + 1;
    uint64_t total = 0, seen = 0;
    uint32_t done = 0;
    for (uint32_t bucket = 0; bucket < SLB_LATENCY_BUCKETS; bucket++)
        total += merged_bucket(pool, period, bucket);
    double ns_per_tick = total == 0 ? 0 : slb_os_ns_per_tick();
    for (uint32_t i = 0; i < count; i++)
        out_ns[i] = 0;
    for (uint32_t bucket = 0; bucket < SLB_LATENCY_BUCKETS && done < count && total != 0; bucket++) {
        seen += merged_bucket(pool, period, bucket);
        for (; done < count && (double)seen >= parts[done] * (double)total && seen != 0; done++)
            out_ns[done] =
                (int64_t)(at_least_the_floor(slb_latency_bucket_middle(bucket), ns_per_tick) + 0.5);
    }
}
