/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "death.h"

#include "support.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void remove_handlers(int stderr_end) {
    static const int deadly[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, SIGTRAP};
    const struct rlimit no_core = {0, 0};

    for (size_t i = 0; i < COUNT_OF(deadly); i++)
        (void)signal(deadly[i], SIG_DFL);
    (void)setrlimit(RLIMIT_CORE, &no_core);
    (void)dup2(stderr_end, STDERR_FILENO);
}

struct death run_in_child(void (*body)(void *context), void *context) {
    struct death death = {.status = -1};
    size_t length = 0;
    ssize_t got;
    int ends[2];
    int ended = 0;
    pid_t child;

    (void)fflush(NULL); /* what is buffered must not be written twice */
    assert_int_equal(pipe(ends), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        remove_handlers(ends[1]);
        body(context);
        _exit(0);
    }
    close(ends[1]);
    while ((got = read(ends[0], death.said + length, sizeof death.said - 1 - length)) > 0)
        length += (size_t)got;
    close(ends[0]);
    death.said[length] = '\0';
    assert_int_equal(waitpid(child, &ended, 0), child);
    if (WIFSIGNALED(ended))
        death.signal = WTERMSIG(ended);
    else
        death.status = WEXITSTATUS(ended);
    return death;
}
