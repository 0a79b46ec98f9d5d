/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "test_hooks.h"

struct start {
    struct worker worker;
    void (*job)(struct worker *);
    pthread_t thread;
};

static char first_complaint[256];
static atomic_int complaints;
static _Thread_local uint64_t disturbance;

uint64_t now_ns(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void complain(const char *format, ...) {
    va_list arguments;

    if (atomic_fetch_add(&complaints, 1) == 0) {
        va_start(arguments, format);
        vsnprintf(first_complaint, sizeof first_complaint, format, arguments);
        va_end(arguments);
    }
}

int threads_failed(void) {
    return atomic_load_explicit(&complaints, memory_order_relaxed) != 0;
}

void assert_no_thread_failed(void) {
    int count = atomic_exchange(&complaints, 0);

    if (count)
        print_error("%d complaints, the first: %s\n", count, first_complaint);
    assert_int_equal(count, 0);
}

static void *begin(void *argument) {
    struct start *start = argument;

    disturbance = start->worker.random;
    start->job(&start->worker);
    return NULL;
}

void run_threads(unsigned count, void (*job)(struct worker *), void *shared, uint64_t seed) {
    struct start starts[MAX_THREADS];

    assert_true(count <= MAX_THREADS);
    for (unsigned i = 0; i < count; i++) {
        starts[i].worker.shared = shared;
        starts[i].worker.random = random_next(&seed);
        starts[i].worker.index = i;
        starts[i].job = job;
        assert_int_equal(pthread_create(&starts[i].thread, NULL, begin, &starts[i]), 0);
    }
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(pthread_join(starts[i].thread, NULL), 0);
}

static void preempt(int point) {
    uint64_t roll = random_next(&disturbance) ^ (uint64_t)point;

    if (roll % 8 == 0)
        sched_yield();
    if (roll % 512 == 1) {
        struct timespec pause = {.tv_sec = 0, .tv_nsec = (long)(roll >> 32 & 0x3FFFF)};

        nanosleep(&pause, NULL);
    }
}

void disturb(int enabled) {
    slb_test_bias_never_backs_off = enabled != 0;
    __atomic_store_n(&slb_test_point, enabled ? preempt : NULL, __ATOMIC_RELAXED);
}
