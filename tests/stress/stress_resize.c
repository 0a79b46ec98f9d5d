/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The capacity changes while eight threads allocate and release.
 *
 * With credits: there are as many as the capacity. The resizer takes credits out of circulation before it shrinks and
 * brings new ones after it has grown, so the demand never exceeds the capacity and every OutOfMemory is a lie. Without
 * credits threads take what they get, and slabs in use are awaited all the time. Either way each slab is accounted for
 * afterwards.
 */
#include "threads.h"

#include <sched.h>

#include "test_hooks.h"

enum { BAG_SIZE = 160, WORKERS = 8 };

struct resize_case {
    slabby_allocator *pool;
    _Atomic int64_t credits;
    _Atomic uint64_t served;
    _Atomic int done;
    uint64_t changes; /* how often the capacity changes before everybody stops */
    uint64_t most;
    int with_credits;
};

static int over(struct resize_case *test) {
    return atomic_load(&test->done) || threads_failed();
}

static int take_credits(struct resize_case *test, int64_t count) {
    int64_t have = atomic_load(&test->credits);

    while (have >= count)
        if (atomic_compare_exchange_weak(&test->credits, &have, have - count))
            return 1;
    return 0;
}

static void verify_now(struct resize_case *test) {
    slabby_finding finding = {.struct_size = sizeof finding};
    uint64_t findings = 0;

    if (slabby_verify(&finding, &findings, test->pool, 1) != SLABBY_OK || findings)
        complain("verify found %llu things: %s", (unsigned long long)findings, finding.text);
}

/* Credits out of circulation, as they become free. */
static void withdraw(struct resize_case *test, int64_t count) {
    while (count > 0 && !threads_failed())
        if (take_credits(test, 1))
            count--;
        else
            sched_yield();
}

/* Demand is within the capacity, so what is awaited is only free slabs that somebody carries from one list to another
 * at this moment: they come without anybody's release. */
static void see_nothing_awaited(struct resize_case *test) {
    for (int i = 0; i < 1000000 && !threads_failed(); i++) {
        if (stats_of(test->pool).awaited_slabs == 0)
            return;
        sched_yield();
    }
    complain("%llu slabs stay awaited though nobody needs them",
             (unsigned long long)stats_of(test->pool).awaited_slabs);
}

static void change_capacity(struct worker *worker, struct resize_case *test) {
    uint64_t capacity = stats_of(test->pool).total_slabs, awaited = 0;

    for (uint64_t i = 0; i < test->changes && !threads_failed(); i++) {
        uint64_t wanted = 1 + random_next(&worker->random) % test->most;
        int64_t change = (int64_t)wanted - (int64_t)capacity;

        if (test->with_credits)
            withdraw(test, -change);
        if (slabby_resize(&awaited, test->pool, wanted, NULL) != SLABBY_OK)
            complain("resize to %llu failed", (unsigned long long)wanted);
        if (change >= 0 && awaited > 0 && test->with_credits)
            see_nothing_awaited(test);
        if (test->with_credits && change > 0)
            atomic_fetch_add(&test->credits, change);
        capacity = wanted;
        if (i % 16 == 0)
            verify_now(test);
        sched_yield();
    }
    atomic_store(&test->done, 1);
}

struct bag {
    slabby_ref refs[BAG_SIZE];
    uint64_t count;
};

static void fetch(struct resize_case *test, struct bag *bag, uint64_t count) {
    slabby_ref *refs = bag->refs + bag->count;
    slabby_status status = count == 1 ? slabby_allocate(refs, NULL, test->pool)
                                      : slabby_allocate_batch(refs, NULL, test->pool, count);

    if (status == SLABBY_OK) {
        bag->count += count;
        atomic_fetch_add_explicit(&test->served, count, memory_order_relaxed);
    } else if (test->with_credits ||
               (status != SLABBY_OUT_OF_MEMORY && status != SLABBY_INVALID_BATCH_SIZE)) {
        complain("%llu slabs: %s", (unsigned long long)count, slabby_status_name(status));
    }
}

static void give(struct resize_case *test, struct bag *bag, uint64_t count) {
    slabby_ref *refs = bag->refs + bag->count - count;
    uint64_t released = 1;
    slabby_status status = count == 1 ? slabby_release(test->pool, refs[0])
                                      : slabby_release_batch(&released, test->pool, refs, count);

    if (status != SLABBY_OK || released != count)
        complain("release: %s", slabby_status_name(status));
    bag->count -= count;
    if (test->with_credits)
        atomic_fetch_add(&test->credits, (int64_t)count);
}

static void take_turn(struct resize_case *test, struct bag *bag, uint64_t roll) {
    uint64_t count = roll % 4 ? 1 : 1 + (roll >> 8) % 8;
    int taking = (roll >> 40 & 1) && bag->count + count <= BAG_SIZE;

    if (taking && (!test->with_credits || take_credits(test, (int64_t)count)))
        fetch(test, bag, count);
    else if (bag->count)
        give(test, bag, count < bag->count ? count : bag->count);
    else
        sched_yield();
}

static void work(struct worker *worker) {
    struct resize_case *test = worker->shared;
    struct bag bag = {.count = 0};

    if (worker->index == WORKERS) {
        change_capacity(worker, test);
        return;
    }
    do
        for (int i = 0; i < 64; i++)
            take_turn(test, &bag, random_next(&worker->random));
    while (!over(test));
    while (bag.count && !threads_failed())
        give(test, &bag, 1);
}

struct resize_setting {
    uint64_t most;
    int64_t cache, backend;
    int disturbed, with_credits;
};

static int backend_is_here(int64_t backend) {
    slabby_allocator *pool = NULL;

    if (try_pool(&pool, 64, 64, WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, backend}), NULL))
        return 0;
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    return 1;
}

static void run_resizing(const struct resize_setting *given, uint64_t seed) {
    uint64_t first = given->most > 1 ? given->most / 2 : 1;
    struct resize_case test = {.most = given->most, .with_credits = given->with_credits};

    test.pool = make_pool(64, first,
                          WITH({SLABBY_OPTION_MAX_CAPACITY, (int64_t)given->most},
                               {SLABBY_OPTION_PER_CPU_CACHE, given->cache},
                               {SLABBY_OPTION_CPU_CACHE_BACKEND, given->backend}));
    test.credits = (int64_t)first;
    test.changes = scaled(200);
    disturb(given->disturbed);
    run_threads(WORKERS + 1, work, &test, seed);
    disturb(0);
    if (threads_failed())
        print_error("most %llu, cache %lld, backend %lld, disturbed %d, credits %d\n",
                    (unsigned long long)given->most, (long long)given->cache, (long long)given->backend,
                    given->disturbed, given->with_credits);
    assert_no_thread_failed();
    assert_true(atomic_load(&test.served) > 0);
    assert_int_equal(stats_of(test.pool).total_allocations, atomic_load(&test.served));
    assert_int_equal(stats_of(test.pool).awaited_slabs, 0);
    CHECK_STATUS(slabby_resize(NULL, test.pool, given->most, NULL), SLABBY_OK);
    assert_int_equal(stats_of(test.pool).available_slabs, given->most);
    finish(test.pool);
}

static void run_all(int with_credits) {
    const int64_t backends[] = {SLABBY_CPU_CACHE_BACKEND_PORTABLE, SLABBY_CPU_CACHE_BACKEND_RSEQ};
    const uint64_t capacities[] = {3, 64, 1000};
    uint64_t seed = test_seed();

    for (size_t i = 0; i < COUNT_OF(capacities); i++)
        for (int disturbed = 0; disturbed < 2; disturbed++) {
            struct resize_setting given = {capacities[i], 0, SLABBY_CPU_CACHE_BACKEND_AUTO, disturbed,
                                           with_credits};

            run_resizing(&given, random_next(&seed));
            given.cache = 1;
            for (size_t j = 0; j < COUNT_OF(backends); j++) {
                given.backend = backends[j];
                if (backend_is_here(backends[j]))
                    run_resizing(&given, random_next(&seed));
            }
        }
}

/* Guards: law 1 while the capacity changes. */
static void credit_is_honoured(void **state) {
    (void)state;
    run_all(1);
}

/* Guards: with slabs awaited all the time, none is lost and none is given up twice. */
static void nothing_is_lost(void **state) {
    (void)state;
    run_all(0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(credit_is_honoured),
        cmocka_unit_test(nothing_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
