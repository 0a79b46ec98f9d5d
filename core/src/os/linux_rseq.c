/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whether this process may use restartable sequences, found out once when the library is loaded: registering the
 * fence costs microseconds while the process has one thread and milliseconds later. */
#include "os/os.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

/* glibc 2.35 and newer register every thread and say where; a size of 0 means that it did not. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

SLB_SHARED_DATA intptr_t slb_os_rseq_offset;
#ifndef SLB_AMALGAMATION
intptr_t slb_os_rseq_offset;
#endif

static bool rseq_usable;

/* What the sequences see where there is no registration: a CPU number above every limit, and a place to store the
 * running sequence that nobody reads. initial-exec, so that it lies at the same offset in every thread. */
struct no_rseq {
    uint32_t cpu_id_start, cpu_id;
    uint64_t rseq_cs;
};
static __thread struct no_rseq no_rseq __attribute__((tls_model("initial-exec"), aligned(32))) = {
    .cpu_id_start = UINT32_MAX, .cpu_id = UINT32_MAX};

static long membarrier(int command) {
    return syscall(SYS_membarrier, command, 0, 0);
}

static bool register_fence(void) {
    long commands = membarrier(MEMBARRIER_CMD_QUERY);
    return commands > 0 && (commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ) != 0 &&
           membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ) == 0;
}

/* Early (101 is the first priority that is ours to use), and again by whoever makes the first pool even earlier. */
__attribute__((constructor(101))) static void find_rseq(void) {
    if (slb_os_rseq_offset != 0)
        return;
    slb_os_rseq_offset = (intptr_t)((char *)&no_rseq - (char *)__builtin_thread_pointer());
    if (&__rseq_size == NULL || &__rseq_offset == NULL || __rseq_size == 0 || !register_fence())
        return;
    slb_os_rseq_offset = (intptr_t)__rseq_offset;
    rseq_usable = true;
}

SLB_PRIVATE void slb_os_find_rseq(void) {
    find_rseq();
}

SLB_PRIVATE bool slb_os_has_rseq(void) {
    return rseq_usable;
}

/* The kernel refuses only what was never registered, which slb_os_has_rseq has excluded. */
SLB_PRIVATE void slb_os_fence_rseq(void) {
    long refused = membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ);
    SLB_ASSERT(refused == 0);
    (void)refused;
}
