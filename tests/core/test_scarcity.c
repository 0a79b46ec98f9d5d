/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A gate that was closed because slabs ran out opens again when enough are free. */
#include "backend.h"
#include "support.h"

#include "pool.h"
#include "test_hooks.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { SLABS = 8000 };

static slabby_allocator *pool;
static slabby_ref refs[SLABS];
static _Atomic uint32_t held;
static atomic_int stopped;

static bool is_scarce(void) {
    return (atomic_load(&pool->gate.reasons) & SLB_GATE_SCARCE) != 0;
}

static void take_until(uint32_t count) {
    while (atomic_load(&held) < count) {
        slabby_ref ref = take(pool);
        refs[atomic_fetch_add(&held, 1)] = ref;
    }
}

static void give_all_back(void) {
    while (atomic_load(&held) != 0)
        CHECK_STATUS(slabby_release(pool, refs[--held]), SLABBY_OK);
    finish(pool);
}

/* Guards: at as many free slabs as the gate was told, and not before. */
static void enough_slabs_open_the_gate(void **state) {
    (void)state;
    for (size_t b = 0; b < COUNT_OF(all_backends); b++) {
        if (!backend_is_here(all_backends[b]))
            continue;
        slabby_ref more;
        pool = make_pool(64, SLABS, WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, all_backends[b]}));
        atomic_store(&held, 0);
        take_until(SLABS); /* the gate may close already, for slabs that a thread left behind when it moved */
        CHECK_STATUS(slabby_allocate(&more, NULL, pool), SLABBY_OUT_OF_MEMORY);
        for (int64_t freed = 0; freed < atomic_load(&pool->gate.scarce_enough); freed++) {
            assert_true(is_scarce());
            CHECK_STATUS(slabby_release(pool, refs[--held]), SLABBY_OK);
        }
        assert_false(is_scarce());
        give_all_back();
    }
}

/* The thread that comes first has a batch in hand until the gate has closed. */
static void stop_once(int point) {
    if (point != SLB_POINT_REFILL || atomic_exchange(&stopped, 1))
        return;
    while (!is_scarce())
        sched_yield();
}

/* The last of these finds none, and waits for the batch. */
static void *take_the_others(void *unused) {
    while (!atomic_load(&stopped))
        sched_yield();
    take_until(SLABS - pool->batch + 1);
    return unused;
}

static void take_and_give_singly(void) {
    CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
}

static void take_and_give_a_batch(void) {
    slabby_ref two[2];

    CHECK_STATUS(slabby_allocate_batch(two, NULL, pool, 2), SLABBY_OK);
    CHECK_STATUS(slabby_release_batch(NULL, pool, two, 2), SLABBY_OK);
}

static void take_and_give_by_id(void) {
    void *data;
    uint32_t id;

    CHECK_STATUS(slabby_allocate_fast(&data, &id, pool), SLABBY_OK);
    CHECK_STATUS(slabby_deallocate_fast(pool, id), SLABBY_OK);
}

static void (*const ways[])(void) = {take_and_give_singly, take_and_give_a_batch, take_and_give_by_id};

/* Guards: a batch that was on its way as the gate closed counts in the end: the gate does not stay closed over a pool
 * that has enough free slabs, however it is used. */
static void batches_on_their_way_are_counted(void **state) {
    (void)state;
    for (size_t way = 0; way < COUNT_OF(all_backends) * COUNT_OF(ways); way++) {
        int64_t backend = all_backends[way / COUNT_OF(ways)];
        if (!backend_is_here(backend))
            continue;
        pthread_t other;
        pool = make_pool(64, SLABS, WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, backend}));
        assert_true((int64_t)pool->batch - 2 > atomic_load(&pool->gate.scarce_enough));
        atomic_store(&held, 0);
        atomic_store(&stopped, 0);
        __atomic_store_n(&slb_test_point, stop_once, __ATOMIC_RELAXED);
        assert_int_equal(pthread_create(&other, NULL, take_the_others, NULL), 0);
        slabby_ref first = take(pool);
        assert_int_equal(pthread_join(other, NULL), 0);
        __atomic_store_n(&slb_test_point, NULL, __ATOMIC_RELAXED);
        for (uint64_t pairs = 0; is_scarce(); pairs++) {
            ways[way % COUNT_OF(ways)]();
            assert_in_range(pairs, 0, 20000000); /* seconds */
        }
        CHECK_STATUS(slabby_release(pool, first), SLABBY_OK);
        give_all_back();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(enough_slabs_open_the_gate),
        cmocka_unit_test(batches_on_their_way_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
