/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Linux, glibc 2.35 or newer for the fast CPU number, any libc otherwise. */
#include "os/os.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

SLB_PRIVATE size_t slb_os_page_size(void) {
    static _Atomic size_t known;
    size_t size = atomic_load_explicit(&known, memory_order_relaxed); /* any thread computes the same value */
    if (size == 0) {
        size = (size_t)sysconf(_SC_PAGESIZE);
        atomic_store_explicit(&known, size, memory_order_relaxed);
    }
    return size;
}

SLB_PRIVATE void *slb_os_reserve(size_t size) {
    void *address = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return address == MAP_FAILED ? NULL : address;
}

SLB_PRIVATE bool slb_os_commit(void *address, size_t size) {
    return mprotect(address, size, PROT_READ | PROT_WRITE) == 0;
}

SLB_PRIVATE void *slb_os_map(size_t size) {
    void *address =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return address == MAP_FAILED ? NULL : address;
}

SLB_PRIVATE void slb_os_unmap(void *address, size_t size) {
    if (address != NULL)
        (void)munmap(address, size);
}

SLB_PRIVATE bool slb_os_discard(void *address, size_t size) {
    return madvise(address, size, MADV_DONTNEED) == 0;
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

SLB_PRIVATE bool slb_os_huge_pages(void *address, size_t size) {
    return madvise(address, size, MADV_HUGEPAGE) == 0;
}

SLB_PRIVATE uint32_t slb_os_cpu_count(void) {
    long count = sysconf(_SC_NPROCESSORS_CONF);
    if (count < 1)
        return 1;
    return count > SLB_OS_MOST_CPUS ? SLB_OS_MOST_CPUS : (uint32_t)count;
}

/* From the thread's rseq area if there is one: the number that libc would return, without the call. */
SLB_PRIVATE uint32_t slb_os_cpu(void) {
    const char *area = (const char *)__builtin_thread_pointer() + slb_os_rseq_offset;
    uint32_t known = *(const volatile uint32_t *)(area + SLB_OS_RSEQ_CPU);
    if (slb_likely(known < SLB_OS_MOST_CPUS))
        return known;
    int cpu = sched_getcpu();
    return cpu < 0 ? 0u : (uint32_t)cpu;
}

SLB_PRIVATE uint32_t slb_os_cache_line(void) {
    return SLB_CACHE_LINE;
}

/* The system call by its number, here and in the other files of this folder: libc's functions are cancellation
 * points.
 */
SLB_PRIVATE void slb_os_sleep(uint64_t ns) {
    struct timespec sleep = {.tv_sec = 0, .tv_nsec = (long)ns};
    (void)syscall(SYS_nanosleep, &sleep, NULL);
}

SLB_PRIVATE int slb_os_hold_cancellation(void) {
    int held = PTHREAD_CANCEL_ENABLE;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &held);
    return held;
}

SLB_PRIVATE void slb_os_allow_cancellation(int held) {
    (void)pthread_setcancelstate(held, NULL);
}

SLB_PRIVATE void slb_os_wait_a_little(uint32_t attempt) {
    if (attempt < 32) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ __volatile__("yield");
#endif
    } else if (attempt < 4096) {
        sched_yield();
    } else { /* a thread of higher priority must not starve the one it waits for */
        slb_os_sleep(50000);
    }
}

SLB_PRIVATE const char *slb_os_environment(const char *name) {
    return secure_getenv(name);
}

SLB_PRIVATE uint64_t slb_os_unique(void) {
    uint64_t value = 0;
    if (syscall(SYS_getrandom, &value, sizeof value, GRND_NONBLOCK) != (long)sizeof value) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        value = (uint64_t)now.tv_sec * 1000000007u ^ (uint64_t)now.tv_nsec << 20 ^
                (uint64_t)(uintptr_t)&value ^ (uint64_t)getpid();
    }
    return value == 0 ? 1 : value;
}
