/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The time of breaker, health and degradation, moved by hand; for programs over a library with test hooks. */
#ifndef SLABBY_TEST_MANUAL_CLOCK_H
#define SLABBY_TEST_MANUAL_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>

extern _Atomic uint64_t clock_ns;

/* Set-up and tear-down of a cmocka test or group: time begins at 1000 s. */
int set_clock(void **state);
int reset_clock(void **state);

#endif
