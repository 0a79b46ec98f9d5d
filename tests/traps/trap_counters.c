/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Law 6: counters are exact to the unit when the pool is quiet, however many threads there were, whichever tier served
 * them, and across the fold that keeps the headers' counts from wrapping. */
#define _GNU_SOURCE
#include "backend.h"
#include "support.h"
#include "threads.h"

#include "pool.h"
#include "test_hooks.h"
#include "tiers/cpu_cache.h"

#include <sched.h>
#include <stdatomic.h>

enum { THREADS = 8, CAPACITY = 4000, IN_HAND = 24 };

/* A CPU that nobody uses is not folded; its header takes this many ages without wrapping. */
#define MOST_AGES 100

/* Allocate and release together make an operation each; ./dev test --full makes 100 million of them a backend. */
#define OPERATIONS 2000000u

struct counted {
    slabby_allocator *pool;
    uint64_t turns; /* of one thread; each turn allocates one slab or a batch */
    _Atomic uint64_t allocated, fast, released;
    _Atomic uint64_t ages;
    atomic_uint at_work;
};

/* What one thread did, added to the whole once. */
struct tally {
    uint64_t allocated, fast, released;
};

static void turn_by_id(struct counted *test, struct tally *mine) {
    uint32_t id = 0;
    void *data;
    slabby_status status = slabby_allocate_fast(&data, &id, test->pool);

    if (status == SLABBY_OK)
        status = slabby_deallocate_fast(test->pool, id);
    if (status != SLABBY_OK)
        complain("by id: %s", slabby_status_name(status));
    mine->allocated++;
    mine->fast++;
    mine->released++;
}

static void turn_by_batch(struct counted *test, struct tally *mine, uint64_t count) {
    slabby_ref refs[IN_HAND];
    uint64_t done = 0;
    slabby_status status = slabby_allocate_batch(refs, NULL, test->pool, count);

    if (status == SLABBY_OK)
        status = slabby_release_batch(&done, test->pool, refs, count);
    if (status != SLABBY_OK)
        complain("batch of %llu: %s", (unsigned long long)count, slabby_status_name(status));
    mine->allocated += count;
    mine->released += done;
}

static void turn_in_window(struct counted *test, struct tally *mine, slabby_ref *entry) {
    slabby_status status = SLABBY_OK;

    if (*entry) {
        status = slabby_release(test->pool, *entry);
        mine->released++;
    }
    if (status == SLABBY_OK)
        status = slabby_allocate(entry, NULL, test->pool);
    if (status != SLABBY_OK)
        complain("one: %s", slabby_status_name(status));
    mine->allocated++;
}

static void count_turns(struct counted *test, struct worker *worker) {
    slabby_ref window[IN_HAND] = {0};
    struct tally mine = {0, 0, 0};

    while (mine.allocated < test->turns && !threads_failed()) {
        uint64_t roll = random_next(&worker->random);

        if (roll % 64 == 0)
            turn_by_batch(test, &mine, 1 + (roll >> 8) % IN_HAND);
        else if (roll % 64 == 1)
            turn_by_id(test, &mine);
        else
            turn_in_window(test, &mine, &window[(roll >> 8) % IN_HAND]);
    }
    for (int i = 0; i < IN_HAND; i++)
        if (window[i] && slabby_release(test->pool, window[i]) == SLABBY_OK)
            mine.released++;
    atomic_fetch_add(&test->allocated, mine.allocated);
    atomic_fetch_add(&test->fast, mine.fast);
    atomic_fetch_add(&test->released, mine.released);
}

static void count_or_age(struct worker *worker) {
    struct counted *test = worker->shared;

    if (worker->index < THREADS) {
        while (atomic_load(&test->ages) == 0) /* however few the turns, the counters age among them */
            sched_yield();
        count_turns(test, worker);
        atomic_fetch_sub(&test->at_work, 1);
        return;
    }
    while (atomic_load(&test->at_work) != 0 && atomic_load(&test->ages) < MOST_AGES) {
        slb_test_age_counters(test->pool);
        atomic_fetch_add(&test->ages, 1);
        for (int i = 0; i < 64; i++)
            sched_yield();
    }
}

static void count_on(int64_t backend, uint64_t seed) {
    struct counted test = {.turns = scaled(OPERATIONS) / 2 / THREADS + 1};

    test.pool = make_pool(64, CAPACITY, WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, backend}));
    atomic_store(&test.at_work, THREADS);
    run_threads(THREADS + 1, count_or_age, &test, seed);
    assert_no_thread_failed();
    slabby_stats stats = stats_of(test.pool);

    assert_int_equal(stats.total_allocations, atomic_load(&test.allocated));
    assert_int_equal(stats.total_deallocations, atomic_load(&test.released));
    assert_int_equal(stats.fast_allocations, atomic_load(&test.fast));
    assert_int_equal(stats.fast_deallocations, atomic_load(&test.fast));
    assert_true(atomic_load(&test.ages) > 0);
    assert_true(stats.pcpu_cache_hits > 0);
    finish(test.pool);
}

/* Guards: folding while threads allocate loses and doubles nothing. */
static void counters_are_exact_across_folds(void **state) {
    uint64_t seed = test_seed();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(all_backends); i++)
        if (backend_is_here(all_backends[i]))
            count_on(all_backends[i], random_next(&seed));
}

static uint64_t served_of_cpu_0(slabby_allocator *pool) {
    return atomic_load(&pool->caches[0].cache.header) >> 16;
}

/* Guards: a header is folded although its CPU cache never needs a refill, timed or not; it would wrap some day. Every
 * allocation comes to a place that folds within 65,536 at most. */
static void tight_loops_fold_too(void **state) {
    static const int64_t tracking[] = {SLABBY_LATENCY_TRACKING_SAMPLED, SLABBY_LATENCY_TRACKING_OFF};

    (void)state;
    if (!run_on(0))
        skip();
    for (size_t i = 0; i < 2 * COUNT_OF(all_backends); i++) {
        if (!backend_is_here(all_backends[i / 2]))
            continue;
        slabby_allocator *pool = make_pool(64, CAPACITY,
                                           WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, all_backends[i / 2]},
                                                {SLABBY_OPTION_LATENCY_TRACKING, tracking[i % 2]}));

        for (int age = 0; age < 4; age++)
            slb_test_age_counters(pool);
        assert_true(served_of_cpu_0(pool) > 4 * SLB_CACHE_FOLD_AT);
        for (int pair = 0; pair < 10 * 65536; pair++)
            CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
        assert_true(served_of_cpu_0(pool) < SLB_CACHE_FOLD_AT);
        assert_int_equal(stats_of(pool).total_allocations, 10 * 65536);
        assert_int_equal(stats_of(pool).total_deallocations, 10 * 65536);
        finish(pool);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_are_exact_across_folds),
        cmocka_unit_test(tight_loops_fold_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
