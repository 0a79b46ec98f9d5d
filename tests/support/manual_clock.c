/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "manual_clock.h"

#include <stddef.h>

#include "test_hooks.h"
#include "timing.h"

_Atomic uint64_t clock_ns = 1000 * SECOND;

static uint64_t our_clock(void) {
    return clock_ns;
}

int set_clock(void **state) {
    (void)state;
    clock_ns = 1000 * SECOND;
    slb_test_clock = our_clock;
    return 0;
}

int reset_clock(void **state) {
    (void)state;
    slb_test_clock = NULL;
    return 0;
}
