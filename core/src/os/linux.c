/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Memory and CPUs on Linux: the functions that are specific to Linux. */
#include "os/os.h"

#ifdef SLB_OS_LINUX

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

SLB_PRIVATE bool slb_os_discard(void *address, size_t size) {
    return madvise(address, size, MADV_DONTNEED) == 0;
}

SLB_PRIVATE bool slb_os_discard_keeps_guards(void) {
    return true;
}

/* Kernels before 5.14 do not know the advice: touch the pages by hand there. */
SLB_PRIVATE bool slb_os_populate(void *address, size_t size) {
    while (madvise(address, size, MADV_POPULATE_WRITE) != 0) {
        if (errno == EAGAIN || errno == EINTR)
            continue;
        if (errno != EINVAL)
            return false;
        for (size_t offset = 0; offset < size; offset += slb_os_page_size())
            ((volatile char *)address)[offset] = 0;
        break;
    }
    return true;
}

#ifdef __GLIBC__
static long present_cpus(void) {
    return sysconf(_SC_NPROCESSORS_CONF);
}
#else
/* musl's sysconf counts the CPUs that the calling thread may use now, of which there may be more later. The file says
 * "0-7" or "0,2-5": one more than the last number. */
static long present_cpus(void) {
    char text[256] = {0};
    int held = slb_os_hold_cancellation();
    int file = open("/sys/devices/system/cpu/present", O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? 0 : read(file, text, sizeof text - 1);
    if (file >= 0)
        (void)close(file);
    slb_os_allow_cancellation(held);
    while (length > 0 && text[length - 1] == '\n')
        text[--length] = '\0';
    while (length > 0 && text[length - 1] >= '0' && text[length - 1] <= '9')
        length--;
    return text[0] == '\0' ? sysconf(_SC_NPROCESSORS_CONF) : strtol(&text[length], NULL, 10) + 1;
}
#endif

SLB_PRIVATE uint32_t slb_os_cpu_count(void) {
    long count = present_cpus();
    if (count < 1)
        return 1;
    return count > SLB_OS_MOST_CPUS ? SLB_OS_MOST_CPUS : (uint32_t)count;
}

static uint32_t count_allowed(pid_t thread) {
    unsigned long allowed[SLB_OS_MOST_CPUS / (8 * sizeof(unsigned long))];
    long bytes = syscall(SYS_sched_getaffinity, thread, sizeof allowed, allowed);
    uint32_t count = 0;
    for (long i = 0; i < bytes / (long)sizeof allowed[0]; i++)
        count += (uint32_t)__builtin_popcountl(allowed[i]);
    return count;
}

/* The CPUs of the caller or of the first thread, whichever may use more: one of them may have been bound to a few
 * CPUs. */
SLB_PRIVATE uint32_t slb_os_usable_cpus(void) {
    uint32_t configured = slb_os_cpu_count(), here = count_allowed(0), first = count_allowed(getpid());
    uint32_t usable = here > first ? here : first;
    return usable == 0 || usable > configured ? configured : usable;
}

/* From the thread's rseq area if there is one: the number that libc would return, without the call. */
SLB_PRIVATE uint32_t slb_os_cpu(void) {
#if SLB_OS_RSEQ
    const volatile uint32_t *cpu = (const volatile uint32_t *)(slb_os_rseq_area() + SLB_OS_RSEQ_CPU);
    uint32_t known = *cpu;
    if (slb_likely(known < SLB_OS_MOST_CPUS))
        return known;
    if (slb_os_register_rseq() && (known = *cpu) < SLB_OS_MOST_CPUS)
        return known;
#endif
    int here = sched_getcpu();
    return here < 0 ? 0u : (uint32_t)here;
}

SLB_PRIVATE uint32_t slb_os_cache_line(void) {
    return SLB_CACHE_LINE;
}

SLB_PRIVATE uint64_t slb_os_unique(void) {
    uint64_t value = 0;
    if (syscall(SYS_getrandom, &value, sizeof value, GRND_NONBLOCK) != (long)sizeof value)
        value = slb_os_wall_ns() * 1000000007u ^ (uint64_t)(uintptr_t)&value ^ (uint64_t)getpid();
    return value == 0 ? 1 : value;
}

#endif
