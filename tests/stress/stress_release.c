/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Law 2 under races: of several concurrent releases one succeeds, and nothing forged or foreign
 * ever does. */
#define _GNU_SOURCE
#include "support.h"
#include "threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "test_hooks.h"

enum { ROUND = 256, RELEASERS = 3 };

struct duel {
    slabby_allocator *pool;
    pthread_barrier_t barrier;
    slabby_ref refs[ROUND];
    atomic_uchar successes[ROUND];
    atomic_int stop;
    _Atomic uint64_t arrived;
    uint64_t rounds;
};

/* A barrier wakes its threads one after the other, and each may be done before the next one runs: only threads that
 * wait awake begin together. */
static void begin_together(struct duel *test, uint64_t round) {
    atomic_fetch_add(&test->arrived, 1);
    for (unsigned tries = 1; atomic_load(&test->arrived) < (round + 1) * RELEASERS; tries++)
        if (tries % 1000 == 0)
            (void)sched_yield();
}

static void release_all(struct duel *test, struct worker *worker) {
    uint64_t offset = random_next(&worker->random) % 4;
    int deferred = (int)(offset & 1);

    for (uint64_t i = 0; i < ROUND; i++) {
        uint64_t entry = (i + offset) % ROUND;
        slabby_status status = deferred ? slabby_release_deferred(test->pool, test->refs[entry])
                                        : slabby_release(test->pool, test->refs[entry]);

        if (status == SLABBY_OK)
            atomic_fetch_add(&test->successes[entry], 1);
        else if (status != SLABBY_DOUBLE_DEALLOCATION)
            complain("double release: %s", slabby_status_name(status));
    }
}

/* Every other round one by one, so that this CPU owns their words (word_bias.h). */
static void take_round(struct duel *test, uint64_t round) {
    if (round % 2 == 0) {
        if (slabby_allocate_batch(test->refs, NULL, test->pool, ROUND) != SLABBY_OK)
            complain("no batch for a round");
    } else {
        for (int i = 0; i < ROUND; i++)
            if (slabby_allocate(&test->refs[i], NULL, test->pool) != SLABBY_OK)
                complain("no slab for a round");
    }
    for (int i = 0; i < ROUND; i++)
        atomic_store(&test->successes[i], 0);
}

static void release_together(struct worker *worker) {
    struct duel *test = worker->shared;

    for (uint64_t round = 0; round < test->rounds; round++) {
        if (worker->index == 0)
            take_round(test, round);
        pthread_barrier_wait(&test->barrier);
        begin_together(test, round);
        release_all(test, worker);
        pthread_barrier_wait(&test->barrier);
        if (worker->index == 0)
            for (int i = 0; i < ROUND; i++)
                if (atomic_load(&test->successes[i]) != 1)
                    complain("%d of %d releases succeeded", atomic_load(&test->successes[i]), RELEASERS);
    }
    atomic_store(&test->stop, 1);
}

/* A bystander who uses the freed slabs at once: what it holds must never be released by a stale
 * copy. */
static void use_what_was_freed(struct worker *worker) {
    struct duel *test = worker->shared;
    slabby_ref ref = 0;

    while (!atomic_load(&test->stop)) {
        if (slabby_allocate(&ref, NULL, test->pool) != SLABBY_OK)
            complain("the bystander got nothing");
        else if (slabby_release(test->pool, ref) != SLABBY_OK)
            complain("the bystander's slab was stolen");
    }
}

static void duel_or_watch(struct worker *worker) {
    if (worker->index < RELEASERS)
        release_together(worker);
    else
        use_what_was_freed(worker);
}

/* Guards: a million references, each released by three threads at the same time: one success
 * each. */
static void one_release_wins(void **state) {
    struct duel test = {.rounds = scaled(1000000) / ROUND + 1};

    (void)state;
    test.pool = make_pool(64, 2 * ROUND, NULL);
    assert_int_equal(pthread_barrier_init(&test.barrier, NULL, RELEASERS), 0);
    slb_test_bias_never_backs_off = true;
    run_threads(RELEASERS + 1, duel_or_watch, &test, test_seed());
    slb_test_bias_never_backs_off = false;
    pthread_barrier_destroy(&test.barrier);
    assert_no_thread_failed();
    assert_int_equal(stats_of(test.pool).errors[-SLABBY_DOUBLE_DEALLOCATION],
                     test.rounds * ROUND * (RELEASERS - 1));
    finish(test.pool);
}

/* True where any function takes the reference for good. */
static int accepted(slabby_allocator *pool, slabby_ref ref, uint64_t way) {
    void *data = NULL;
    uint64_t label = 0;

    if (slabby_is_valid(pool, ref))
        return 1;
    switch (way % 6) {
    case 0:
        return slabby_release(pool, ref) == SLABBY_OK;
    case 1:
        return slabby_data(&data, pool, ref) == SLABBY_OK;
    case 2:
        return slabby_pin(pool, ref) == SLABBY_OK || slabby_unpin(pool, ref) == SLABBY_OK;
    case 3:
        return slabby_release_deferred(pool, ref) == SLABBY_OK;
    case 4:
        return slabby_set_label(pool, ref, 1) == SLABBY_OK ||
               slabby_get_label(&label, pool, ref) == SLABBY_OK;
    default:
        return slabby_release_batch(NULL, pool, &ref, 1) == SLABBY_OK;
    }
}

enum { LIVE = 64 };

static int is_one_of(const slabby_ref *refs, slabby_ref ref) {
    for (int i = 0; i < LIVE; i++)
        if (refs[i] == ref)
            return 1;
    return 0;
}

static slabby_ref forge(uint64_t *random, const slabby_ref *live) {
    uint64_t roll = random_next(random);
    slabby_ref model = live[roll % LIVE];

    switch (roll >> 61) {
    case 0:
        return random_next(random);
    case 1:
        return (model & ~UINT64_C(0xFFFFFFFFFFFFF)) | random_next(random) >> 12;
    case 2:
    case 3:
        return model ^ (UINT64_C(1) << (roll >> 8) % 64);
    case 4:
        return model ^ (UINT64_C(1) << (roll >> 8) % 64) ^ (UINT64_C(1) << (roll >> 16) % 64);
    case 5:
        return model + (roll >> 8 & 0xFFFF);
    default:
        return model - (roll >> 8 & 0xFFFF);
    }
}

struct forgery {
    slabby_allocator *pool;
    const slabby_ref *live;
    uint64_t tries;
};

static void try_forgeries(struct worker *worker) {
    struct forgery *test = worker->shared;

    for (uint64_t i = 0; i < test->tries && !threads_failed(); i++) {
        slabby_ref ref = forge(&worker->random, test->live);

        if (!is_one_of(test->live, ref) && accepted(test->pool, ref, i))
            complain("forged %llx was accepted by way %llu", (unsigned long long)ref,
                     (unsigned long long)i % 6);
    }
}

static void forge_against(slabby_allocator *pool, const slabby_ref *live, uint64_t tries) {
    struct forgery test = {pool, live, tries};

    run_threads(4, try_forgeries, &test, test_seed());
    assert_no_thread_failed();
    for (int i = 0; i < LIVE; i++)
        assert_int_equal(slabby_is_valid(pool, live[i]), 1);
}

/* Guards: a million random and near-miss references, by four threads, accepted by no function. */
static void forgeries_are_refused(void **state) {
    slabby_allocator *pool = make_pool(64, 2 * LIVE, NULL);
    slabby_ref live[LIVE];
    slabby_stats before;
    slabby_stats after;

    (void)state;
    for (int round = 0; round < 30; round++) {
        CHECK_STATUS(slabby_allocate_batch(live, NULL, pool, LIVE), SLABBY_OK);
        CHECK_STATUS(slabby_release_batch(NULL, pool, live, LIVE), SLABBY_OK);
    }
    CHECK_STATUS(slabby_allocate_batch(live, NULL, pool, LIVE), SLABBY_OK);
    before = stats_of(pool);
    forge_against(pool, live, scaled(1000000) / 4);
    after = stats_of(pool);
    assert_int_equal(after.total_deallocations, before.total_deallocations);
    assert_int_equal(after.used_slabs, LIVE);
    CHECK_STATUS(slabby_release_batch(NULL, pool, live, LIVE), SLABBY_OK);
    finish(pool);
}

/* Guards: references of other pools with the same layout are refused a million times, live or
 * stale. */
static void foreigners_are_refused(void **state) {
    slabby_allocator *pool = make_pool(64, LIVE, NULL);
    slabby_ref live[LIVE];
    uint64_t tries = 0;
    uint64_t goal = scaled(1000000);

    (void)state;
    CHECK_STATUS(slabby_allocate_batch(live, NULL, pool, LIVE), SLABBY_OK);
    while (tries < goal) {
        slabby_allocator *other = make_pool(64, LIVE, NULL);
        slabby_ref theirs[LIVE];

        for (int round = 0; round < 100; round++) {
            CHECK_STATUS(slabby_allocate_batch(theirs, NULL, other, LIVE), SLABBY_OK);
            for (int i = 0; i < LIVE; i++, tries++)
                assert_false(accepted(pool, theirs[i], tries));
            CHECK_STATUS(slabby_release_batch(NULL, other, theirs, LIVE), SLABBY_OK);
        }
        CHECK_STATUS(slabby_destroy(other), SLABBY_OK);
        for (int i = 0; i < LIVE; i++)
            assert_false(accepted(pool, theirs[i], (uint64_t)i));
    }
    CHECK_STATUS(slabby_release_batch(NULL, pool, live, LIVE), SLABBY_OK);
    finish(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_release_wins),
        cmocka_unit_test(forgeries_are_refused),
        cmocka_unit_test(foreigners_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
