/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which allocations are timed. */
#include "support.h"
#include "threads.h"

#include "observe/latency.h"
#include "os/os.h"
#include "pool.h"
#include "tiers/cpu_cache.h"

/* The mean of the distances where each allocation takes `ticks`. The clock is made up, so each run sees the same. */
static uint64_t mean_distance(struct slabby_allocator *pool, uint64_t ticks, uint32_t mean, uint64_t most) {
    enum { SAMPLES = 2000 };
    uint64_t now = 123456789, allocations = 0;
    for (int i = 0; i < SAMPLES; i++) {
        uint64_t distance = slb_latency_distance(pool, now, mean);
        assert_in_range(distance, 1, most);
        allocations += distance;
        now += distance * ticks;
    }
    return allocations / SAMPLES;
}

/* Guards: distances have the mean that is asked for, also where each allocation takes as many ticks as the others and
 * the clock advances in step with the distances. */
static void samples_keep_no_step_with_the_clock(void **state) {
    static struct slabby_allocator pool;

    (void)state;
    atomic_store(&pool.timing.tracking, SLABBY_LATENCY_TRACKING_SAMPLED);
    for (uint64_t ticks = 1; ticks <= 512; ticks++) {
        assert_in_range(mean_distance(&pool, ticks, 64, 128), 58, 71);
        assert_in_range(mean_distance(&pool, ticks, 1024, 2048), 922, 1126);
    }
}

/* Guards: guard slots need the samples: all allocations where guards are more frequent than one in 128, and no distance
 * above their rate. */
static void guards_need_samples(void **state) {
    static struct slabby_allocator pool;
    const struct {
        uint32_t rate;
        uint32_t mean;
    } cases[] = {{1, 1}, {127, 1}, {128, 64}, {511, 64}, {512, 256}, {5000, 256}};

    (void)state;
    atomic_store(&pool.timing.tracking, SLABBY_LATENCY_TRACKING_SAMPLED);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        atomic_store(&pool.guard_rate, cases[i].rate);
        assert_in_range(mean_distance(&pool, 7, 1024, 512), cases[i].mean * 9 / 10, cases[i].mean * 11 / 10);
    }
}

/* Guards: one allocation in as many is timed as come in 8 us, from 64 to 1,024, counted from the sample before. */
static void fast_allocations_are_timed_every_8_us(void **state) {
    _Atomic uint64_t sampled = 0;
    uint64_t now = 1u << 30, us = slb_os_ticks_per_us();
    const struct {
        uint64_t us, weight;
        uint32_t mean;
    } cases[] = {{1, 1, 64},     {1, 8, 64},         {1, 16, 128},          {2, 64, 256},
                 {100, 800, 64}, {100, 10000, 800},  {1, 128, 1024},        {1, 1000, 1024},
                 {1000, 1, 64},  {8, 1 << 20, 1024}, {8, 1ull << 41, 1024}, {1ull << 40, 1 << 20, 64}};

    (void)state;
    assert_int_equal(slb_latency_mean(&sampled, 64, now), 64);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        now += cases[i].us * us;
        assert_in_range(slb_latency_mean(&sampled, cases[i].weight, now), cases[i].mean - 1, cases[i].mean);
        assert_int_equal(atomic_load(&sampled), now);
    }
    assert_int_equal(slb_latency_mean(&sampled, 64, now), 1024); /* at the same tick */
}

/* Guards: a limit that is switched on refuses no allocation that began without one, of which nobody noted when. */
static void a_new_limit_is_for_later_allocations(void **state) {
    static struct slabby_allocator pool;

    (void)state;
    slb_latency_limit(&pool, 1000);
    assert_false(slb_latency_is_spent(&pool, 0));
    assert_true(slb_latency_is_spent(&pool, 1)); /* long ago */
    slb_latency_limit(&pool, 3600000000000);
    assert_false(slb_latency_is_spent(&pool, slb_os_ticks()));
}

static const int64_t backends[] = {SLABBY_CPU_CACHE_BACKEND_AUTO, SLABBY_CPU_CACHE_BACKEND_PORTABLE};

enum { BEFORE = 10000, SAMPLES = 500 };

/* The mean distance to the next sample where BEFORE allocations have come since the last, which was just now or long
 * ago. */
static uint64_t mean_in_cache(slabby_allocator *pool, bool long_ago) {
    struct slb_cpu_cache *cache = &pool->caches[slb_os_cpu()].cache;
    uint64_t distances = 0;

    for (int i = 0; i < SAMPLES; i++) {
        uint64_t served = slb_header_served(atomic_load(&cache->header));
        atomic_store(&cache->sampled_at, served - BEFORE);
        atomic_store(&cache->sample_at, SLB_SAMPLE_POINT(served));
        if (long_ago)
            atomic_store(&cache->sampled_ticks, 0);
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
        distances += (atomic_load(&cache->sample_at) - SLB_SAMPLE_POINT(served)) >> 16;
    }
    return distances / SAMPLES;
}

/* Guards: a busy CPU times one allocation in 1,024, with either backend. */
static void busy_caches_sample_less(void **state) {
    (void)state;
    if (!run_on(slb_os_cpu()))
        skip();
    for (size_t b = 0; b < COUNT_OF(backends); b++) {
        slabby_allocator *pool = make_pool(64, 4000, WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, backends[b]}));
        for (int i = 0; i < BEFORE; i++)
            CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
        assert_in_range(mean_in_cache(pool, false), 864, 1184);
        assert_in_range(mean_in_cache(pool, true), 54, 74);
        finish(pool);
    }
}

static uint64_t samples_of(slabby_allocator *pool) {
    return stats_of(pool).latency_samples;
}

/* Guards: an allocation behind the sampling point is timed, as the one at the point would have been, and the point lies
 * ahead again. */
static void a_passed_point_is_due(void **state) {
    const uint32_t passed[] = {1, 100, SLB_SAMPLE_AHEAD_MOST};

    (void)state;
    if (!run_on(slb_os_cpu()))
        skip();
    for (size_t b = 0; b < COUNT_OF(backends); b++) {
        slabby_allocator *pool = make_pool(64, 4000, WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, backends[b]}));
        struct slb_cpu_cache *cache = &pool->caches[slb_os_cpu()].cache;
        for (int i = 0; i < BEFORE; i++)
            CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
        for (size_t i = 0; i < COUNT_OF(passed); i++) {
            uint64_t served = slb_header_served(atomic_load(&cache->header)), samples = samples_of(pool);
            atomic_store(&cache->sample_at, SLB_SAMPLE_POINT(served - passed[i]));
            CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
            assert_int_equal(samples_of(pool), samples + 1);
            assert_false(
                slb_sample_is_due(atomic_load(&cache->header) - (1u << 16), atomic_load(&cache->sample_at)));
        }
        finish(pool);
    }
}

/* Guards: a thread that moves between its allocation and the choice of the next point leaves a CPU's point behind, and
 * that CPU's next allocation is timed. */
static void a_thread_that_moves_leaves_a_sample_behind(void **state) {
    uint32_t id;

    (void)state;
    if (!run_on(0) || !run_on(1))
        skip();
    for (size_t b = 0; b < COUNT_OF(backends); b++) {
        slabby_allocator *pool = make_pool(64, 4000, WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, backends[b]}));
        for (uint32_t cpu = 0; cpu < 2; cpu++) {
            run_on(cpu);
            CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
        }
        run_on(0);
        struct slb_cpu_cache *cache = &pool->caches[0].cache;
        atomic_store(&cache->sample_at, SLB_SAMPLE_POINT(slb_header_served(atomic_load(&cache->header))));
        struct slb_due due = slb_timing_if_due(pool);
        assert_true(due.due && slb_cache_take(pool, &id, false));
        run_on(1);
        (void)slb_timing_begin(pool, &due);
        run_on(0);
        uint64_t samples = samples_of(pool);
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
        assert_int_equal(samples_of(pool), samples + 1);
        assert_true(slb_cache_give(pool, id, false));
        finish(pool);
    }
}

/* Guards: in a pool without samples no allocation leaves the hot path for one, but once in 32,767. */
static void without_samples_the_point_stays_ahead(void **state) {
    (void)state;
    if (!run_on(slb_os_cpu()))
        skip();
    for (size_t b = 0; b < COUNT_OF(backends); b++) {
        slabby_allocator *pool =
            make_pool(64, 4000,
                      WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, backends[b]},
                           {SLABBY_OPTION_LATENCY_TRACKING, SLABBY_LATENCY_TRACKING_OFF}));
        struct slb_cpu_cache *cache = &pool->caches[slb_os_cpu()].cache;
        uint32_t points = 0, last = atomic_load(&cache->sample_at);
        for (uint32_t i = 0; i < 2 * SLB_SAMPLE_AHEAD_MOST; i++) {
            CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
            points += atomic_load(&cache->sample_at) != last;
            last = atomic_load(&cache->sample_at);
        }
        assert_in_range(points, 2, 3);
        assert_int_equal(samples_of(pool), 0);
        finish(pool);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_keep_no_step_with_the_clock),
        cmocka_unit_test(guards_need_samples),
        cmocka_unit_test(fast_allocations_are_timed_every_8_us),
        cmocka_unit_test(busy_caches_sample_less),
        cmocka_unit_test(a_new_limit_is_for_later_allocations),
        cmocka_unit_test(a_passed_point_is_due),
        cmocka_unit_test(a_thread_that_moves_leaves_a_sample_behind),
        cmocka_unit_test(without_samples_the_point_stays_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
