/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A thousand wait, one release: one wakes, has the slab, and the others sleep on. How often the kernel put a thread to
 * sleep tells whether it woke in between. */
#define _GNU_SOURCE
#include "support.h"
#include "thread_state.h"
#include "waiting.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { MOST = 1000, RELEASES = 8 };

struct waiting_threads {
    slabby_allocator *pool;
    sem_t go_on; /* who has the slab may give it back */
    _Atomic uint64_t served;
};

struct waiter {
    struct waiting_threads *waiting_threads;
    pthread_t thread;
    _Atomic int number; /* of the thread; there once it waits */
    _Atomic bool has_it;
    uint64_t sleeps; /* as it was when all slept */
};

static struct waiter waiters[MOST];

static void *wait_for_turn(void *argument) {
    struct waiter *self = argument;
    slabby_ref ref;
    atomic_store(&self->number, thread_number());
    CHECK_STATUS(slabby_allocate_timeout(&ref, NULL, self->waiting_threads->pool, UINT64_MAX), SLABBY_OK);
    atomic_store(&self->has_it, true);
    atomic_fetch_add(&self->waiting_threads->served, 1);
    while (sem_wait(&self->waiting_threads->go_on) != 0)
        continue;
    CHECK_STATUS(slabby_release(self->waiting_threads->pool, ref), SLABBY_OK);
    return NULL;
}

/* Whether each of those who still wait sleeps, and how many of them woke since `note` was set the last time. */
static bool all_asleep(uint64_t count, bool note, uint64_t *woken) {
    bool all = true;
    *woken = 0;
    for (uint64_t i = 0; i < count; i++) {
        if (atomic_load(&waiters[i].has_it))
            continue;
        struct thread_state now = thread_state_of(atomic_load(&waiters[i].number));
        all = all && now.asleep;
        *woken += now.sleeps != waiters[i].sleeps;
        if (note)
            waiters[i].sleeps = now.sleeps;
    }
    return all;
}

/* Guards: a release wakes its one waiter. */
static void a_release_wakes_one(void **state) {
    struct waiting_threads waiting_threads = {.pool = make_pool(64, 1, NULL)};
    uint64_t count = scaled(MOST) < MOST ? scaled(MOST) : MOST, woken;
    (void)state;
    count = count < 2 * RELEASES ? 2 * RELEASES : count;
    assert_int_equal(sem_init(&waiting_threads.go_on, 0, 0), 0);
    slabby_ref ref = take(waiting_threads.pool);
    for (uint64_t i = 0; i < count; i++) {
        waiters[i].waiting_threads = &waiting_threads;
        assert_int_equal(pthread_create(&waiters[i].thread, NULL, wait_for_turn, &waiters[i]), 0);
    }
    until_waiting(waiting_threads.pool, count);
    WAIT_UNTIL(all_asleep(count, true, &woken) && woken == 0);
    CHECK_STATUS(slabby_release(waiting_threads.pool, ref), SLABBY_OK);
    for (uint64_t served = 1; served <= RELEASES; served++) {
        WAIT_UNTIL(atomic_load(&waiting_threads.served) == served);
        WAIT_UNTIL(all_asleep(count, false, &woken)); /* those who were woken in vain too */
        assert_int_equal(woken, 0);
        assert_int_equal(atomic_load(&waiting_threads.served), served);
        assert_int_equal(stats_of(waiting_threads.pool).waiters, count - served);
        assert_int_equal(sem_post(&waiting_threads.go_on), 0);
    }
    for (uint64_t i = RELEASES; i < count; i++)
        assert_int_equal(sem_post(&waiting_threads.go_on), 0);
    for (uint64_t i = 0; i < count; i++)
        assert_int_equal(pthread_join(waiters[i].thread, NULL), 0);
    assert_int_equal(stats_of(waiting_threads.pool).total_allocations, count + 1);
    finish(waiting_threads.pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_release_wakes_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
