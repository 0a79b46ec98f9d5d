/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "observe/latency.h"

#include "os/os.h"
#include "tiers/cpu_cache.h"
#include "tiers/gate.h"
#include "tiers/in_flight.h"
#include "tiers/lease.h"
#include "tiers/random.h"

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
    uint64_t next = served - 1 + slb_latency_distance(pool, now, mean);
    atomic_store_explicit(&cache->sample_at, SLB_SAMPLE_POINT(next), memory_order_relaxed);
}

/* Latencies, or which allocations lie on guard slots. */
static bool samples_anything(struct slabby_allocator *pool) {
    return atomic_load_explicit(&pool->timing.tracking, memory_order_relaxed) !=
               SLABBY_LATENCY_TRACKING_OFF ||
           atomic_load_explicit(&pool->guard_rate, memory_order_relaxed) != 0;
}

static bool peek_at_cache(struct slabby_allocator *pool, uint64_t *out_header, uint32_t *out_sample_at) {
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

/* relaxed here and below: only this CPU's threads write these, unless one moves in the middle, and a lost race costs
 * one sample. An empty or locked cache will not serve this allocation; then the next allocation that it serves is
 * timed. Headers that near their end are folded on this path too, because a program may never need a refill, which also
 * folds. */
SLB_PRIVATE struct slb_due slb_timing_if_due(struct slabby_allocator *pool) {
    struct slb_due due = {false, 0};
    uint64_t header;
    uint32_t sample_at;
    if (pool->cache_max == 0 || !peek_at_cache(pool, &header, &sample_at))
        return due;
    uint64_t served = slb_header_served(header);
    if (nears_its_end(served))
        due.due = true;
    else if (!samples_anything(pool))
        return due;
    else
        due.due = slb_sample_is_due(header, sample_at) && slb_header_ids(header) != 0;
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

/* Relaxed as above. A cache that has not passed its sampling point is at most SLB_SAMPLE_MOST allocations before it. A
 * point that was passed is due by itself, but only for SLB_SAMPLE_AHEAD_MOST allocations. If nothing is sampled, the
 * point moves that far ahead, out of the hot path's way. */
SLB_PRIVATE void slb_timing_catch_up(struct slabby_allocator *pool) {
    uint32_t cpu = slb_os_cpu();
    if (pool->cache_max == 0 || cpu >= slb_used_cpus(pool))
        return;
    struct slb_cpu_cache *cache = &pool->caches[cpu].cache;
    uint64_t served = slb_header_served(atomic_load_explicit(&cache->header, memory_order_relaxed));
    uint32_t at = atomic_load_explicit(&cache->sample_at, memory_order_relaxed);
    uint32_t ahead = (at - SLB_SAMPLE_POINT(served)) >> 16;
    if (samples_anything(pool)) {
        if (ahead > SLB_SAMPLE_MOST)
            atomic_store_explicit(&cache->sample_at, SLB_SAMPLE_POINT(served), memory_order_relaxed);
    } else if (ahead == 0 || ahead > SLB_SAMPLE_AHEAD_MOST) {
        atomic_store_explicit(&cache->sample_at, SLB_SAMPLE_POINT(served + SLB_SAMPLE_AHEAD_MOST),
                              memory_order_relaxed);
        /* pairs with that of slb_latency_track_locked: either its point comes behind this one, or is seen here */
        atomic_thread_fence(memory_order_seq_cst);
        if (samples_anything(pool))
            atomic_store_explicit(&cache->sample_at, SLB_SAMPLE_POINT(served), memory_order_relaxed);
    }
}

/* The number of the allocation is the last but one of the header's, unless another thread of this CPU ran in between:
 * that one may have been timed in its place. */
SLB_PRIVATE struct slb_timing slb_timing_of_served(struct slabby_allocator *pool, uint32_t cpu,
                                                   uint64_t started) {
    struct slb_cpu_cache *cache = &pool->caches[cpu].cache;
    uint64_t served = slb_header_served(atomic_load_explicit(&cache->header, memory_order_relaxed));
    uint64_t last = atomic_load_explicit(&cache->sampled_at, memory_order_relaxed);
    uint32_t at = atomic_load_explicit(&cache->sample_at, memory_order_relaxed);
    bool all =
        atomic_load_explicit(&pool->timing.tracking, memory_order_relaxed) == SLABBY_LATENCY_TRACKING_ALL;
    if (slb_unlikely(!all && !slb_sample_is_due(SLB_SAMPLE_POINT(served - 1), at))) {
        slb_timing_catch_up(pool);
        return (struct slb_timing){0, 0};
    }
    uint64_t weight = served > last ? served - last : all ? 1 : SLB_SAMPLE_MEAN;
    if (slb_unlikely(!all)) {
        set_next_sample(pool, cache, served, weight, started);
    } else {
        atomic_store_explicit(&cache->sampled_at, served, memory_order_relaxed);
        atomic_store_explicit(&cache->sample_at, SLB_SAMPLE_POINT(served), memory_order_relaxed);
    }
    if (nears_its_end(served))
        slb_cache_fold(pool);
    return (struct slb_timing){started, weight};
}

/* The caches are locked, so no allocation can use up a number while the next sample is set to this number. */
SLB_PRIVATE void slb_latency_track_locked(struct slabby_allocator *pool, uint32_t tracking) {
    slb_gate_close(pool, SLB_GATE_PAUSE);
    atomic_store_explicit(&pool->timing.tracking, tracking, memory_order_relaxed);
    atomic_thread_fence(
        memory_order_seq_cst); /* pairs with that of slb_timing_catch_up; guard_rate comes before, too */
    for (uint32_t cpu = 0; cpu < slb_used_cpus(pool) && pool->cache_max != 0; cpu++) {
        struct slb_cpu_cache *cache = &pool->caches[cpu].cache;
        uint64_t served = slb_header_served(atomic_load_explicit(&cache->header, memory_order_relaxed));
        atomic_store_explicit(&cache->sampled_at, served, memory_order_relaxed);
        atomic_store_explicit(&cache->sample_at, SLB_SAMPLE_POINT(served), memory_order_relaxed);
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

SLB_PRIVATE bool slb_timing_end(struct slabby_allocator *pool, const struct slb_timing *timing,
                                uint64_t parts) {
    if (timing->started == 0 || timing->weight == 0)
        return false;
    uint64_t now = slb_os_ticks();
    uint64_t ticks = now > timing->started ? (now - timing->started) / parts : 0;
    slb_latency_record(pool, now, ticks, timing->weight);
    return slb_timing_judge(pool, ticks);
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
    struct slb_latency_sums sums = slb_latency_sums(pool);
    out->latency_samples = sums.samples;
    out->latency_floor_ns = slb_os_clock_floor_ns();
    if (sums.weight == 0)
        return;
    double ns_per_tick = slb_os_ns_per_tick();
    uint64_t most = atomic_load_explicit(&pool->timing.max, memory_order_relaxed);
    out->avg_alloc_time_ns =
        at_least_the_floor((double)sums.weighted_ticks / (double)sums.weight, ns_per_tick);
    double max_ns = at_least_the_floor((double)most, ns_per_tick);
    out->max_alloc_time_ns = (int64_t)max_ns + ((double)(int64_t)max_ns < max_ns); /* not below the average */
}

SLB_PRIVATE void slb_latency_percentiles(struct slabby_allocator *pool, const double *parts, int64_t *out_ns,
                                         uint32_t count) {
    uint64_t buckets[SLB_LATENCY_BUCKETS] = {0}, period = slb_latency_period(), total = 0, seen = 0;
    uint32_t done = 0;
    for (uint32_t i = 0, cpus = slb_used_cpus(pool); i <= cpus; i++)
        slb_latency_add_recent(slb_latency_at(pool, i, cpus), period, buckets);
    for (uint32_t bucket = 0; bucket < SLB_LATENCY_BUCKETS; bucket++)
        total += buckets[bucket];
    double ns_per_tick = total == 0 ? 0 : slb_os_ns_per_tick();
    for (uint32_t i = 0; i < count; i++)
        out_ns[i] = 0;
    for (uint32_t bucket = 0; bucket < SLB_LATENCY_BUCKETS && done < count && total != 0; bucket++) {
        seen += buckets[bucket];
        for (; done < count && (double)seen >= parts[done] * (double)total && seen != 0; done++)
            out_ns[done] =
                (int64_t)(at_least_the_floor(slb_latency_bucket_middle(bucket), ns_per_tick) + 0.5);
    }
}
