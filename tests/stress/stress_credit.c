/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Law 1, truthful exhaustion: whoever holds a credit for each slab it asks for is never refused.
 *
 * There are as many credits as slabs. A credit is taken before an allocation and given back
 * after the release has returned, so the demand never exceeds the capacity and every OutOfMemory
 * is a lie.
 */
#include "threads.h"

#include <sched.h>
#include <stdio.h>

#include "test_hooks.h"

enum { BAG_SIZE = 160 };

enum gate_work { GATE_LEFT_ALONE, GATE_CYCLED, GATE_VERIFIED };

struct credit_case {
    slabby_allocator *pool;
    _Atomic int64_t credits;
    _Atomic uint64_t served;
    uint64_t end_ns;
    unsigned gate_worker;
    enum gate_work gate_work;
    uint64_t batch_limit;
};

static int take_credits(struct credit_case *test, int64_t count) {
    int64_t have = atomic_load(&test->credits);

    while (have >= count)
        if (atomic_compare_exchange_weak(&test->credits, &have, have - count))
            return 1;
    return 0;
}

static void work_on_gate(struct credit_case *test) {
    slabby_finding finding = {.struct_size = sizeof finding};
    uint64_t findings = 0;

    while (now_ns() < test->end_ns && !threads_failed()) {
        if (test->gate_work == GATE_CYCLED)
            slb_test_gate_cycle(test->pool);
        else if (slabby_verify(&finding, &findings, test->pool, 1) != SLABBY_OK || findings)
            complain("verify found %llu things: %s", (unsigned long long)findings, finding.text);
        sched_yield();
    }
}

/* Threads hold slabs over many turns, so that nearly all credits are spent at every moment. */
struct bag {
    slabby_ref refs[BAG_SIZE];
    uint64_t count;
};

static void fetch(struct credit_case *test, struct bag *bag, uint64_t count) {
    slabby_ref *refs = bag->refs + bag->count;
    slabby_status status = count == 1 ? slabby_allocate(refs, NULL, test->pool)
                                      : slabby_allocate_batch(refs, NULL, test->pool, count);

    if (status != SLABBY_OK) {
        complain("%llu slabs with credit: %s", (unsigned long long)count, slabby_status_name(status));
        return;
    }
    bag->count += count;
    atomic_fetch_add_explicit(&test->served, count, memory_order_relaxed);
}

static void give(struct credit_case *test, struct bag *bag, uint64_t count) {
    slabby_ref *refs = bag->refs + bag->count - count;
    uint64_t released = 1;
    slabby_status status = count == 1 ? slabby_release(test->pool, refs[0])
                                      : slabby_release_batch(&released, test->pool, refs, count);

    if (status != SLABBY_OK || released != count)
        complain("release: %s", slabby_status_name(status));
    bag->count -= count;
    atomic_fetch_add(&test->credits, (int64_t)count);
}

static void take_turn(struct credit_case *test, struct bag *bag, uint64_t roll) {
    uint64_t count = roll % 4 ? 1 : 1 + (roll >> 8) % test->batch_limit;

    if (roll >> 40 & 3 && bag->count + count <= BAG_SIZE && take_credits(test, (int64_t)count))
        fetch(test, bag, count);
    else if (bag->count)
        give(test, bag, count < bag->count ? count : bag->count);
    else
        sched_yield();
}

static void spend_credits(struct worker *worker) {
    struct credit_case *test = worker->shared;
    struct bag bag = {.count = 0};

    if (test->gate_work != GATE_LEFT_ALONE && worker->index == test->gate_worker) {
        work_on_gate(test);
        return;
    }
    do
        for (int i = 0; i < 64; i++)
            take_turn(test, &bag, random_next(&worker->random));
    while (now_ns() < test->end_ns && !threads_failed());
    while (bag.count && !threads_failed())
        give(test, &bag, 1);
}

struct arrangement {
    uint64_t capacity;
    int64_t cache;
    int64_t backend;
    int disturbed;
    enum gate_work gate_work;
    uint64_t duration_ms;
};

static int backend_is_here(int64_t backend) {
    slabby_allocator *pool = NULL;

    if (try_pool(&pool, 64, 64, WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, backend}), NULL))
        return 0;
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    return 1;
}

static void run_arrangement(const struct arrangement *given, uint64_t seed) {
    struct credit_case test = {.gate_worker = 8};

    test.pool = make_pool(
        64, given->capacity,
        WITH({SLABBY_OPTION_PER_CPU_CACHE, given->cache}, {SLABBY_OPTION_CPU_CACHE_BACKEND, given->backend}));
    test.credits = (int64_t)given->capacity;
    test.gate_work = given->gate_work;
    test.batch_limit = given->capacity < 8 ? given->capacity : 8;
    test.end_ns = now_ns() + scaled(given->duration_ms * 1000000);
    disturb(given->disturbed);
    run_threads(given->gate_work == GATE_LEFT_ALONE ? 8 : 9, spend_credits, &test, seed);
    disturb(0);
    if (threads_failed())
        print_error("capacity %llu, cache %lld, backend %lld, disturbed %d, gate work %d\n",
                    (unsigned long long)given->capacity, (long long)given->cache, (long long)given->backend,
                    given->disturbed, (int)given->gate_work);
    assert_no_thread_failed();
    assert_true(atomic_load(&test.served) > 0);
    assert_int_equal(stats_of(test.pool).total_allocations, atomic_load(&test.served));
    finish(test.pool);
}

static const int64_t backends[] = {SLABBY_CPU_CACHE_BACKEND_PORTABLE, SLABBY_CPU_CACHE_BACKEND_RSEQ};

/* Guards: law 1 at the capacity where CPU caches and demand fight hardest, plain and disturbed. */
static void credit_at_capacity_64(void **state) {
    uint64_t seed = test_seed();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(backends); i++)
        for (int disturbed = 0; disturbed < 2 && backend_is_here(backends[i]); disturbed++) {
            struct arrangement given = {64, 1, backends[i], disturbed, GATE_LEFT_ALONE, 2000};

            run_arrangement(&given, random_next(&seed));
        }
}

/* Guards: law 1 with the gate opening and closing throughout. */
static void credit_with_a_busy_gate(void **state) {
    const uint64_t capacities[] = {1, 2, 3, 64, 1000};
    uint64_t seed = test_seed();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(backends); i++)
        for (size_t j = 0; j < COUNT_OF(capacities) && backend_is_here(backends[i]); j++)
            for (int disturbed = 0; disturbed < 2; disturbed++) {
                struct arrangement given = {capacities[j], 1, backends[i], disturbed, GATE_CYCLED, 250};

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
    for (size_t i = 0; i < COUNT_OF(backends); i++)
        for (size_t j = 0; j < COUNT_OF(capacities) && backend_is_here(backends[i]); j++)
            for (int disturbed = 0; disturbed < 2; disturbed++) {
                struct arrangement given = {capacities[j], 1, backends[i], disturbed, GATE_LEFT_ALONE, 250};

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
                                        250};

            run_arrangement(&given, random_next(&seed));
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(credit_at_capacity_64),
        cmocka_unit_test(credit_with_a_busy_gate),
        cmocka_unit_test(credit_at_other_capacities),
        cmocka_unit_test(credit_without_caches),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
