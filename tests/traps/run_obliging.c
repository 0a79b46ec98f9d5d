/* SPDX-License-Identifier: GPL-3.0-or-later */
/* run_obliging PROGRAM [ARGUMENT...]: runs a program, and all that it starts, where advice about memory that is newer
 * than Linux 4.4 is answered OK and not followed. QEMU's emulation of a process does that. */
#define _GNU_SOURCE
#include "filter.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LAST_ADVICE = 17, HWPOISON = 100, SOFT_OFFLINE = 101, GUARD_INSTALL = 102 };

static bool accept_new_advice(void) {
    struct sock_filter code[] = {
        FILTER_LOAD(nr),
        FILTER_JUMP(BPF_JEQ, SYS_madvise, 0, 5),
        FILTER_LOAD(args[2]),
        FILTER_JUMP(BPF_JGT, LAST_ADVICE, 0, 3),
        FILTER_JUMP(BPF_JEQ, HWPOISON, 2, 0),
        FILTER_JUMP(BPF_JEQ, SOFT_OFFLINE, 1, 0),
        FILTER_ANSWER(0),
        FILTER_ALLOW,
    };
    return install_filter(code, sizeof code / sizeof code[0]);
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
    return count < 2 ? 2 : run_behind_filter(arguments, accept_new_advice(), is_obliging);
}
