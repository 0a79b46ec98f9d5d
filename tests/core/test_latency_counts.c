/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where times are stored: short ones by their ticks, others in buckets, and what the last half minutes had of them. */
#define _GNU_SOURCE
#include "support.h"
#include "threads.h"

#include "observe/latency.h"
#include "os/os.h"
#include "pool.h"
#include "tiers/cpu_cache_rseq.h"

#include <string.h>

#if SLB_HAVE_RSEQ && defined(__x86_64__) && defined(__linux__)
#include "rseq_interrupt.h"

#include <pthread.h>
#endif

static slabby_allocator *tracked_pool(void) {
    return make_pool(64, 100, WITH({SLABBY_OPTION_LATENCY_TRACKING, SLABBY_LATENCY_TRACKING_ALL}));
}

static uint64_t total_of(const uint64_t *buckets) {
    uint64_t total = 0;
    for (uint32_t i = 0; i < SLB_LATENCY_BUCKETS; i++)
        total += buckets[i];
    return total;
}

/* The sum of all times, of a pool that nobody uses. */
static uint64_t ticks_of(slabby_allocator *pool) {
    uint64_t counts[SLB_LATENCY_SHORT], ticks = 0;
    for (uint32_t i = 0, cpus = slb_used_cpus(pool); i <= cpus; i++) {
        struct slb_latency *latency = slb_latency_at(pool, i, cpus);
        slb_short_times_read(&latency->short_times, counts);
        for (uint32_t k = 1; k < SLB_LATENCY_SHORT; k++)
            ticks += counts[k] * slb_short_ticks(k);
        ticks += atomic_load(&latency->weighted_ticks);
    }
    return ticks;
}

/* Guards: each allocation of a pool that times all is in the sums and in a bucket, however long it took. */
static void each_allocation_is_counted_once(void **state) {
    static uint64_t buckets[SLB_LATENCY_BUCKETS], recent[SLB_LATENCY_BUCKETS];
    slabby_allocator *pool = tracked_pool();

    (void)state;
    for (int i = 0; i < 3000; i++)
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    struct slb_latency_sums sums = slb_latency_sums(pool);
    memset(buckets, 0, sizeof buckets);
    memset(recent, 0, sizeof recent);
    for (uint32_t i = 0, cpus = slb_used_cpus(pool); i <= cpus; i++) {
        slb_latency_add_all(slb_latency_at(pool, i, cpus), buckets);
        slb_latency_add_recent(slb_latency_at(pool, i, cpus), slb_latency_period(), recent);
    }
    /* one on whose way the thread moved to another CPU may be part of the next sample there */
    assert_in_range(sums.samples, 2900, 3000);
    assert_in_range(sums.weight, 2900, 3000);
    assert_int_equal(total_of(buckets), sums.weight);
    assert_int_equal(total_of(recent), sums.weight);
    assert_int_equal(sums.weighted_ticks, ticks_of(pool));
    finish(pool);
}

/* Guards: also where all are timed, the next sample stands for what batches took in between. */
static void batches_are_in_the_next_weight(void **state) {
    slabby_allocator *pool = tracked_pool();
    slabby_ref refs[10];

    (void)state;
    for (int i = 0; i < 100; i++)
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, COUNT_OF(refs)), SLABBY_OK);
    CHECK_STATUS(slabby_release_batch(NULL, pool, refs, COUNT_OF(refs)), SLABBY_OK);
    for (int i = 0; i < 100; i++)
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    uint64_t weight = slb_latency_sums(pool).weight;
    assert_in_range(weight, 206, 211); /* a batch may be timed as one */
    finish(pool);
}

/* Guards: a short time counts as the same as one that is too long to be stored by its ticks. */
static void times_add_up(void **state) {
    static const uint64_t times[] = {0, 1, 26, 255, 256, 5000};
    static uint64_t buckets[SLB_LATENCY_BUCKETS];
    slabby_allocator *pool = make_pool(64, 10, NULL);
    uint64_t now = slb_os_ticks(), ticks = 0;

    (void)state;
    memset(buckets, 0, sizeof buckets);
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        slb_latency_record(pool, now, times[i], 1);
        slb_latency_record(pool, now, times[i], 10);
        ticks += 11 * times[i];
    }
    struct slb_latency_sums sums = slb_latency_sums(pool);
    assert_int_equal(sums.samples, 2 * COUNT_OF(times));
    assert_int_equal(sums.weight, 11 * COUNT_OF(times));
    assert_int_equal(sums.weighted_ticks, ticks);
    for (uint32_t i = 0, cpus = slb_used_cpus(pool); i <= cpus; i++)
        slb_latency_add_all(slb_latency_at(pool, i, cpus), buckets);
    assert_int_equal(buckets[0], 22); /* 0 and 1 */
    for (size_t i = 2; i < COUNT_OF(times); i++)
        assert_int_equal(buckets[slb_latency_bucket_of(times[i])], 11);
    finish(pool);
}

/* A CPU that had 5 samples when half minute `first` began, 12 when `second` did, and 20 now. A half minute 0 had
 * none. */
static uint64_t recent_of(uint64_t first, uint64_t second, uint64_t period) {
    static struct slb_latency latency;
    static uint64_t buckets[SLB_LATENCY_BUCKETS];

    memset(&latency, 0, sizeof latency);
    memset(buckets, 0, sizeof buckets);
    atomic_store(&latency.looked_at, 1);
    atomic_store(&latency.short_times.counts[9], 8);
    atomic_store(&latency.buckets[500], 12);
    if (first != 0) {
        atomic_store(&latency.starts[first & 1].period, first);
        atomic_store(&latency.starts[first & 1].short_counts[9], 3);
        atomic_store(&latency.starts[first & 1].buckets[500], 2);
    }
    if (second != 0) {
        atomic_store(&latency.starts[second & 1].period, second);
        atomic_store(&latency.starts[second & 1].short_counts[9], 5);
        atomic_store(&latency.starts[second & 1].buckets[500], 7);
    }
    slb_latency_add_recent(&latency, period, buckets);
    assert_int_equal(total_of(buckets), buckets[500] + buckets[slb_latency_bucket_of(slb_short_ticks(9))]);
    return total_of(buckets);
}

/* Guards: percentiles are of this half minute and the last, whichever of them had samples. */
static void recent_times_are_of_two_half_minutes(void **state) {
    (void)state;
    assert_int_equal(recent_of(100, 101, 101), 15);
    assert_int_equal(recent_of(100, 101, 102), 8);
    assert_int_equal(recent_of(100, 101, 103), 0);
    assert_int_equal(recent_of(90, 101, 101), 8); /* nothing in between */
    assert_int_equal(recent_of(0, 101, 101), 8);
    assert_int_equal(recent_of(0, 0, 101), 0);
}

/* All samples so far are older than the last two half minutes; the starts of these have the number `start`. */
static void let_time_pass(slabby_allocator *pool, uint64_t start) {
    for (uint32_t i = 0, cpus = slb_used_cpus(pool); i <= cpus; i++) {
        struct slb_latency *latency = slb_latency_at(pool, i, cpus);
        atomic_store(&latency->starts[0].period, start);
        atomic_store(&latency->starts[1].period, start);
        atomic_store(&latency->looked_at, 0);
    }
}

static uint64_t recent_weight(slabby_allocator *pool) {
    static uint64_t buckets[SLB_LATENCY_BUCKETS];
    memset(buckets, 0, sizeof buckets);
    for (uint32_t i = 0, cpus = slb_used_cpus(pool); i <= cpus; i++)
        slb_latency_add_recent(slb_latency_at(pool, i, cpus), slb_latency_period(), buckets);
    return total_of(buckets);
}

/* Guards: the first sample of a half minute notes what there was before it, and no other sample does; also where a
 * thread has begun to note it and stopped. */
static void half_minutes_begin_with_a_sample(void **state) {
    slabby_allocator *pool = make_pool(64, 10, NULL);
    const uint64_t now = slb_os_ticks(), starts[] = {slb_latency_period() - 4, 0};

    (void)state;
    for (int i = 0; i < 10; i++)
        slb_latency_record(pool, now, 1000, 7);
    for (size_t i = 0; i < COUNT_OF(starts); i++) {
        let_time_pass(pool, starts[i]);
        for (int k = 0; k < 3; k++)
            slb_latency_record(pool, now, 1000, 1);
        assert_int_equal(recent_weight(pool), 3);
        assert_int_equal(slb_latency_sums(pool).weight, 73 + 3 * i);
    }
    finish(pool);
}

#if SLB_HAVE_RSEQ && defined(__x86_64__) && defined(__linux__)
static void *record_without_sequences(void *pool) {
    if (!take_area_back(UINT32_MAX))
        return NULL;
    slb_latency_record(pool, slb_os_ticks(), 1000, 5);
    return pool;
}

/* Guards: what a CPU's sequences add to, nobody else adds to. */
static void a_thread_without_sequences_adds_to_its_own(void **state) {
    slabby_allocator *pool = make_pool(64, 10, NULL);
    pthread_t thread;
    void *recorded;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, record_without_sequences, pool), 0);
    assert_int_equal(pthread_join(thread, &recorded), 0);
    if (recorded == NULL || pool->rseq_cpus == 0) {
        finish(pool);
        skip();
    }
    assert_int_equal(atomic_load(&pool->latency[pool->cpus].weight), 5);
    assert_int_equal(slb_latency_sums(pool).weight, 5);
    finish(pool);
}
#endif

/* Guards: a pool that times all notes its peak while the use stays below the caches' size. */
static void tracked_pools_note_their_peak(void **state) {
    slabby_allocator *pool = tracked_pool();
    slabby_ref refs[20];

    (void)state;
    for (int i = 0; i < 20; i++)
        refs[i] = take(pool);
    /* without sleep, behind which another CPU might fill its cache and look on that way */
    for (uint64_t start = slb_os_now_ns(); slb_os_now_ns() - start < 10000000;)
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    for (int i = 0; i < 20; i++)
        CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
    assert_in_range(stats_of(pool).peak_used, 20, 21);
    finish(pool);
}

/* On one CPU: a sample is lost where its thread moves at the wrong moment. */
int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_is_counted_once),
        cmocka_unit_test(batches_are_in_the_next_weight),
        cmocka_unit_test(times_add_up),
        cmocka_unit_test(recent_times_are_of_two_half_minutes),
        cmocka_unit_test(half_minutes_begin_with_a_sample),
        cmocka_unit_test(tracked_pools_note_their_peak),
#if SLB_HAVE_RSEQ && defined(__x86_64__) && defined(__linux__)
        cmocka_unit_test(a_thread_without_sequences_adds_to_its_own),
#endif
    };
    return cmocka_run_group_tests(tests, stay_on_one_cpu, NULL);
}
