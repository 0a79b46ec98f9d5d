/* SPDX-License-Identifier: GPL-3.0-or-later */
/* CPUs, sleeping and randomness on Darwin and FreeBSD. */
#include "os/os.h"

#if defined(SLB_OS_DARWIN) || defined(SLB_OS_FREEBSD)

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

SLB_PRIVATE uint32_t slb_os_cpu_count(void) {
    long count = sysconf(_SC_NPROCESSORS_CONF);
    if (count < 1)
        return 1;
    return count > SLB_OS_MOST_CPUS ? SLB_OS_MOST_CPUS : (uint32_t)count;
}

SLB_PRIVATE uint32_t slb_os_usable_cpus(void) {
    return slb_os_cpu_count();
}

/* Not every version of these systems says where a thread runs. So each thread gets the next number in turn when it
 * first asks. Threads then spread over the caches just as evenly, and a thread keeps its cache when it moves. */
SLB_PRIVATE uint32_t slb_os_cpu(void) {
    static _Atomic uint32_t turn, count;
    static SLB_THREAD_LOCAL uint32_t number; /* from 1 */
    if (slb_unlikely(number == 0)) {
        uint32_t cpus = atomic_load_explicit(&count, memory_order_relaxed);
        if (cpus == 0)
            atomic_store_explicit(&count, cpus = slb_os_cpu_count(), memory_order_relaxed);
        number = 1 + atomic_fetch_add_explicit(&turn, 1, memory_order_relaxed) % cpus;
    }
    return number - 1;
}

SLB_PRIVATE uint32_t slb_os_cache_line(void) {
    return SLB_CACHE_LINE;
}

/* Under a second. nanosleep is a cancellation point. */
SLB_PRIVATE void slb_os_sleep(uint64_t ns) {
    struct timespec sleep = {.tv_sec = 0, .tv_nsec = (long)ns};
    int held = slb_os_hold_cancellation();
    (void)nanosleep(&sleep, NULL);
    slb_os_allow_cancellation(held);
}

SLB_PRIVATE uint64_t slb_os_unique(void) {
    uint64_t value = 0;
    while (value == 0)
        arc4random_buf(&value, sizeof value);
    return value;
}

#endif
