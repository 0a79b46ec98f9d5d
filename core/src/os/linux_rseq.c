/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whether this process may use restartable sequences, found out once when the library is loaded: registering the
 * fence costs microseconds while the process has one thread and milliseconds later. */
#include "os/os.h"

#if SLB_OS_RSEQ

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As linux/membarrier.h has them, which not every system with a C compiler has. */
#define MEMBARRIER_CMD_QUERY 0
#define MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ (1 << 7)
#define MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ (1 << 8)

/* glibc 2.35 and newer register every thread and say where; a size of 0 means that it did not. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

SLB_SHARED_DATA intptr_t slb_os_rseq_offset;
#ifndef SLB_AMALGAMATION
intptr_t slb_os_rseq_offset;
#endif

/* A sequence writes into its thread's area before it checks whether it may run. If libc offers no area, it writes
 * here, and the CPU number, which is above every limit, makes each sequence refuse. */
static __thread struct {
    uint32_t unread, cpu;
    uint64_t mark;
} no_area __attribute__((tls_model("initial-exec"), aligned(32))) = {.cpu = UINT32_MAX};

static bool rseq_usable;

static long membarrier(int command) {
    return syscall(SYS_membarrier, command, 0, 0);
}

/* Early: other constructors may make pools already. */
__attribute__((constructor(101))) static void find_rseq(void) {
    slb_os_rseq_offset = (intptr_t)&no_area - (intptr_t)__builtin_thread_pointer();
    if (&__rseq_size == NULL || &__rseq_offset == NULL || __rseq_size == 0)
        return;
    long commands = membarrier(MEMBARRIER_CMD_QUERY);
    if (commands < 0 || (commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ) == 0)
        return;
    if (membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ) != 0)
        return;
    slb_os_rseq_offset = (intptr_t)__rseq_offset;
    rseq_usable = true;
}

SLB_PRIVATE bool slb_os_has_rseq(void) {
    return rseq_usable;
}

/* -------------------------------------------------------------------------------------------------- the fence */

#define MASK_BITS (8 * sizeof(unsigned long))

struct cpu_mask {
    unsigned long bits[SLB_OS_MOST_CPUS / MASK_BITS];
};

/* When this thread moves to a CPU, the kernel preempts the thread that ran there, and so restarts its sequence. A
 * CPU that this thread may never use is offline, or runs no thread of this process. False if the system does not let
 * threads move. */
static bool visit_every_cpu(void) {
    struct cpu_mask before, only;
    memset(&before, 0, sizeof before);
    if (syscall(SYS_sched_getaffinity, 0, sizeof before, &before) < 0)
        return false;
    uint32_t visited = 0, cpus = slb_os_cpu_count();
    for (uint32_t cpu = 0; cpu < cpus; cpu++) {
        memset(&only, 0, sizeof only);
        only.bits[cpu / MASK_BITS] = 1ul << cpu % MASK_BITS;
        visited += syscall(SYS_sched_setaffinity, 0, sizeof only, &only) == 0;
    }
    return visited != 0 && syscall(SYS_sched_setaffinity, 0, sizeof before, &before) == 0;
}

/* The kernel refuses the fence only to a process that never registered, but a filter that a sandbox installed later
 * may refuse the call. Then this thread visits the CPUs one by one. If that is also refused, it waits: a sequence is
 * a dozen instructions, and a thread that is preempted among them restarts. */
static _Atomic bool fence_refused;

static void fence_slowly(void) {
    atomic_store_explicit(&fence_refused, true, memory_order_relaxed);
    if (visit_every_cpu())
        return;
    uint64_t until = slb_os_now_ns() + 10000000;
    while (slb_os_now_ns() < until)
        slb_os_sleep(10000000);
}

SLB_PRIVATE void slb_os_fence_rseq(void) {
    int saved_errno = errno;
    if (slb_unlikely(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ) != 0))
        fence_slowly();
    errno = saved_errno;
}

SLB_PRIVATE bool slb_os_fences_well(void) {
    return !atomic_load_explicit(&fence_refused, memory_order_relaxed);
}

#endif
