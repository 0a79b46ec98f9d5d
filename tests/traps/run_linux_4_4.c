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
#include "skip.h"
#include "support.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LAST_CALL = SYS_mlock2, ADVICE_FREE = 8, LAST_ADVICE = 17, HWPOISON = 100, SOFT_OFFLINE = 101 };

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offsetof(struct seccomp_data, field))
#define JUMP(how, value, when_true, when_false)                                                              \
    BPF_JUMP(BPF_JMP | (how) | BPF_K, (unsigned)(value), when_true, when_false)
#define ANSWER(error) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)(error))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static bool filter_new_calls(void) {
    struct sock_filter code[] = {
        LOAD(nr),
        JUMP(BPF_JGT, LAST_CALL, 0, 1),
        ANSWER(ENOSYS),
        JUMP(BPF_JEQ, SYS_membarrier, 0, 4),
        LOAD(args[0]),
        JUMP(BPF_JEQ, 0, 0, 1),
        ANSWER(0),
        ANSWER(EINVAL),
        JUMP(BPF_JEQ, SYS_madvise, 0, 7),
        LOAD(args[2]),
        JUMP(BPF_JEQ, ADVICE_FREE, 4, 0),
        JUMP(BPF_JGT, LAST_ADVICE, 0, 4),
        JUMP(BPF_JEQ, HWPOISON, 3, 0),
        JUMP(BPF_JEQ, SOFT_OFFLINE, 2, 0),
        ANSWER(EINVAL),
        ANSWER(EINVAL),
        ALLOW,
    };
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
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
    if (count < 2)
        return 2;
    if (!filter_new_calls())
        skip_all("this system offers no system call filters");
    if (!is_old()) {
        fprintf(stderr, "the filter lets something newer than Linux 4.4 through\n");
        return 3;
    }
    execvp(arguments[1], &arguments[1]);
    perror(arguments[1]);
    return 2;
}
