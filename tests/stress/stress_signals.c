/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Law 10: signal handlers that allocate and release, whatever they interrupted. */
#define _GNU_SOURCE
#include "threads.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <time.h>

enum { WORKERS = 3, CAPACITY = 40 };

static slabby_allocator *signal_pool;
static _Atomic uint64_t handled;
static _Atomic uint64_t handler_served;
static _Atomic uint64_t handler_refused;
static _Atomic int64_t handler_trouble;

/* A release that answers Busy would lose the slab, so only OK is good for it. */
static void allocate_in_handler(int number) {
    int stored = errno;
    unsigned char *data = NULL;
    slabby_ref ref = 0;
    slabby_status status = slabby_allocate(&ref, (void **)&data, signal_pool);

    (void)number;
    atomic_fetch_add(&handled, 1);
    if (status == SLABBY_OK) {
        data[0] = 1;
        status = slabby_release(signal_pool, ref);
        if (status != SLABBY_OK)
            atomic_store(&handler_trouble, status);
        atomic_fetch_add(&handler_served, 1);
    } else if (status == SLABBY_BUSY || status == SLABBY_OUT_OF_MEMORY) {
        atomic_fetch_add(&handler_refused, 1);
    } else {
        atomic_store(&handler_trouble, status);
    }
    errno = stored;
}

struct storm {
    pthread_t threads[WORKERS];
    atomic_int present;
    atomic_int finished;
    _Atomic uint64_t served;
    uint64_t turns;
    uint64_t limit;
};

static void work_under_fire(struct storm *storm, struct worker *worker) {
    slabby_ref refs[CAPACITY];
    uint64_t done = 0;

    storm->threads[worker->index] = pthread_self();
    atomic_fetch_add(&storm->present, 1);
    while (atomic_load(&storm->present) < WORKERS)
        sched_yield();
    for (uint64_t i = 0; i < storm->turns && !threads_failed(); i++) {
        uint64_t count = 1 + random_next(&worker->random) % storm->limit;
        slabby_status status = slabby_allocate_batch(refs, NULL, signal_pool, count);

        if (status != SLABBY_OK) {
            complain("a worker within its share: %s", slabby_status_name(status));
            continue;
        }
        status = slabby_release_batch(&done, signal_pool, refs, count);
        if (status != SLABBY_OK)
            complain("release under fire: %s", slabby_status_name(status));
        atomic_fetch_add(&storm->served, count);
    }
    atomic_fetch_add(&storm->finished, 1);
    /* The thread must exist for as long as somebody signals it. */
    while (atomic_load(&storm->finished) <= WORKERS)
        sched_yield();
}

static void fire_or_work(struct worker *worker) {
    struct storm *storm = worker->shared;

    if (worker->index < WORKERS) {
        work_under_fire(storm, worker);
        return;
    }
    while (atomic_load(&storm->present) < WORKERS)
        sched_yield();
    while (atomic_load(&storm->finished) < WORKERS) {
        struct timespec pause = {0, 2000};

        pthread_kill(storm->threads[random_next(&worker->random) % WORKERS], SIGUSR1);
        nanosleep(&pause, NULL);
    }
    atomic_fetch_add(&storm->finished, 1);
}

static void storm_over(const struct setting *settings, int disturbed, uint64_t turns) {
    /* Each worker's share leaves one slab for each handler that can run at the same time. */
    struct storm storm = {.turns = turns, .limit = (CAPACITY - WORKERS) / WORKERS};

    signal_pool = make_pool(64, CAPACITY, settings);
    atomic_store(&handled, 0);
    atomic_store(&handler_served, 0);
    disturb(disturbed);
    run_threads(WORKERS + 1, fire_or_work, &storm, test_seed());
    disturb(0);
    assert_no_thread_failed();
    assert_true(atomic_load(&handled) > 0);
    assert_int_equal(atomic_load(&handler_trouble), 0);
    assert_int_equal(stats_of(signal_pool).total_allocations,
                     atomic_load(&storm.served) + atomic_load(&handler_served));
    finish(signal_pool);
}

/* Guards: handlers get OK, OutOfMemory or Busy, their slabs come back, workers in their share
 * always succeed. */
static void handlers_allocate_and_release(void **state) {
    struct sigaction action;
    struct sigaction before;

    (void)state;
    memset(&action, 0, sizeof action);
    action.sa_handler = allocate_in_handler;
    action.sa_flags = SA_RESTART;
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    storm_over(NULL, 0, scaled(60000));
    storm_over(WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, SLABBY_CPU_CACHE_BACKEND_PORTABLE}), 1, scaled(15000));
    storm_over(WITH({SLABBY_OPTION_PER_CPU_CACHE, 0}), 1, scaled(15000));
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handlers_allocate_and_release),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
