/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Clocks and the environment as POSIX has them. */
#include "os/os.h"

#ifndef SLB_OS_WINDOWS

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* The cheapest steady clock that is exact to some milliseconds. */
#if defined(CLOCK_MONOTONIC_COARSE)
#define COARSE_CLOCK CLOCK_MONOTONIC_COARSE
#elif defined(CLOCK_MONOTONIC_RAW_APPROX)
#define COARSE_CLOCK CLOCK_MONOTONIC_RAW_APPROX
#elif defined(CLOCK_MONOTONIC_FAST)
#define COARSE_CLOCK CLOCK_MONOTONIC_FAST
#else
#define COARSE_CLOCK CLOCK_MONOTONIC
#endif

static uint64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

SLB_PRIVATE uint64_t slb_os_now_ns(void) {
    return clock_ns(CLOCK_MONOTONIC);
}

SLB_PRIVATE uint64_t slb_os_coarse_ns(void) {
    return clock_ns(COARSE_CLOCK);
}

SLB_PRIVATE uint64_t slb_os_wall_ns(void) {
    return clock_ns(CLOCK_REALTIME);
}

SLB_PRIVATE const char *slb_os_environment(const char *name) {
#if defined(SLB_OS_LINUX)
    return secure_getenv(name);
#else
    return issetugid() ? NULL : getenv(name);
#endif
}

#endif
