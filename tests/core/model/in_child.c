/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A program runs in a child, so that one that dies or hangs counts as one that fails. */
#define _GNU_SOURCE
#include "program.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int program_fails(const struct program *program, int print_reason) {
    int status = 0;
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child == 0) {
        const char *reason;

        alarm(60);
        reason = program_run(program);
        if (reason && print_reason)
            fprintf(stderr, "differs: %s\n", reason);
        _exit(reason ? 1 : 0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return 1;
    if (WIFSIGNALED(status) && print_reason)
        fprintf(stderr, "died of signal %d\n", WTERMSIG(status));
    return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
