/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Threads for the stress programs: a crew that runs one function, remembers its first complaint,
 * and can be disturbed at the core's named race windows. */
#ifndef SLABBY_STRESS_THREADS_H
#define SLABBY_STRESS_THREADS_H

#include <stdatomic.h>

#include "support.h"

#define MAX_THREADS 16

struct worker {
    void *shared;
    uint64_t random;
    unsigned index;
};

/* Runs job in `count` threads, each with its own seed, and joins them. */
void run_threads(unsigned count, void (*job)(struct worker *), void *shared, uint64_t seed);

/* Assertions may not leave a thread by longjmp: complain notes the first, assert_no_thread_failed
 * asserts none. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
int threads_failed(void);
void assert_no_thread_failed(void);

/* Preempts at random at the named race windows: yields often, sleeps sometimes. Only while no
 * thread runs. */
void disturb(int enabled);

uint64_t now_ns(void);

#endif
