/* SPDX-License-Identifier: GPL-3.0-or-later */
/* run_linux_4_4 PROGRAM [ARGUMENT...]: runs a program, and all that it starts, as Linux 4.4 would as far as the core
 * can see. What is newer:
 *
 *   every system call after mlock2, which was the last to come with 4.4: ENOSYS. Among them copy_file_range (4.5),
 *       pkey_mprotect (4.9), statx (4.11), rseq (4.18), clone3 (5.3), futex_waitv (5.16);
 *   membarrier: the query names no command. Expedited fences came with 4.14, the fence of sequences with 5.10;
 *   advice about memory: MADV_FREE (4.5), MADV_WIPEONFORK (4.14), MADV_COLD and MADV_PAGEOUT (5.4),
 *       MADV_POPULATE_WRITE (5.14), MADV_DONTNEED_LOCKED (5.18), MADV_COLLAPSE (6.1) and MADV_GUARD_INSTALL (6.13):
 *       EINVAL.
 */
#define _GNU_SOURCE
#include "filter.h"

#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LAST_CALL = SYS_mlock2, ADVICE_FREE = 8, LAST_ADVICE = 17, HWPOISON = 100, SOFT_OFFLINE = 101 };

static bool filter_new_calls(void) {
    struct sock_filter code[] = {
        FILTER_LOAD(nr),
        FILTER_JUMP(BPF_JGT, LAST_CALL, 0, 1),
        FILTER_ANSWER(ENOSYS),
        FILTER_JUMP(BPF_JEQ, SYS_membarrier, 0, 4),
        FILTER_LOAD(args[0]),
        FILTER_JUMP(BPF_JEQ, 0, 0, 1),
        FILTER_ANSWER(0),
        FILTER_ANSWER(EINVAL),
        FILTER_JUMP(BPF_JEQ, SYS_madvise, 0, 7),
        FILTER_LOAD(args[2]),
        FILTER_JUMP(BPF_JEQ, ADVICE_FREE, 4, 0),
        FILTER_JUMP(BPF_JGT, LAST_ADVICE, 0, 4),
        FILTER_JUMP(BPF_JEQ, HWPOISON, 3, 0),
        FILTER_JUMP(BPF_JEQ, SOFT_OFFLINE, 2, 0),
        FILTER_ANSWER(EINVAL),
        FILTER_ANSWER(EINVAL),
        FILTER_ALLOW,
    };
    return install_filter(code, sizeof code / sizeof code[0]);
}

/* Each kind of refusal once, so that the simulation is one. */
static bool is_old(void) {
    long page = sysconf(_SC_PAGESIZE);
    static char memory[1 << 17];
    void *aligned = (void *)(((uintptr_t)memory + (uintptr_t)page - 1) & ~((uintptr_t)page - 1));
    return syscall(SYS_mlock2 + 1, 0, 0, 0, 0, 0, 0) == -1 && errno == ENOSYS &&
           syscall(SYS_membarrier, 0, 0, 0) == 0 && syscall(SYS_madvise, aligned, page, 23) == -1 &&
           errno == EINVAL && syscall(SYS_madvise, aligned, page, 102) == -1 && errno == EINVAL &&
           syscall(SYS_madvise, aligned, page, 4) == 0;
}

int main(int count, char **arguments) {
    return count < 2 ? 2 : run_behind_filter(arguments, filter_new_calls(), is_old);
}
