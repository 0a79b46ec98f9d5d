/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The clocks of the measuring programs. */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline double clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static inline void clock_pause(double duration_ns) {
    struct timespec length = {.tv_sec = (time_t)(duration_ns / 1e9)};
    length.tv_nsec = (long)(duration_ns - (double)length.tv_sec * 1e9);
    nanosleep(&length, NULL);
}

/* For single operations: the time stamp counter, or the monotonic clock where there is none to read. It waits for
 * what came before to be done, and keeps what comes after from starting early. */
#if defined(__x86_64__)
#include <x86intrin.h>
static inline uint64_t clock_ticks(void) {
    unsigned processor;
    uint64_t now = __rdtscp(&processor);
    _mm_lfence();
    return now;
}
#else
static inline uint64_t clock_ticks(void) {
    return (uint64_t)clock_ns(CLOCK_MONOTONIC);
}
#endif

/* Nanoseconds a tick lasts, measured over 20 ms. */
static inline double clock_tick_ns(void) {
    double started = clock_ns(CLOCK_MONOTONIC), now;
    uint64_t ticks = clock_ticks();
    do
        now = clock_ns(CLOCK_MONOTONIC);
    while (now < started + 20e6);
    return (now - started) / (double)(clock_ticks() - ticks);
}

#endif
