/* SPDX-License-Identifier: GPL-3.0-or-later */
/* run_obliging PROGRAM [ARGUMENT...]: runs a program, and all that it starts, where advice about memory that is newer
 * than Linux 4.4 is answered OK and not followed. QEMU's emulation of a process does that. */
#define _GNU_SOURCE
#include "skip.h"
#include "support.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LAST_ADVICE = 17, HWPOISON = 100, SOFT_OFFLINE = 101, GUARD_INSTALL = 102 };

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offsetof(struct seccomp_data, field))
#define JUMP(how, value, when_true, when_false)                                                              \
    BPF_JUMP(BPF_JMP | (how) | BPF_K, (unsigned)(value), when_true, when_false)

static bool accept_new_advice(void) {
    struct sock_filter code[] = {
        LOAD(nr),
        JUMP(BPF_JEQ, SYS_madvise, 0, 5),
        LOAD(args[2]),
        JUMP(BPF_JGT, LAST_ADVICE, 0, 3),
        JUMP(BPF_JEQ, HWPOISON, 2, 0),
        JUMP(BPF_JEQ, SOFT_OFFLINE, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO), /* 0 */
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

/* A guard is accepted, and the page can be written all the same. */
static bool is_obliging(void) {
    long page = sysconf(_SC_PAGESIZE);
    int ends[2];
    char *memory = mmap(NULL, (size_t)page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory != MAP_FAILED && pipe(ends) == 0 && madvise(memory, (size_t)page, GUARD_INSTALL) == 0 &&
           write(ends[1], memory, 1) == 1 && close(ends[0]) == 0 && close(ends[1]) == 0;
}

int main(int count, char **arguments) {
    if (count < 2)
        return 2;
    if (!accept_new_advice())
        skip_all("this system offers no system call filters");
    if (!is_obliging()) {
        fprintf(stderr, "the filter lets a guard through\n");
        return 3;
    }
    execvp(arguments[1], &arguments[1]);
    perror(arguments[1]);
    return 2;
}
