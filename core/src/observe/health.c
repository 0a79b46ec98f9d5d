/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "observe/health.h"

#include "observe/counters.h"
#include "observe/latency.h"
#include "os/clock.h"

#include <string.h>

#define HALF_WINDOW_NS 30000000000ull

/* -------------------------------------------------------------------------------------------------- window */

/* Under the health lock. After half a minute, the older base is dropped. After more than a minute, both bases are set
 * to the present. */
static void turn_window(struct slabby_allocator *pool, uint64_t now) {
    struct slb_health_state *health = &pool->health;
    if (now - health->bases[1].since_ns < HALF_WINDOW_NS)
        return;
    struct slb_health_base fresh = slb_count_base(pool);
    fresh.since_ns = now;
    health->bases[0] = now - health->bases[1].since_ns < 2 * HALF_WINDOW_NS ? health->bases[1] : fresh;
    health->bases[1] = fresh;
}

/* No thread waits for this lock: a thread that finds it taken leaves the work to its holder. */
static bool health_try_lock(struct slabby_allocator *pool) {
    uint32_t unlocked = 0;
    return atomic_compare_exchange_strong_explicit(&pool->health.lock, &unlocked, 1, memory_order_acquire,
                                                   memory_order_relaxed);
}

static void health_lock(struct slabby_allocator *pool) {
    for (uint32_t attempt = 0; !health_try_lock(pool); attempt++)
        slb_os_wait_a_little(attempt);
}

static void health_unlock(struct slabby_allocator *pool) {
    atomic_store_explicit(&pool->health.lock, 0, memory_order_release);
}

SLB_PRIVATE void slb_health_note(struct slabby_allocator *pool, uint64_t used) {
    if (!health_try_lock(pool))
        return;
    turn_window(pool, slb_now_ns());
    if (used > pool->health.bases[1].peak)
        pool->health.bases[1].peak = used;
    health_unlock(pool);
}

/* --------------------------------------------------------------------------------------------------- score */

static double ratio(uint64_t part, uint64_t whole, double without) {
    return whole == 0 ? without : (double)part / (double)whole;
}

static double used_factor(double used) {
    return used <= 0.8 ? 1.0 : 1.0 - (used > 1.0 ? 1.0 : (used - 0.8) / 0.2) * 0.8;
}

static double latency_factor(struct slabby_allocator *pool, int64_t p99_ns, uint64_t samples) {
    uint64_t limit = atomic_load_explicit(&pool->timing.limit_ns, memory_order_relaxed);
    if (limit == 0 || samples < 100 || p99_ns <= 0 || (uint64_t)p99_ns <= limit)
        return 1.0;
    return (double)limit / (double)p99_ns;
}

static double breaker_factor(int32_t state) {
    return state == SLABBY_BREAKER_STATE_OPEN ? 0.0 : state == SLABBY_BREAKER_STATE_HALF_OPEN ? 0.5 : 1.0;
}

/* Under the health lock. */
static void fill_window(struct slabby_allocator *pool, const slabby_stats *stats, slabby_health *out) {
    const struct slb_health_base *old = &pool->health.bases[0];
    uint64_t allocations = stats->total_allocations - old->allocations;
    uint64_t failures = stats->allocation_errors - old->failures;
    uint64_t peak = pool->health.bases[1].peak;
    peak = old->peak > peak ? old->peak : peak;
    peak = stats->used_slabs > peak ? stats->used_slabs : peak;
    out->error_rate = ratio(failures, allocations + failures, 0.0);
    out->cache_efficiency = ratio(stats->pcpu_cache_hits - old->cache_hits, allocations, 1.0);
    out->cache_efficiency = out->cache_efficiency > 1.0 ? 1.0 : out->cache_efficiency;
    out->memory_pressure = ratio(peak, stats->total_slabs, 0.0);
    out->memory_pressure = out->memory_pressure > 1.0 ? 1.0 : out->memory_pressure; /* the pool has shrunk */
}

/* The five terms of the score, after the values that they are made of. */
static void fill_factors(struct slabby_allocator *pool, const slabby_stats *stats, slabby_health *out) {
    out->breaker_mode = (int32_t)atomic_load_explicit(&pool->breaker.mode, memory_order_relaxed);
    out->unacknowledged_corruptions =
        atomic_load_explicit(&pool->corruption.unacknowledged, memory_order_relaxed);
    out->use_factor =
        used_factor(ratio(stats->used_slabs + slb_count_retired(pool), stats->total_slabs, 0.0));
    out->error_factor = 1.0 - out->error_rate;
    out->latency_factor = latency_factor(pool, out->alloc_latency_p99, stats->latency_samples);
    out->breaker_factor = breaker_factor(stats->breaker_state);
    out->integrity_factor = out->unacknowledged_corruptions != 0 ? 0.25 : 1.0;
}

static void fill_score(struct slabby_allocator *pool, const struct slb_conditions *conditions,
                       slabby_health *out, slabby_stats *stats) {
    static const double parts[] = {0.50, 0.95, 0.99};
    int64_t percentiles[3];
    slb_latency_percentiles(pool, parts, percentiles, 3);
    memset(out, 0, sizeof *out);
    slb_stats_fill(pool, conditions, stats);
    memcpy(out->name, stats->name, sizeof out->name);
    out->capacity = stats->total_slabs;
    out->pool_state = stats->pool_state;
    fill_window(pool, stats, out);
    out->alloc_latency_p50 = percentiles[0];
    out->alloc_latency_p95 = percentiles[1];
    out->alloc_latency_p99 = percentiles[2];
    out->fragmentation_score = ratio(stats->cached_slabs, stats->available_slabs, 0.0);
    out->fragmentation_score = out->fragmentation_score > 1.0 ? 1.0 : out->fragmentation_score;
    out->degradation_state = stats->degradation_state;
    out->breaker_state = stats->breaker_state;
    out->circuit_breaker_open = conditions->refuses;
    out->last_drain_duration =
        (int64_t)((double)atomic_load_explicit(&pool->counts.last_drain_ticks, memory_order_relaxed) *
                  slb_os_ns_per_tick());
    fill_factors(pool, stats, out);
    out->health_score = out->use_factor * out->error_factor * out->latency_factor * out->breaker_factor *
                        out->integrity_factor;
    if (conditions->pool_state != SLABBY_POOL_STATE_OPEN)
        out->health_score = 0.0;
}

/* --------------------------------------------------------------------------------------------------- trend */

static int sign_of(double x) {
    return (x > 0) - (x < 0);
}

/* Mann, Econometrica 13 (1945); Kendall, Rank Correlation Methods (1975): S counts the pairs that rise less those that
 * fall; its variance without ties is n (n - 1) (2n + 5) / 18, and each group of t ties takes t (t - 1) (2t + 5) / 18
 * off. Compared by squares, against 1.96 squared. */
static int kendall(const double *scores, uint32_t count) {
    double s = 0, n = count, variance = n * (n - 1) * (2 * n + 5) / 18;
    for (uint32_t i = 0; i < count; i++) {
        double ties = 1;
        bool first = true;
        for (uint32_t k = 0; k < i; k++)
            first &= sign_of(scores[k] - scores[i]) != 0;
        for (uint32_t k = i + 1; k < count; k++) {
            s += sign_of(scores[k] - scores[i]);
            ties += sign_of(scores[k] - scores[i]) == 0;
        }
        if (first)
            variance -= ties * (ties - 1) * (2 * ties + 5) / 18;
    }
    double distance = (s < 0 ? -s : s) - 1;
    return variance > 0 && distance > 0 && distance * distance > 3.8416 * variance ? sign_of(s) : 0;
}

/* The median of the slopes of all pairs (Theil 1950, Sen 1968), by counting: the slope with as many below as above. */
static double median_slope(const double *scores, uint32_t count) {
    double slopes[SLB_HEALTH_TICKS * (SLB_HEALTH_TICKS - 1) / 2];
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = i + 1; k < count; k++) {
            double slope = (scores[k] - scores[i]) / (double)(k - i);
            uint32_t at = n++;
            for (; at > 0 && slopes[at - 1] > slope; at--)
                slopes[at] = slopes[at - 1];
            slopes[at] = slope;
        }
    }
    return n == 0 ? 0 : (slopes[(n - 1) / 2] + slopes[n / 2]) / 2;
}

SLB_PRIVATE int32_t slb_trend(const double *scores, uint32_t count) {
    int direction = kendall(scores, count);
    double change = median_slope(scores, count) * (count > 0 ? count - 1 : 0);
    if (direction > 0 && change >= 0.05)
        return SLABBY_TREND_IMPROVING;
    if (direction < 0 && change <= -0.05)
        return SLABBY_TREND_DEGRADING;
    return SLABBY_TREND_STABLE;
}

/* Under the health lock: the ring, oldest first. */
static int32_t trend_of(struct slabby_allocator *pool) {
    const struct slb_health_state *health = &pool->health;
    uint32_t count = health->ticks < SLB_HEALTH_TICKS ? (uint32_t)health->ticks : SLB_HEALTH_TICKS;
    double scores[SLB_HEALTH_TICKS];
    for (uint32_t i = 0; i < count; i++)
        scores[i] = health->scores[(health->ticks - count + i) % SLB_HEALTH_TICKS];
    return slb_trend(scores, count);
}

SLB_PRIVATE void slb_health_values(struct slabby_allocator *pool, const struct slb_conditions *conditions,
                                   slabby_health *out, slabby_stats *out_stats) {
    health_lock(pool);
    turn_window(pool, slb_now_ns());
    fill_score(pool, conditions, out, out_stats);
    health_unlock(pool);
}

SLB_PRIVATE void slb_health_fill(struct slabby_allocator *pool, const struct slb_conditions *conditions,
                                 slabby_health *out) {
    slabby_stats stats;
    health_lock(pool);
    turn_window(pool, slb_now_ns());
    fill_score(pool, conditions, out, &stats);
    out->recent_trend = trend_of(pool);
    health_unlock(pool);
}

SLB_PRIVATE void slb_health_tick(struct slabby_allocator *pool, const struct slb_conditions *conditions) {
    slabby_health now;
    slabby_stats stats;
    health_lock(pool);
    turn_window(pool, slb_now_ns());
    fill_score(pool, conditions, &now, &stats);
    pool->health.scores[pool->health.ticks++ % SLB_HEALTH_TICKS] = now.health_score;
    health_unlock(pool);
}
