/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Law 1, truthful exhaustion: a thread that holds a credit for each slab it asks for is never refused.
 *
 * There are as many credits as slabs. A credit is taken before an allocation and given back
 * after the release has returned, so the demand never exceeds the capacity and every OutOfMemory
 * is a lie.
 */
#include "backend.h"
#include "demand.h"
#include "disturb.h"

#include <sched.h>

#include "test_hooks.h"

enum gate_work { GATE_LEFT_ALONE, GATE_CYCLED, GATE_VERIFIED };
enum { WORKERS = 8 };

struct credit_case {
    struct demand demand;
    enum gate_work gate_work;
};

static void work_on_gate(struct credit_case *test) {
    while (!demand_is_over(&test->demand)) {
        if (test->gate_work == GATE_CYCLED)
            slb_test_gate_cycle(test->demand.pool);
        else
            verify_demanded(&test->demand);
        sched_yield();
    }
}

static void spend_credits(struct worker *worker) {
    struct credit_case *test = worker->shared;

    if (worker->index == WORKERS)
        work_on_gate(test);
    else
        demand_slabs(&test->demand, worker);
}

struct arrangement {
    uint64_t capacity;
    int64_t cache;
    int64_t backend;
    int disturbed;
    enum gate_work gate_work;
    uint64_t duration_ms;
    int64_t delay;
};

static void run_arrangement(const struct arrangement *given, uint64_t seed) {
    struct credit_case test = {.gate_work = given->gate_work};
    struct demand *demand = &test.demand;

    demand->pool = make_pool(64, given->capacity,
                             WITH({SLABBY_OPTION_PER_CPU_CACHE, given->cache},
                                  {SLABBY_OPTION_CPU_CACHE_BACKEND, given->backend},
                                  {SLABBY_OPTION_REUSE_DELAY, given->delay}));
    demand->by_credit = 1;
    demand->hoards = 1;
    demand->credits = (int64_t)given->capacity;
    demand->batch_limit = given->capacity < 8 ? given->capacity : 8;
    demand->end_ns = now_ns() + scaled(given->duration_ms * MILLISECOND);
    disturb(given->disturbed);
    run_threads(given->gate_work == GATE_LEFT_ALONE ? WORKERS : WORKERS + 1, spend_credits, &test, seed);
    disturb(0);
    if (threads_failed())
        print_error("capacity %llu, cache %lld, backend %lld, disturbed %d, gate work %d\n",
                    (unsigned long long)given->capacity, (long long)given->cache, (long long)given->backend,
                    given->disturbed, (int)given->gate_work);
    assert_no_thread_failed();
    assert_true(atomic_load(&demand->served) > 0);
    assert_int_equal(stats_of(demand->pool).total_allocations, atomic_load(&demand->served));
    finish(demand->pool);
}

/* Guards: law 1 at the capacity where CPU caches and demand fight hardest, plain and disturbed. */
static void credit_at_capacity_64(void **state) {
    uint64_t seed = test_seed();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(all_backends); i++)
        for (int disturbed = 0; disturbed < 2 && backend_is_here(all_backends[i]); disturbed++) {
            struct arrangement given = {64, 1, all_backends[i], disturbed, GATE_LEFT_ALONE, 700, 0};

            run_arrangement(&given, random_next(&seed));
        }
}

/* Guards: law 1 with the gate opening and closing throughout. */
static void credit_with_a_busy_gate(void **state) {
    const uint64_t capacities[] = {1, 2, 3, 64, 1000};
    uint64_t seed = test_seed();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(all_backends); i++)
        for (size_t j = 0; j < COUNT_OF(capacities) && backend_is_here(all_backends[i]); j++)
            for (int disturbed = 0; disturbed < 2; disturbed++) {
                struct arrangement given = {capacities[j], 1, all_backends[i], disturbed, GATE_CYCLED, 80, 0};

                run_arrangement(&given, random_next(&seed));
                given.gate_work = GATE_VERIFIED;
                run_arrangement(&given, random_next(&seed));
            }
}

/* Guards: law 1 at the smallest capacities and at a large one, with CPU caches. */
static void credit_at_other_capacities(void **state) {
    const uint64_t capacities[] = {1, 2, 3, 1000};
    uint64_t seed = test_seed();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(all_backends); i++)
        for (size_t j = 0; j < COUNT_OF(capacities) && backend_is_here(all_backends[i]); j++)
            for (int disturbed = 0; disturbed < 2; disturbed++) {
                struct arrangement given = {
                    capacities[j], 1, all_backends[i], disturbed, GATE_LEFT_ALONE, 80, 0};

                run_arrangement(&given, random_next(&seed));
            }
}

/* Guards: law 1 without CPU caches, where only shards and depot hold free slabs. */
static void credit_without_caches(void **state) {
    const uint64_t capacities[] = {1, 2, 3, 64, 1000};
    uint64_t seed = test_seed();

    (void)state;
    for (size_t j = 0; j < COUNT_OF(capacities); j++)
        for (int disturbed = 0; disturbed < 2; disturbed++) {
            struct arrangement given = {capacities[j],
                                        0,
                                        SLABBY_CPU_CACHE_BACKEND_AUTO,
                                        disturbed,
                                        j % 2 ? GATE_CYCLED : GATE_LEFT_ALONE,
                                        80,
                                        0};

            run_arrangement(&given, random_next(&seed));
        }
}

/* Guards: law 1 with reuse_delay: a ring for each CPU, one for all, and one for more slabs than there are. */
static void credit_with_a_delay(void **state) {
    const struct arrangement some[] = {
        {64, 1, 0, 0, GATE_LEFT_ALONE, 100, 1},   {64, 1, 0, 1, GATE_CYCLED, 100, 8},
        {64, 0, 0, 1, GATE_LEFT_ALONE, 100, 20},  {1000, 1, 0, 1, GATE_LEFT_ALONE, 100, 100},
        {1000, 1, 0, 0, GATE_VERIFIED, 100, 300}, {64, 1, 0, 1, GATE_VERIFIED, 100, 1000},
        {3, 1, 0, 1, GATE_LEFT_ALONE, 100, 2},
    };
    uint64_t seed = test_seed();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(all_backends); i++)
        for (size_t j = 0; j < COUNT_OF(some) && backend_is_here(all_backends[i]); j++) {
            struct arrangement given = some[j];

            given.backend = all_backends[i];
            run_arrangement(&given, random_next(&seed));
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(credit_at_capacity_64),      cmocka_unit_test(credit_with_a_busy_gate),
        cmocka_unit_test(credit_at_other_capacities), cmocka_unit_test(credit_without_caches),
        cmocka_unit_test(credit_with_a_delay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
