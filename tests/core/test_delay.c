/* SPDX-License-Identifier: GPL-3.0-or-later */
/* reuse_delay: for how many other releases a slab waits, wherever threads stop, and that none is lost meanwhile. */
#include "backend.h"
#include "disturb.h"
#include "random.h"
#include "scale.h"
#include "support.h"
#include "threads.h"

#include <stdatomic.h>
#include <string.h>

#include "pool.h"
#include "test_hooks.h"

/* So many that the pool is never short of slabs that do not wait: a quarter of it are in rings and a quarter in CPU
 * caches at most, and each thread has one batch in hand. */
enum { CAPACITY = 20000, THREADS = 8, HELD = 8 };

/* Releases are counted before they begin and after they have ended. One is behind that of a slab at most if it begins
 * before the slab is taken again, and ends after the release of the slab began. */
static struct {
    slabby_allocator *pool;
    uint64_t limit;
    _Atomic uint64_t begun, ended;
    _Atomic uint64_t
        ended_before[CAPACITY]; /* by id: what had ended when its release began; from 1, 0: none yet */
} counted;

static void begin_counting(uint64_t capacity, uint64_t limit, const struct setting *settings) {
    memset(&counted, 0, sizeof counted);
    counted.pool = make_pool(64, capacity, settings);
    counted.limit = limit;
}

static _Atomic uint64_t *ended_before(slabby_ref ref) {
    return &counted.ended_before[(ref - counted.pool->ref_bias) & counted.pool->id_mask];
}

static void release_counted(slabby_ref ref) {
    slabby_status status;

    atomic_store(ended_before(ref), atomic_load(&counted.ended) + 1);
    atomic_fetch_add(&counted.begun, 1);
    status = slabby_release(counted.pool, ref);
    atomic_fetch_add(&counted.ended, 1);
    if (status != SLABBY_OK)
        complain("release: %s", slabby_status_name(status));
}

/* Answers how many other releases there were since the slab's own at most; the limit where it is new. */
static uint64_t take_counted(slabby_ref *out_ref) {
    uint64_t before, others = counted.limit;
    slabby_status status = slabby_allocate(out_ref, NULL, counted.pool);

    if (status != SLABBY_OK) {
        complain("allocate: %s", slabby_status_name(status));
        return others;
    }
    before = atomic_load(ended_before(*out_ref));
    if (before != 0)
        others = atomic_load(&counted.begun) - before; /* its own is among them, and `before` counts from 1 */
    if (others < counted.limit)
        complain("a slab came back after %llu other releases, not %llu", (unsigned long long)others,
                 (unsigned long long)counted.limit);
    return others;
}

static void take_and_release(uint64_t pairs) {
    slabby_ref ref = 0;

    for (; pairs != 0 && !threads_failed(); pairs--) {
        (void)take_counted(&ref);
        release_counted(ref);
    }
}

/* On one CPU; where the system does not say so, a thread that moves waits longer. */
static void use_one_cpu(struct worker *worker) {
    int stays = run_on(0);
    slabby_ref ref = 0;

    (void)worker;
    for (uint64_t pair = 0; pair < 5 * counted.limit && !threads_failed(); pair++) {
        uint64_t others = take_counted(&ref);

        if (stays && others != counted.limit)
            complain("a slab came back after %llu other releases, not just %llu", (unsigned long long)others,
                     (unsigned long long)counted.limit);
        release_counted(ref);
    }
}

/* Guards: on one CPU a slab comes back behind exactly `limit` releases, whatever the length of the ring. */
static void a_slab_waits_for_its_turn(void **state) {
    static const uint64_t limits[] = {1, 2, 3, 8, 100, 1000};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(limits); i++)
        for (int64_t cache = 0; cache < 2; cache++) {
            begin_counting(
                CAPACITY, limits[i],
                WITH({SLABBY_OPTION_REUSE_DELAY, (int64_t)limits[i]}, {SLABBY_OPTION_PER_CPU_CACHE, cache}));
            run_threads(1, use_one_cpu, NULL, 1);
            assert_no_thread_failed();
            assert_int_equal(atomic_load(&counted.ended), 5 * limits[i]);
            assert_int_equal(stats_of(counted.pool).gate_hits, 0);
            finish(counted.pool);
        }
}

static void use_slabs(struct worker *worker) {
    slabby_ref held[HELD];
    unsigned count = 0;

    for (uint64_t calls = scaled(20000); calls != 0 && !threads_failed(); calls--) {
        bool taking = count == 0 || (count < HELD && random_next(&worker->random) % 2 == 0);

        if (taking)
            (void)take_counted(&held[count++]);
        else
            release_counted(held[--count]);
    }
    while (count != 0)
        release_counted(held[--count]);
}

/* Guards: more threads than CPUs, which are preempted anywhere: no slab comes back before its turn, with a ring for
 * each CPU and with one for all. */
static void no_slab_comes_early(void **state) {
    static const int64_t limits[] = {100, 3000};
    uint64_t seed = test_seed();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(limits); i++)
        for (size_t j = 0; j < COUNT_OF(all_backends); j++)
            for (int disturbed = 0; disturbed < 2 && backend_is_here(all_backends[j]); disturbed++) {
                begin_counting(CAPACITY, (uint64_t)limits[i],
                               WITH({SLABBY_OPTION_REUSE_DELAY, limits[i]},
                                    {SLABBY_OPTION_CPU_CACHE_BACKEND, all_backends[j]}));
                disturb(disturbed);
                run_threads(THREADS, use_slabs, NULL, random_next(&seed));
                disturb(0);
                assert_no_thread_failed();
                assert_int_equal(stats_of(counted.pool).gate_hits, 0);
                assert_true(atomic_load(&counted.ended) > 5 * counted.limit || scaled(100) < 100);
                check_sound(counted.pool, 0);
                finish(counted.pool);
            }
}

/* At this point, once: so many pairs in the middle of a release. */
static int interrupted_at;
static uint64_t pairs_between;

static void interrupt_once(int point) {
    if (point != interrupted_at)
        return;
    interrupted_at = 0;
    take_and_release(pairs_between);
}

static void stop_once(struct worker *worker) {
    const int *point = worker->shared;
    slabby_ref ref = 0;

    (void)run_on(0); /* into one ring */
    take_and_release(2 * counted.limit + pairs_between % 3);
    (void)take_counted(&ref);
    interrupted_at = *point;
    release_counted(ref);
    if (interrupted_at != 0)
        complain("a release did not come to point %d", *point);
    take_and_release(3 * counted.limit);
}

/* Guards: a release that stops ahead of its swap, or behind it, holds up no other one, lets no slab pass, and does no
 * harm when it goes on. */
static void a_stopped_release_changes_nothing(void **state) {
    static int points[] = {SLB_POINT_RELEASED, SLB_POINT_DELAYED};
    static const uint64_t limits[] = {1, 7, 64};

    (void)state;
    slb_test_point = interrupt_once;
    for (size_t i = 0; i < COUNT_OF(limits); i++)
        for (pairs_between = 0; pairs_between <= 3 * limits[i]; pairs_between++)
            for (size_t j = 0; j < COUNT_OF(points); j++) {
                begin_counting(1000, limits[i], WITH({SLABBY_OPTION_REUSE_DELAY, (int64_t)limits[i]}));
                run_threads(1, stop_once, &points[j], 1);
                assert_no_thread_failed();
                finish(counted.pool);
            }
    slb_test_point = NULL;
}

/* Guards: a pool in which all free slabs wait hands out the oldest, and each of them, before it says that none is
 * left. */
static void the_oldest_is_taken_first(void **state) {
    enum { SLABS = 40 };
    slabby_ref refs[SLABS];

    (void)state;
    for (int64_t limit = 1; limit <= 2 * SLABS; limit++) {
        uint64_t waiting = limit < SLABS ? (uint64_t)limit : SLABS;
        slabby_allocator *pool = make_pool(64, SLABS,
                                           WITH({SLABBY_OPTION_REUSE_DELAY, limit},
                                                {SLABBY_OPTION_PER_CPU_CACHE, 0}, {SLABBY_OPTION_SHARDS, 1}));

        for (int i = 0; i < SLABS; i++)
            refs[i] = take(pool);
        for (int i = 0; i < SLABS; i++)
            CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
        check_sound(pool, 0);
        for (uint64_t i = 0; i < SLABS - waiting; i++)
            (void)take(pool);
        if (limit >= SLABS / 4) /* one ring */
            for (uint64_t i = SLABS - waiting; i < SLABS; i++)
                assert_int_equal((take(pool) ^ refs[i]) & pool->id_mask, 0);
        CHECK_STATUS(slabby_reset(pool), SLABBY_OK);
        finish(pool);
    }
}

int main(void) {
    /* What these find makes the others wait for ever. */
    const struct CMUnitTest first[] = {
        cmocka_unit_test(a_slab_waits_for_its_turn),
        cmocka_unit_test(a_stopped_release_changes_nothing),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_slab_comes_early),
        cmocka_unit_test(the_oldest_is_taken_first),
    };
    int failed = cmocka_run_group_tests(first, NULL, NULL);
    return failed != 0 ? failed : cmocka_run_group_tests(tests, NULL, NULL);
}
