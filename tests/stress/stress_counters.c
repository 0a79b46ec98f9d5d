/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Counters while the pool is in use: what the contract marks as a counter or a maximum never falls and never wraps,
 * at any time and for any reader; no reader sees more released than allocated; and once no call is inside, the sums
 * hold exactly. */
#include "disturb.h"
#include "support.h"
#include "threads.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "test_hooks.h"

struct growing_field {
    const char *name;
    size_t offset, count;
};

#include "contract_counters.h"

enum { CAPACITY = 2000, BATCH = 300, HELD = 64, ENOUGH_SNAPSHOTS = 10 };

struct counter_case {
    slabby_allocator *pool;
    uint64_t end_ns, snapshots;
    atomic_bool over; /* the observer says so */
};

static void allocate_and_release(struct counter_case *test, uint64_t *random) {
    slabby_ref refs[HELD];
    uint64_t held = 0, wanted = 1 + random_next(random) % HELD;
    while (held < wanted && slabby_allocate(&refs[held], NULL, test->pool) == SLABBY_OK)
        held++;
    (void)slabby_release_batch(NULL, test->pool, refs, held); /* a reset may have been faster */
}

/* Asks for more than there is, so that most batches take from the caches and give it all back. */
static void fail_batches(struct counter_case *test, uint64_t *random) {
    static __thread slabby_ref refs[CAPACITY];
    uint64_t wanted = random_next(random) % 2 ? CAPACITY : BATCH;
    if (slabby_allocate_batch(refs, NULL, test->pool, wanted) == SLABBY_OK)
        (void)slabby_release_batch(NULL, test->pool, refs, wanted);
}

static void call_by_id(struct counter_case *test, uint64_t *random) {
    uint32_t ids[HELD];
    uint64_t held = 0, wanted = 1 + random_next(random) % HELD;
    void *data;
    while (held < wanted && slabby_allocate_fast(&data, &ids[held], test->pool) == SLABBY_OK)
        held++;
    while (held > 0)
        (void)slabby_deallocate_fast(test->pool, ids[--held]);
}

static void work_on_the_whole(struct counter_case *test, uint64_t *random) {
    uint64_t bytes;
    switch (random_next(random) % 8) {
    case 0:
        (void)slabby_reset(test->pool);
        break;
    case 1:
        (void)slabby_trim(&bytes, test->pool);
        break;
    default:
        slb_test_gate_cycle(test->pool);
    }
    allocate_and_release(test, random);
}

static void expect_no_more_released(const slabby_stats *stats) {
    if (stats->total_deallocations > stats->total_allocations)
        complain("%" PRIu64 " released of %" PRIu64, stats->total_deallocations, stats->total_allocations);
    if (stats->fast_deallocations > stats->fast_allocations)
        complain("%" PRIu64 " released by id of %" PRIu64, stats->fast_deallocations,
                 stats->fast_allocations);
}

/* A reader beside the observer: both publish what they have read. */
static void read_once(struct counter_case *test, uint64_t *random) {
    slabby_stats stats = {.struct_size = sizeof stats};
    (void)random;
    (void)slabby_get_stats(&stats, test->pool);
    expect_no_more_released(&stats);
}

static void observe(struct counter_case *test) {
    uint64_t before[128] = {0};
    slabby_stats stats = {.struct_size = sizeof stats};
    (void)slabby_get_stats(&stats, test->pool);
    test->snapshots++;
    for (bool again = false;; again = true) {
        size_t at = 0;
        for (size_t i = 0; i < COUNT_OF(growing_fields); i++) {
            for (size_t k = 0; k < growing_fields[i].count; k++, at++) {
                uint64_t now;
                memcpy(&now, (char *)&stats + growing_fields[i].offset + k * sizeof now, sizeof now);
                if (again && now < before[at])
                    complain("%s[%u] fell from %" PRIu64 " to %" PRIu64, growing_fields[i].name, (unsigned)k,
                             before[at], now);
                if (now >= UINT64_MAX / 2)
                    complain("%s[%u] wrapped to %" PRIu64, growing_fields[i].name, (unsigned)k, now);
                before[at] = now;
            }
        }
        expect_no_more_released(&stats);
        if (threads_failed() || (now_ns() >= test->end_ns && test->snapshots > ENOUGH_SNAPSHOTS)) {
            atomic_store(&test->over, true);
            return;
        }
        (void)slabby_get_stats(&stats, test->pool);
        test->snapshots++;
    }
}

static void work(struct worker *worker) {
    static void (*const jobs[])(struct counter_case *, uint64_t *) = {
        allocate_and_release, fail_batches, call_by_id, work_on_the_whole, allocate_and_release, read_once};
    struct counter_case *test = worker->shared;
    if (worker->index == 0) {
        observe(test);
        return;
    }
    while (!atomic_load(&test->over))
        jobs[(worker->index - 1) % COUNT_OF(jobs)](test, &worker->random);
}

static void work_by_id(struct worker *worker) {
    struct counter_case *test = worker->shared;
    if (worker->index == 0)
        observe(test);
    else
        while (!atomic_load(&test->over))
            call_by_id(test, &worker->random);
}

static void watch(slabby_allocator *pool, void (*job)(struct worker *), uint64_t ms, bool disturbed) {
    struct counter_case test = {.pool = pool};
    disturb(disturbed);
    test.end_ns = now_ns() + scaled(ms) * 1000000;
    run_threads(7, job, &test, test_seed());
    disturb(0);
    assert_no_thread_failed();
    printf("%" PRIu64 " snapshots\n", test.snapshots);
}

static void counters_only_grow(slabby_allocator *pool, bool disturbed) {
    watch(pool, work, 2000, disturbed);
    CHECK_STATUS(slabby_reset(pool), SLABBY_OK);
    finish(pool);
}

/* Guards: in a plain pool no counter falls or wraps while others allocate, release, fail batches, call by id, drain
 * and reset; afterwards all is exact. */
static void of_a_plain_pool(void **state) {
    (void)state;
    counters_only_grow(make_pool(64, CAPACITY, NULL), false);
    counters_only_grow(make_pool(64, CAPACITY, NULL), true);
}

/* Guards: the same with guards sampled, a heap and records, where hits move from one counter to another. */
static void of_a_pool_with_guards(void **state) {
    (void)state;
    const struct setting *settings =
        WITH({SLABBY_OPTION_GUARD_SAMPLE_RATE, 20}, {SLABBY_OPTION_GUARD_SLOTS, 64},
             {SLABBY_OPTION_HEAP_FALLBACK, 1}, {SLABBY_OPTION_HEAP_FALLBACK_LIMIT, 100});
    counters_only_grow(make_pool(64, CAPACITY, settings), false);
}

/* Guards: the same without caches, and with the portable ones. */
static void of_other_backends(void **state) {
    (void)state;
    counters_only_grow(make_pool(64, CAPACITY, WITH({SLABBY_OPTION_PER_CPU_CACHE, 0})), false);
    counters_only_grow(make_pool(64, CAPACITY,
                                 WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, SLABBY_CPU_CACHE_BACKEND_PORTABLE},
                                      {SLABBY_OPTION_GUARD_SAMPLE_RATE, 20})),
                       true);
}

static void all_is_by_id(slabby_allocator *pool) {
    watch(pool, work_by_id, 500, true);
    slabby_stats stats = stats_of(pool);
    assert_int_equal(stats.ref_pool_hits, 0);
    assert_int_equal(stats.fast_allocations, stats.total_allocations);
    assert_int_equal(stats.fast_deallocations, stats.total_allocations);
    finish(pool);
}

/* Guards: where all is by id, no observer ever counts a use by reference, wherever a thread stops. */
static void of_uses_by_id(void **state) {
    (void)state;
    all_is_by_id(make_pool(64, CAPACITY, NULL));
    all_is_by_id(make_pool(64, CAPACITY, WITH({SLABBY_OPTION_PER_CPU_CACHE, 0})));
    all_is_by_id(make_pool(64, CAPACITY, WITH({SLABBY_OPTION_GUARD_SAMPLE_RATE, 20})));
    all_is_by_id(
        make_pool(64, CAPACITY, WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, SLABBY_CPU_CACHE_BACKEND_PORTABLE})));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_a_plain_pool),
        cmocka_unit_test(of_a_pool_with_guards),
        cmocka_unit_test(of_other_backends),
        cmocka_unit_test(of_uses_by_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
