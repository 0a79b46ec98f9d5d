/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "timing.h"

#include <time.h>

uint64_t now_ns(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

void sleep_ns(uint64_t ns) {
    struct timespec time = {.tv_sec = (time_t)(ns / SECOND), .tv_nsec = (long)(ns % SECOND)};

    nanosleep(&time, NULL);
}
