/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The capacity changes while eight threads allocate and release.
 *
 * With credits: there are as many as the capacity. The resizer takes credits out of circulation before it shrinks and
 * brings new ones after it has grown, so the demand never exceeds the capacity and every OutOfMemory is a lie. Without
 * credits threads take what they get, and slabs in use are awaited all the time. Either way each slab is accounted for
 * afterwards.
 */
#include "backend.h"
#include "credits.h"
#include "demand.h"
#include "disturb.h"

#include <sched.h>

enum { WORKERS = 8 };

struct resize_case {
    struct demand demand;
    uint64_t changes; /* how often the capacity changes before everybody stops */
    uint64_t most;
};

/* Credits out of circulation, as they become free. */
static void withdraw(struct resize_case *test, int64_t count) {
    while (count > 0 && !threads_failed())
        if (take_credits(&test->demand.credits, 1))
            count--;
        else
            sched_yield();
}

/* Demand is within the capacity, so what is awaited is only free slabs that somebody carries from one list to another
 * at this moment: they come without anybody's release. */
static void see_nothing_awaited(struct resize_case *test) {
    for (int i = 0; i < 1000000 && !threads_failed(); i++) {
        if (stats_of(test->demand.pool).awaited_slabs == 0)
            return;
        sched_yield();
    }
    complain("%llu slabs stay awaited though nobody needs them",
             (unsigned long long)stats_of(test->demand.pool).awaited_slabs);
}

static void change_capacity(struct worker *worker, struct resize_case *test) {
    uint64_t capacity = stats_of(test->demand.pool).total_slabs, awaited = 0;

    for (uint64_t i = 0; i < test->changes && !threads_failed(); i++) {
        uint64_t wanted = 1 + random_next(&worker->random) % test->most;
        int64_t change = (int64_t)wanted - (int64_t)capacity;

        if (test->demand.by_credit)
            withdraw(test, -change);
        if (slabby_resize(&awaited, test->demand.pool, wanted, NULL) != SLABBY_OK)
            complain("resize to %llu failed", (unsigned long long)wanted);
        if (change >= 0 && awaited > 0 && test->demand.by_credit)
            see_nothing_awaited(test);
        if (test->demand.by_credit && change > 0)
            give_credits(&test->demand.credits, change);
        capacity = wanted;
        if (i % 16 == 0)
            verify_demanded(&test->demand);
        sched_yield();
    }
    atomic_store(&test->demand.over, 1);
}

static void work(struct worker *worker) {
    struct resize_case *test = worker->shared;

    if (worker->index == WORKERS)
        change_capacity(worker, test);
    else
        demand_slabs(&test->demand, worker);
}

struct resize_setting {
    uint64_t most;
    int64_t cache, backend;
    int disturbed, with_credits;
};

static void run_resizing(const struct resize_setting *given, uint64_t seed) {
    uint64_t first = given->most > 1 ? given->most / 2 : 1;
    struct resize_case test = {.most = given->most, .changes = scaled(200)};
    struct demand *demand = &test.demand;

    demand->pool = make_pool(64, first,
                             WITH({SLABBY_OPTION_MAX_CAPACITY, (int64_t)given->most},
                                  {SLABBY_OPTION_PER_CPU_CACHE, given->cache},
                                  {SLABBY_OPTION_CPU_CACHE_BACKEND, given->backend}));
    demand->by_credit = given->with_credits;
    demand->credits = (int64_t)first;
    demand->batch_limit = 8;
    demand->end_ns = UINT64_MAX;
    disturb(given->disturbed);
    run_threads(WORKERS + 1, work, &test, seed);
    disturb(0);
    if (threads_failed())
        print_error("most %llu, cache %lld, backend %lld, disturbed %d, credits %d\n",
                    (unsigned long long)given->most, (long long)given->cache, (long long)given->backend,
                    given->disturbed, given->with_credits);
    assert_no_thread_failed();
    assert_true(atomic_load(&demand->served) > 0);
    assert_int_equal(stats_of(demand->pool).total_allocations, atomic_load(&demand->served));
    assert_int_equal(stats_of(demand->pool).awaited_slabs, 0);
    CHECK_STATUS(slabby_resize(NULL, demand->pool, given->most, NULL), SLABBY_OK);
    assert_int_equal(stats_of(demand->pool).available_slabs, given->most);
    finish(demand->pool);
}

static void run_all(int with_credits) {
    const uint64_t capacities[] = {3, 64, 1000};
    uint64_t seed = test_seed();

    for (size_t i = 0; i < COUNT_OF(capacities); i++)
        for (int disturbed = 0; disturbed < 2; disturbed++) {
            struct resize_setting given = {capacities[i], 0, SLABBY_CPU_CACHE_BACKEND_AUTO, disturbed,
                                           with_credits};

            run_resizing(&given, random_next(&seed));
            given.cache = 1;
            for (size_t j = 0; j < COUNT_OF(all_backends); j++) {
                given.backend = all_backends[j];
                if (backend_is_here(all_backends[j]))
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
