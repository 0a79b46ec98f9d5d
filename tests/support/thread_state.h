/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the kernel says of a thread of this process, so that a test can wait until another thread sleeps. */
#ifndef SLABBY_TEST_THREAD_STATE_H
#define SLABBY_TEST_THREAD_STATE_H

#include <stdint.h>

struct thread_state {
    int asleep;      /* in a system call that waits */
    uint64_t sleeps; /* how often it has been put to sleep so far */
};

/* The calling thread's number. */
int thread_number(void);

struct thread_state thread_state_of(int number);
int thread_is_asleep(int number);

/* The kernel forgets a thread a moment after it was joined. */
int thread_has_ended(int number);

#endif
