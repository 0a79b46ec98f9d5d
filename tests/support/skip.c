/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "skip.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

_Noreturn void skip_all(const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    fputs("skipped: ", stdout);
    vprintf(format, arguments);
    fputc('\n', stdout);
    va_end(arguments);
    fflush(stdout);
    exit(TEST_SKIPPED);
}
