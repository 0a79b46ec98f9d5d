/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A thousand wait, one release: one wakes, has the slab, and the others sleep on. How often the kernel put a thread to
 * sleep tells whether it woke in between. */
#define _GNU_SOURCE
#include "support.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 1000, RELEASES = 8 };

struct waiting_threads {
    slabby_allocator *pool;
    sem_t go_on; /* who has the slab may give it back */
    _Atomic uint64_t served;
};

struct waiter {
    struct waiting_threads *waiting_threads;
    pthread_t thread;
    _Atomic int tid;
    _Atomic bool has_it;
    uint64_t sleeps; /* as it was when all slept */
};

static struct waiter waiters[MOST];

static void pause_briefly(void) {
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

static void *wait_for_turn(void *argument) {
    struct waiter *self = argument;
    slabby_ref ref;
    atomic_store(&self->tid, (int)syscall(SYS_gettid));
    CHECK_STATUS(slabby_allocate_timeout(&ref, NULL, self->waiting_threads->pool, UINT64_MAX), SLABBY_OK);
    atomic_store(&self->has_it, true);
    atomic_fetch_add(&self->waiting_threads->served, 1);
    while (sem_wait(&self->waiting_threads->go_on) != 0)
        continue;
    CHECK_STATUS(slabby_release(self->waiting_threads->pool, ref), SLABBY_OK);
    return NULL;
}

/* How often the kernel has put a thread to sleep. */
static uint64_t sleeps_of(int tid) {
    char path[64], line[128];
    unsigned long long count = 0;
    int found = 0;
    (void)snprintf(path, sizeof path, "/proc/self/task/%d/status", tid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (found != 1 && fgets(line, sizeof line, file) != NULL)
        found = sscanf(line, "voluntary_ctxt_switches: %llu", &count);
    (void)fclose(file);
    assert_int_equal(found, 1);
    return count;
}

/* Sleeps of all who still wait: each of them, where `note` is set, else how many of them moved since. */
static uint64_t check_sleepers(uint64_t count, bool note) {
    uint64_t moved = 0;
    for (uint64_t i = 0; i < count; i++) {
        if (atomic_load(&waiters[i].has_it))
            continue;
        uint64_t now = sleeps_of(atomic_load(&waiters[i].tid));
        moved += now != waiters[i].sleeps;
        if (note)
            waiters[i].sleeps = now;
    }
    return moved;
}

static void until_all_sleep(uint64_t count) {
    while (check_sleepers(count, true) != 0)
        pause_briefly();
}

/* Guards: a release wakes its one waiter. */
static void a_release_wakes_one(void **state) {
    struct waiting_threads waiting_threads = {.pool = make_pool(64, 1, NULL)};
    uint64_t count = scaled(MOST) < MOST ? scaled(MOST) : MOST;
    (void)state;
    count = count < 2 * RELEASES ? 2 * RELEASES : count;
    assert_int_equal(sem_init(&waiting_threads.go_on, 0, 0), 0);
    slabby_ref ref = take(waiting_threads.pool);
    for (uint64_t i = 0; i < count; i++) {
        waiters[i].waiting_threads = &waiting_threads;
        assert_int_equal(pthread_create(&waiters[i].thread, NULL, wait_for_turn, &waiters[i]), 0);
    }
    while (stats_of(waiting_threads.pool).waiters < count)
        pause_briefly();
    until_all_sleep(count);
    CHECK_STATUS(slabby_release(waiting_threads.pool, ref), SLABBY_OK);
    for (uint64_t served = 1; served <= RELEASES; served++) {
        while (atomic_load(&waiting_threads.served) < served)
            pause_briefly();
        pause_briefly(); /* time enough for those who were woken in vain to go to sleep again */
        assert_int_equal(check_sleepers(count, false), 0);
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
