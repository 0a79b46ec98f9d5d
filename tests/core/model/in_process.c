/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Windows has no fork: a program that dies ends the test. */
#include "program.h"

#include <stdio.h>

int program_fails(const struct program *program, int print_reason) {
    const char *reason = program_run(program);

    if (reason && print_reason)
        fprintf(stderr, "differs: %s\n", reason);
    return reason != NULL;
}
