/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The two CPUs that are measured: the first two that this process may use, or one twice. Define _GNU_SOURCE. */
#ifndef BENCH_CPUS_H
#define BENCH_CPUS_H

#include <sched.h>
#include <stddef.h>

static inline void cpus_find(size_t out[2]) {
    cpu_set_t allowed;
    int found = 0;
    CPU_ZERO(&allowed);
    sched_getaffinity(0, sizeof allowed, &allowed);
    for (size_t cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
        if (CPU_ISSET(cpu, &allowed))
            out[found++] = cpu;
    if (found == 1)
        out[1] = out[0];
}

/* Binds this thread to one of two CPUs, or to the one that both are. */
static inline void cpus_bind(size_t one, size_t other) {
    cpu_set_t wanted;
    CPU_ZERO(&wanted);
    CPU_SET(one, &wanted);
    CPU_SET(other, &wanted);
    sched_setaffinity(0, sizeof wanted, &wanted);
}

#endif
