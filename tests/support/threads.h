/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Threads that run one function, and remember the first failure of any of them. */
#ifndef SLABBY_TEST_THREADS_H
#define SLABBY_TEST_THREADS_H

#include <stdatomic.h>
#include <stdint.h>

#define MAX_THREADS 16

struct worker {
    void *shared;
    uint64_t random;
    unsigned index;
};

/* Random numbers of what happens to the calling thread, apart from those of what it does. */
extern _Thread_local uint64_t thread_random;

/* Runs job in `count` threads, each with its own seed, and joins them. */
void run_threads(unsigned count, void (*job)(struct worker *), void *shared, uint64_t seed);

/* Assertions may not leave a thread by longjmp: complain notes the first, assert_no_thread_failed
 * asserts none. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
int threads_failed(void);
void assert_no_thread_failed(void);

/* Lets the calling thread run on one CPU only. False where the system refuses. */
int run_on(unsigned cpu);

/* Lets it run on its present CPU only: a group's setup, for tests that count on the caches of one CPU. Threads that it
 * makes stay there too. 0; where the system refuses, the tests go on, and the output says so. */
int stay_on_one_cpu(void **state);

#endif
