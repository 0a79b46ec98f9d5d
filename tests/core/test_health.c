/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The health score: what lowers it, where it heads, and percentiles against an exact sort. */
#define _GNU_SOURCE
#include "support.h"

#include "observe/health.h"
#include "observe/latency.h"
#include "os/os.h"
#include "test_hooks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static slabby_health health_of(slabby_allocator *pool) {
    slabby_health health = {.struct_size = sizeof health};
    CHECK_STATUS(slabby_get_health(&health, pool), SLABBY_OK);
    return health;
}

/* Guards: an idle sound pool is 1.0, and its other fields are at rest. */
static void an_idle_pool_is_well(void **state) {
    (void)state;
    slabby_allocator *pool = make_pool(64, 100, NULL);
    slabby_health health = health_of(pool);
    assert_true(health.health_score == 1.0);
    assert_true(health.error_rate == 0.0 && health.memory_pressure == 0.0 && health.cache_efficiency == 1.0);
    assert_int_equal(health.recent_trend, SLABBY_TREND_STABLE);
    assert_int_equal(health.circuit_breaker_open, 0);
    assert_int_equal(health.last_gc_duration, 0);
    finish(pool);
}

/* Guards: the score falls from 80 % used on, down to 0.2 when full, and never rises on the way. */
static void use_lowers_the_score(void **state) {
    (void)state;
    slabby_allocator *pool = make_pool(64, 100, NULL);
    slabby_ref refs[100];
    double before = 1.0;
    for (int i = 0; i < 100; i++) {
        refs[i] = take(pool);
        double score = health_of(pool).health_score;
        assert_true(score <= before);
        assert_true(i + 1 > 80 || score == 1.0);
        before = score;
    }
    assert_true(fabs(before - 0.2) < 1e-9);
    assert_true(health_of(pool).memory_pressure == 1.0);
    for (int i = 0; i < 100; i++)
        CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
    assert_true(health_of(pool).health_score == 1.0);
    finish(pool);
}

/* Guards: failures lower the score by their share of the attempts. */
static void errors_lower_the_score(void **state) {
    (void)state;
    slabby_allocator *pool = make_pool(64, 1, NULL);
    slabby_ref ref, other;
    double before = 1.0;
    for (int i = 0; i < 10; i++) {
        ref = take(pool);
        CHECK_STATUS(slabby_allocate(&other, NULL, pool), SLABBY_OUT_OF_MEMORY);
        CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
        assert_true(health_of(pool).health_score <= before);
        before = health_of(pool).health_score;
    }
    assert_true(fabs(health_of(pool).error_rate - 0.5) < 1e-9);
    assert_true(fabs(before - 0.5) < 1e-9);
    finish(pool);
}

/* Guards: an open breaker is 0, unacknowledged corruption a quarter. */
static void breaker_and_corruption_lower_the_score(void **state) {
    (void)state;
    slabby_allocator *pool = make_pool(64, 10, WITH({SLABBY_OPTION_BIT_GUARD, 1}));
    slabby_ref ref;
    char *data;
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_FORCED_OPEN), SLABBY_OK);
    assert_true(health_of(pool).health_score == 0.0);
    assert_int_equal(health_of(pool).circuit_breaker_open, 1);
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_NORMAL), SLABBY_OK);
    CHECK_STATUS(slabby_allocate(&ref, (void **)&data, pool), SLABBY_OK);
    data[64] ^= 1;
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_MEMORY_CORRUPTION);
    assert_true(fabs(health_of(pool).health_score - 0.25) < 1e-9);
    CHECK_STATUS(slabby_reclaim(NULL, pool), SLABBY_OK);
    assert_true(health_of(pool).health_score == 1.0);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

static double noise(uint64_t *seed) {
    return (double)(random_next(seed) % 1000) / 1000.0 - 0.5;
}

/* Guards: rising, falling, flat and noisy series are told apart. */
static void trends_are_recognised(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    double rising[32], falling[32], flat[32], slight[32];
    int wrong = 0;
    for (int i = 0; i < 32; i++) {
        rising[i] = 0.3 + 0.01 * i + 0.05 * noise(&seed);
        falling[i] = 0.9 - 0.01 * i + 0.05 * noise(&seed);
        flat[i] = 1.0;
        slight[i] = 0.9 - 0.001 * i; /* certain, but less than 0.05 in all */
    }
    assert_int_equal(slb_trend(rising, 32), SLABBY_TREND_IMPROVING);
    assert_int_equal(slb_trend(falling, 32), SLABBY_TREND_DEGRADING);
    assert_int_equal(slb_trend(flat, 32), SLABBY_TREND_STABLE);
    assert_int_equal(slb_trend(slight, 32), SLABBY_TREND_STABLE);
    assert_int_equal(slb_trend(rising, 0), SLABBY_TREND_STABLE);
    assert_int_equal(slb_trend(rising, 1), SLABBY_TREND_STABLE);
    for (int series = 0; series < 1000; series++) {
        for (int i = 0; i < 32; i++)
            flat[i] = 0.5 + 0.4 * noise(&seed);
        wrong += slb_trend(flat, 32) != SLABBY_TREND_STABLE;
    }
    assert_in_range(wrong, 0, 90); /* 5 % by design; 90 of 1000 is five standard deviations off */
}

/* Guards: ticks fill the ring in order, so that the trend looks at the latest 32. */
static void ticks_make_a_trend(void **state) {
    (void)state;
    slabby_allocator *pool = make_pool(64, 100, NULL);
    slabby_ref refs[100];
    for (int i = 0; i < 40; i++)
        CHECK_STATUS(slabby_health_tick(pool), SLABBY_OK);
    for (int i = 0; i < 100; i++) {
        refs[i] = take(pool);
        if (i >= 68)
            CHECK_STATUS(slabby_health_tick(pool), SLABBY_OK);
    }
    assert_int_equal(health_of(pool).recent_trend, SLABBY_TREND_DEGRADING);
    for (int i = 0; i < 100; i++) {
        CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
        if (i < 32)
            CHECK_STATUS(slabby_health_tick(pool), SLABBY_OK);
    }
    assert_int_equal(health_of(pool).recent_trend, SLABBY_TREND_IMPROVING);
    finish(pool);
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* A time as the pool noted it is one that the clock showed between two looks of ours. */
struct bounds {
    uint64_t least[20000], most[20000];
};

/* Times far above the clock's own cost, over several octaves. */
static void note_times(slabby_allocator *pool, struct bounds *bounds, uint64_t *seed) {
    for (size_t i = 0; i < COUNT_OF(bounds->least); i++) {
        uint64_t ticks = 1000000 + (random_next(seed) % 1000000) * (random_next(seed) % 1000);
        struct slb_timing timing = {slb_os_ticks() - ticks, 1};
        bounds->least[i] = slb_os_ticks() - timing.started;
        slb_timing_end(pool, &timing, 1);
        bounds->most[i] = slb_os_ticks() - timing.started;
    }
    qsort(bounds->least, COUNT_OF(bounds->least), sizeof bounds->least[0], compare);
    qsort(bounds->most, COUNT_OF(bounds->most), sizeof bounds->most[0], compare);
}

/* Guards: percentiles are within the 1.1 % that docs/health.md states of an exact sort of the same times. */
static void percentiles_match_a_sort(void **state) {
    static struct bounds bounds;
    static const double parts[] = {0.01, 0.25, 0.5, 0.95, 0.99, 0.999};
    int64_t found[COUNT_OF(parts)];
    (void)state;
    uint64_t seed = test_seed();
    struct slabby_allocator *pool = make_pool(64, 10, NULL);
    note_times(pool, &bounds, &seed);
    slb_latency_percentiles(pool, parts, found, COUNT_OF(parts));
    double ns_per_tick = slb_os_ns_per_tick();
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        size_t rank = (size_t)(parts[i] * (double)COUNT_OF(bounds.least)) - 1;
        double least = (double)bounds.least[rank] * ns_per_tick,
               most = (double)bounds.most[rank] * ns_per_tick;
        assert_true((double)found[i] >= least * (1 - 0.011) && (double)found[i] <= most * (1 + 0.011));
    }
    finish(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_pool_is_well),     cmocka_unit_test(use_lowers_the_score),
        cmocka_unit_test(errors_lower_the_score),   cmocka_unit_test(breaker_and_corruption_lower_the_score),
        cmocka_unit_test(trends_are_recognised),    cmocka_unit_test(ticks_make_a_trend),
        cmocka_unit_test(percentiles_match_a_sort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
