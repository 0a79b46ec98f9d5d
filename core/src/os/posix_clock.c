/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Clocks and the environment as POSIX has them. */
#include "os/os.h"

#ifndef SLB_OS_WINDOWS

#include <dlfcn.h>
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

static uint64_t in_ns(const struct timespec *time) {
    return (uint64_t)time->tv_sec * 1000000000u + (uint64_t)time->tv_nsec;
}

static uint64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return in_ns(&now);
}

SLB_PRIVATE uint64_t slb_os_now_ns(void) {
    return clock_ns(CLOCK_MONOTONIC);
}

/* What reads the coarse clock: on Linux the function that the kernel maps into each process (vdso(7)), where the
 * dynamic linker lists it. The C library calls the same one, and takes a third of the time for itself. */
static int (*read_coarse_clock)(clockid_t, struct timespec *) = clock_gettime;

#if defined(SLB_OS_LINUX)
#if defined(__aarch64__)
#define VDSO_CLOCK "__kernel_clock_gettime"
#else
#define VDSO_CLOCK "__vdso_clock_gettime"
#endif

/* When the library is loaded: nobody has called it yet, or one thread in an early constructor. */
static __attribute__((constructor)) void find_coarse_clock(void) {
    /* by name: a direct call makes the linker warn of static programs, which have no dynamic linker to ask */
    void *(*open)(const char *, int), *vdso = NULL, *found = NULL;
    *(void **)&open = dlsym(RTLD_DEFAULT, "dlopen");
    if (open != NULL)
        vdso = open("linux-vdso.so.1", RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD);
    if (vdso != NULL)
        found = dlsym(vdso, VDSO_CLOCK);
    if (found != NULL)
        *(void **)&read_coarse_clock = found;
    (void)dlerror(); /* what the program asks for next is about its own calls */
}
#endif

SLB_PRIVATE uint64_t slb_os_coarse_ns(void) {
    struct timespec now;
    (void)read_coarse_clock(COARSE_CLOCK, &now);
    return in_ns(&now);
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
