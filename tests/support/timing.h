/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Time: read, slept through, and waited for. */
#ifndef SLABBY_TEST_TIMING_H
#define SLABBY_TEST_TIMING_H

#include <stdint.h>

#define SECOND 1000000000ull
#define MILLISECOND 1000000

/* The monotonic clock. */
uint64_t now_ns(void);

/* Sleeps so long, or until a signal comes. */
void sleep_ns(uint64_t ns);

/* Sleeps a moment at a time until the condition holds. There is no limit but the test runner's: a condition that never
 * comes fails the test as hanging, and a slow machine fails nothing. */
#define WAIT_UNTIL(condition)                                                                                \
    do                                                                                                       \
        while (!(condition))                                                                                 \
            sleep_ns(100000);                                                                                \
    while (0)

#endif
