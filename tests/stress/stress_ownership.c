/* SPDX-License-Identifier: GPL-3.0-or-later */
/* No slab is handed out twice and none is lost, while threads come and go and batches have any
 * size. */
#include "disturb.h"
#include "support.h"
#include "threads.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { HELD = 96, THREADS = 8, SLAB_WORDS = 8 };

struct ownership {
    slabby_allocator *pool;
    atomic_uchar *taken; /* by slab id: 1 while somebody holds it */
    _Atomic uint64_t allocated;
    _Atomic uint64_t released;
    uint64_t goal;
    uint64_t capacity;
};

struct holding {
    slabby_ref refs[HELD];
    uint64_t *datas[HELD];
    unsigned count;
};

static void stamp(struct ownership *test, struct holding *holding, slabby_ref ref, uint64_t *data) {
    uint32_t id = 0;

    if (slabby_id(&id, test->pool, ref) != SLABBY_OK || id >= test->capacity)
        complain("reference %llx has no id", (unsigned long long)ref);
    else if (atomic_exchange(&test->taken[id], 1))
        complain("slab %u handed out twice", id);
    data[0] = ref;
    data[SLAB_WORDS - 1] = ~ref;
    holding->refs[holding->count] = ref;
    holding->datas[holding->count] = data;
    holding->count++;
}

static void unstamp(struct ownership *test, slabby_ref ref, const uint64_t *data) {
    uint32_t id = 0;

    if (data[0] != ref || data[SLAB_WORDS - 1] != ~ref)
        complain("somebody wrote into a held slab");
    if (slabby_id(&id, test->pool, ref) != SLABBY_OK)
        complain("a held reference lost its id");
    else if (!atomic_exchange(&test->taken[id], 0))
        complain("slab %u was not held", id);
}

static void grab(struct ownership *test, struct holding *holding, uint64_t roll) {
    uint64_t space = HELD - holding->count;
    uint64_t count = roll % 3 ? 1 : 1 + (roll >> 8) % 40;
    slabby_ref refs[40];
    void *datas[40];
    slabby_status status;

    if (count > space)
        return;
    status = count == 1 ? slabby_allocate(refs, datas, test->pool)
                        : slabby_allocate_batch(refs, datas, test->pool, count);
    if (status == SLABBY_OUT_OF_MEMORY)
        return;
    if (status != SLABBY_OK) {
        complain("allocate: %s", slabby_status_name(status));
        return;
    }
    atomic_fetch_add(&test->allocated, count);
    for (uint64_t i = 0; i < count; i++)
        stamp(test, holding, refs[i], datas[i]);
}

/* Gives back the newest `count` slabs, so that order of release differs from order of
 * allocation. */
static void give(struct ownership *test, struct holding *holding, uint64_t roll) {
    uint64_t count = roll % 3 ? 1 : 1 + (roll >> 8) % 40;
    unsigned first;
    uint64_t done = 0;
    slabby_status status;

    if (count > holding->count)
        count = holding->count;
    if (!count)
        return;
    first = (unsigned)((roll >> 20) % (holding->count - count + 1));
    for (uint64_t i = first; i < first + count; i++)
        unstamp(test, holding->refs[i], holding->datas[i]);
    status = slabby_release_batch(&done, test->pool, holding->refs + first, count);
    if (status != SLABBY_OK || done != count)
        complain("release of %llu: %s", (unsigned long long)count, slabby_status_name(status));
    atomic_fetch_add(&test->released, done);
    holding->count -= (unsigned)count;
    memmove(holding->refs + first, holding->refs + first + count,
            (holding->count - first) * sizeof *holding->refs);
    memmove(holding->datas + first, holding->datas + first + count,
            (holding->count - first) * sizeof *holding->datas);
}

struct life {
    struct ownership *test;
    uint64_t seed;
    unsigned turns;
};

/* One thread's life: works some turns, gives back what it holds, and ends anywhere outside of a
 * call. */
static void *live_once(void *argument) {
    struct life *life = argument;
    struct holding holding = {.count = 0};

    for (unsigned i = 0; i < life->turns && !threads_failed(); i++) {
        uint64_t roll = random_next(&life->seed);

        if (roll >> 60 < 8)
            grab(life->test, &holding, roll);
        else
            give(life->test, &holding, roll);
    }
    while (holding.count && !threads_failed())
        give(life->test, &holding, 3);
    pthread_exit(NULL);
    return NULL; /* mingw's header does not say that pthread_exit never returns */
}

static void replace_the_dead(struct worker *worker) {
    struct ownership *test = worker->shared;
    pthread_t thread;

    while (atomic_load(&test->allocated) < test->goal && !threads_failed()) {
        struct life life = {test, random_next(&worker->random), 0};

        life.turns = 1 + (unsigned)(life.seed % 5000);
        if (pthread_create(&thread, NULL, live_once, &life)) {
            complain("no thread to be had");
            return;
        }
        pthread_join(thread, NULL);
    }
}

static void own(uint64_t capacity, const struct setting *settings, uint64_t goal, int disturbed) {
    struct ownership test = {.capacity = capacity, .goal = goal};
    slabby_stats stats;

    test.pool = make_pool(SLAB_WORDS * sizeof(uint64_t), capacity, settings);
    test.taken = calloc(capacity, sizeof *test.taken);
    assert_non_null(test.taken);
    disturb(disturbed);
    run_threads(THREADS, replace_the_dead, &test, test_seed());
    disturb(0);
    assert_no_thread_failed();
    stats = stats_of(test.pool);
    assert_int_equal(stats.total_allocations, atomic_load(&test.allocated));
    assert_int_equal(stats.total_deallocations, atomic_load(&test.released));
    assert_int_equal(stats.used_slabs, 0);
    for (uint64_t i = 0; i < capacity; i++)
        assert_int_equal(atomic_load(&test.taken[i]), 0);
    finish(test.pool);
    free(test.taken);
}

/* Guards: exclusive ownership and exact counters with the default CPU caches. */
static void nothing_twice_with_default_caches(void **state) {
    (void)state;
    own(4096, NULL, scaled(1000000), 0);
}

/* Guards: the same where the pool is nearly always exhausted and the gate is closed most of the
 * time. */
static void nothing_twice_when_scarce(void **state) {
    (void)state;
    own(100, NULL, scaled(400000), 0);
    own(100, WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, SLABBY_CPU_CACHE_BACKEND_PORTABLE}), scaled(200000), 1);
}

/* Guards: the portable backend and the pool without caches hold the same law. */
static void nothing_twice_with_other_tiers(void **state) {
    (void)state;
    own(2000, WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, SLABBY_CPU_CACHE_BACKEND_PORTABLE}), scaled(200000), 0);
    own(2000, WITH({SLABBY_OPTION_PER_CPU_CACHE, 0}, {SLABBY_OPTION_SHARDS, 1}), scaled(100000), 0);
    own(1000, NULL, scaled(100000), 1);
}

/* Guards: so do two stacks a CPU, and the queue before reuse. */
static void nothing_twice_out_of_order(void **state) {
    (void)state;
    own(2000, WITH({SLABBY_OPTION_SHUFFLE, 1}), scaled(150000), 1);
    own(100, WITH({SLABBY_OPTION_SHUFFLE, 1}), scaled(50000), 0);
    own(2000, WITH({SLABBY_OPTION_REUSE_DELAY, 50}), scaled(150000), 1);
    own(100, WITH({SLABBY_OPTION_REUSE_DELAY, 20}), scaled(50000), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_twice_with_default_caches),
        cmocka_unit_test(nothing_twice_when_scarce),
        cmocka_unit_test(nothing_twice_with_other_tiers),
        cmocka_unit_test(nothing_twice_out_of_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
