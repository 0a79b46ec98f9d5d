/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "filter.h"

#include "skip.h"
#include "support.h"

#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

bool install_filter(struct sock_filter *code, size_t length) {
    struct sock_fprog program = {.len = (unsigned short)length, .filter = code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

int run_behind_filter(char **arguments, bool installed, bool (*is_simulated)(void)) {
    if (!installed)
        skip_all("this system offers no system call filters");
    if (!is_simulated()) {
        fprintf(stderr, "%s: the filter lets through what it should not\n", arguments[0]);
        return 3;
    }
    execvp(arguments[1], &arguments[1]);
    perror(arguments[1]);
    return 2;
}
