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

static long membarrier(int command) {
    return syscall(SYS_membarrier, command, 0, 0);
}

__attribute__((constructor)) static void find_rseq(void) {
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

/* The kernel refuses only what was never registered, which slb_os_has_rseq has excluded. */
SLB_PRIVATE void slb_os_fence_rseq(void) {
    long refused = membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ);
    SLB_ASSERT(refused == 0);
    (void)refused;
}
