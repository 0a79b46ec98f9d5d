/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "disturb.h"

#include "timing.h"
#include "random.h"
#include "threads.h"

#include <sched.h>
#include <stddef.h>

#include "test_hooks.h"

static void preempt(int point) {
    uint64_t roll = random_next(&thread_random) ^ (uint64_t)point;

    if (roll % 8 == 0)
        sched_yield();
    if (roll % 512 == 1)
        sleep_ns(roll >> 32 & 0x3FFFF);
}

void disturb(int enabled) {
    slb_test_bias_never_backs_off = enabled != 0;
    /* Relaxed: the threads that read it are created after, or joined before. */
    __atomic_store_n(&slb_test_point, enabled ? preempt : NULL, __ATOMIC_RELAXED);
}
