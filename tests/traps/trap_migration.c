/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Threads that move themselves from CPU to CPU all the time, between any two operations, and timers that interrupt them
 * with handlers which use the same pool. */
#define _GNU_SOURCE
#include "threads.h"
#include "workout.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum { WORKERS = 6, IN_HAND = 8, CAPACITY = 2000 };

static slabby_allocator *pool;
static uint64_t turns;
static unsigned cpus;
static int with_timers;
static _Atomic uint64_t served, handled, handler_served, migrations;
static atomic_int handler_trouble;

/* A handler may find the pool empty, or its own thread in the middle of a slow path; what it got it gives back. */
static void use_the_pool(int number) {
    int stored = errno;
    slabby_ref ref = 0;
    unsigned char *data = NULL;
    slabby_status status = slabby_allocate(&ref, (void **)&data, pool);

    (void)number;
    atomic_fetch_add_explicit(&handled, 1, memory_order_relaxed);
    if (status == SLABBY_OK) {
        data[0] = 0xA5;
        atomic_fetch_add_explicit(&handler_served, 1, memory_order_relaxed);
        status = slabby_release(pool, ref);
        if (status != SLABBY_OK)
            atomic_store(&handler_trouble, status);
    } else if (status != SLABBY_BUSY && status != SLABBY_OUT_OF_MEMORY) {
        atomic_store(&handler_trouble, status);
    }
    errno = stored;
}

/* A timer for the calling thread; its period differs from thread to thread. */
static int start_timer(timer_t *out, uint64_t random) {
    struct sigevent event;
    struct itimerspec when;

    memset(&event, 0, sizeof event);
    memset(&when, 0, sizeof when);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGRTMIN;
    event.sigev_notify_thread_id = gettid();
    when.it_interval.tv_nsec = 30000 + (long)(random % 90000);
    when.it_value = when.it_interval;
    return timer_create(CLOCK_MONOTONIC, &event, out) == 0 && timer_settime(*out, 0, &when, NULL) == 0;
}

static int turn(slabby_ref *entry) {
    slabby_status status = *entry ? slabby_release(pool, *entry) : SLABBY_OK;
    slabby_ref *stamp = NULL;

    if (status == SLABBY_OK)
        status = slabby_allocate(entry, (void **)&stamp, pool);
    if (status != SLABBY_OK) {
        complain("in its share: %s", slabby_status_name(status));
        return 0;
    }
    *stamp = *entry;
    return 1;
}

static void wander_and_work(struct worker *worker) {
    slabby_ref hand[IN_HAND] = {0};
    uint64_t done = 0, moves = 0;
    timer_t timer;

    if (with_timers && !start_timer(&timer, worker->random)) {
        complain("no timer: error %d", errno);
        return;
    }
    for (uint64_t i = 0; i < turns && !threads_failed(); i++) {
        uint64_t roll = random_next(&worker->random);

        if (roll % 32 == 0)
            moves += (uint64_t)run_on((unsigned)(roll >> 8) % cpus);
        done += (uint64_t)turn(&hand[(roll >> 32) % IN_HAND]);
    }
    for (int i = 0; i < IN_HAND; i++)
        if (hand[i] && slabby_release(pool, hand[i]) != SLABBY_OK)
            complain("release at the end");
    if (with_timers)
        (void)timer_delete(timer);
    atomic_fetch_add(&served, done);
    atomic_fetch_add(&migrations, moves);
}

static void wander_on(int64_t backend, uint64_t work, uint64_t seed) {
    if (!backend_is_here(backend))
        return;
    pool = make_pool(64, CAPACITY, WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, backend}));
    turns = work;
    atomic_store(&served, 0);
    atomic_store(&handled, 0);
    atomic_store(&handler_served, 0);
    atomic_store(&migrations, 0);
    run_threads(WORKERS, wander_and_work, NULL, seed);
    assert_no_thread_failed();
    assert_int_equal(atomic_load(&handler_trouble), 0);
    assert_true(atomic_load(&migrations) > 0);
    printf("%s: %llu moves, %llu signals\n", backend_name(backend),
           (unsigned long long)atomic_load(&migrations), (unsigned long long)atomic_load(&handled));
    assert_int_equal(stats_of(pool).total_allocations, atomic_load(&served) + atomic_load(&handler_served));
    finish(pool);
}

static const int64_t backends[] = {SLABBY_CPU_CACHE_BACKEND_RSEQ, SLABBY_CPU_CACHE_BACKEND_PORTABLE};

static void migrations_lose_nothing(void **state) {
    uint64_t seed = test_seed();

    (void)state;
    with_timers = 0;
    for (size_t i = 0; i < COUNT_OF(backends); i++)
        wander_on(backends[i], scaled(100000), random_next(&seed));
}

static void migrations_under_timers_lose_nothing(void **state) {
    uint64_t seed = test_seed();
    struct sigaction action, before;

    (void)state;
    with_timers = 1;
    memset(&action, 0, sizeof action);
    action.sa_handler = use_the_pool;
    action.sa_flags = SA_RESTART;
    assert_int_equal(sigaction(SIGRTMIN, &action, &before), 0);
    for (size_t i = 0; i < COUNT_OF(backends); i++) {
        wander_on(backends[i], scaled(60000), random_next(&seed));
        assert_true(!backend_is_here(backends[i]) || atomic_load(&handled) > 0);
    }
    assert_int_equal(sigaction(SIGRTMIN, &before, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(migrations_lose_nothing),
        cmocka_unit_test(migrations_under_timers_lose_nothing),
    };

    cpus = (unsigned)sysconf(_SC_NPROCESSORS_CONF);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
