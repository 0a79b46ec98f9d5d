/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "threads.h"

#include "checks.h"
#include "random.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

struct start {
    struct worker worker;
    void (*job)(struct worker *);
    pthread_t thread;
};

static char first_complaint[256];
static atomic_int complaints;
_Thread_local uint64_t thread_random;

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

    thread_random = ~start->worker.random;
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
