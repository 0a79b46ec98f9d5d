/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "threads.h"

#include <sched.h>

int run_on(unsigned cpu) {
    cpu_set_t only;

    CPU_ZERO(&only);
    CPU_SET(cpu, &only);
    return sched_setaffinity(0, sizeof only, &only) == 0;
}
