/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "threads.h"

#include <sched.h>
#include <stdio.h>

int run_on(unsigned cpu) {
    cpu_set_t only;

    CPU_ZERO(&only);
    CPU_SET(cpu, &only);
    return sched_setaffinity(0, sizeof only, &only) == 0;
}

int stay_on_one_cpu(void **state) {
    int cpu = sched_getcpu();

    (void)state;
    if (cpu < 0 || !run_on((unsigned)cpu))
        puts("the system may move this program to another CPU");
    return 0;
}
