/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Released twice, by two threads, while viewed, by the wrong call, never. */
#include "misuse.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

static void double_release(void) {
    slabby_allocator *pool = pool_with(0, 0);
    slabby_ref ref = take(pool, NULL);

    insist(slabby_release(pool, ref));
    answered(pool, ref, slabby_release(pool, ref));
}

static void double_release_after_reuse(void) {
    slabby_allocator *pool = sized_pool(SLAB_SIZE, 1, 0, 0);
    slabby_ref ref = take(pool, NULL);

    insist(slabby_release(pool, ref));
    (void)take(pool, NULL);
    answered(pool, ref, slabby_release(pool, ref));
}

/* ------------------------------------------------------------------------------------------------ the race */

/* So many references at a time: both threads start on the first together. */
#define RACERS 1000

static struct race {
    slabby_allocator *pool;
    slabby_ref refs[RACERS];
    slabby_status answers[2][RACERS];
    _Atomic uint64_t arrived;
    uint64_t heats;
} race;

static void meet(uint64_t times) {
    atomic_fetch_add(&race.arrived, 1);
    while (atomic_load(&race.arrived) < 2 * times)
        (void)sched_yield();
}

static void release_all(slabby_status *answers) {
    for (size_t i = 0; i < RACERS; i++)
        answers[i] = slabby_release(race.pool, race.refs[i]);
}

static void *second_racer(void *context) {
    for (uint64_t heat = 0; heat < race.heats; heat++) {
        meet(2 * heat + 1);
        release_all(race.answers[1]);
        meet(2 * heat + 2);
    }
    return context;
}

static void release_race(void) {
    uint64_t times = rounds(1000000), won = 0, lost = 0;
    pthread_t thread;

    race.pool = sized_pool(SLAB_SIZE, RACERS, 0, 0);
    race.heats = (times + RACERS - 1) / RACERS;
    if (pthread_create(&thread, NULL, second_racer, NULL))
        exit(3);
    for (uint64_t heat = 0; heat < race.heats; heat++) {
        insist(slabby_allocate_batch(race.refs, NULL, race.pool, RACERS));
        meet(2 * heat + 1);
        release_all(race.answers[0]);
        meet(2 * heat + 2);
        for (size_t i = 0; i < RACERS; i++) {
            slabby_status first = race.answers[0][i], second = race.answers[1][i];

            won += (uint64_t)((first == SLABBY_OK) != (second == SLABBY_OK));
            lost += (uint64_t)(first == SLABBY_DOUBLE_DEALLOCATION) + (second == SLABBY_DOUBLE_DEALLOCATION);
        }
    }
    (void)pthread_join(thread, NULL);
    counted("races", race.heats * RACERS);
    counted("won", won);
    counted("lost", lost);
    answered(race.pool, race.refs[0], SLABBY_DOUBLE_DEALLOCATION);
}

/* ------------------------------------------------------------------------------------------- views, ids, ends */

static void release_while_viewed(void) {
    slabby_allocator *pool = pool_with(0, 0);
    slabby_ref ref = take(pool, NULL);

    insist(slabby_pin(pool, ref));
    answered(pool, ref, slabby_release(pool, ref));
}

static void fast_id_twice(void) {
    slabby_allocator *pool = pool_with(0, 0);
    void *data = NULL;
    uint32_t id = 0;

    insist(slabby_allocate_fast(&data, &id, pool));
    insist(slabby_deallocate_fast(pool, id));
    answered(pool, 0, slabby_deallocate_fast(pool, id));
}

static void fast_id_of_reference(void) {
    slabby_allocator *pool = pool_with(0, 0);
    slabby_ref ref = take(pool, NULL);
    uint32_t id = 0;

    insist(slabby_id(&id, pool, ref));
    answered(pool, 0, slabby_deallocate_fast(pool, id));
    insist(slabby_release(pool, ref));
}

static void reset_with_live_references(void) {
    slabby_allocator *pool = pool_with(0, 0);
    slabby_ref ref = take(pool, NULL);

    insist(slabby_reset(pool));
    answered(pool, ref, slabby_release(pool, ref));
}

static void reset_while_viewed(void) {
    slabby_allocator *pool = pool_with(0, 0);
    slabby_ref ref = take(pool, NULL);

    insist(slabby_pin(pool, ref));
    answered(pool, 0, slabby_reset(pool));
    insist(slabby_unpin(pool, ref));
    insist(slabby_release(pool, ref));
}

static void leak(void) {
    slabby_allocator *pool = pool_with(0, 0);

    (void)take(pool, NULL);
    answered(pool, 0, slabby_destroy(pool));
}

static void use_after_close(void) {
    slabby_allocator *pool = pool_with(0, 0);
    slabby_ref ref = 0;

    insist(slabby_close(pool));
    answered(pool, 0, slabby_allocate(&ref, NULL, pool));
}

const struct mistake release_mistakes[] = {
    {"double_release", double_release},
    {"double_release_after_reuse", double_release_after_reuse},
    {"release_race", release_race},
    {"release_while_viewed", release_while_viewed},
    {"fast_id_twice", fast_id_twice},
    {"fast_id_of_reference", fast_id_of_reference},
    {"reset_with_live_references", reset_with_live_references},
    {"reset_while_viewed", reset_while_viewed},
    {"leak", leak},
    {"use_after_close", use_after_close},
    {0},
};
