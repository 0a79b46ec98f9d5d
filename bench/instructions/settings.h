/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The pools whose pairs are counted, for the bench and for the test that bounds the counts. */
#ifndef BENCH_INSTRUCTIONS_SETTINGS_H
#define BENCH_INSTRUCTIONS_SETTINGS_H

#include "steps.h"

#define STEPS_HOUR_NS 3600000000000

/* The reference's quick start. A stepped allocation takes milliseconds, so the budget is an hour: it is looked at all
 * the same. */
#define STEPS_QUICK_START                                                                                    \
    {SLABBY_OPTION_BIT_GUARD, 1}, {SLABBY_OPTION_CIRCUIT_BREAKER_THRESHOLD, 50},                             \
        {SLABBY_OPTION_HEALTH_CHECKS, 1}, {SLABBY_OPTION_HEALTH_INTERVAL, STEPS_HOUR_NS},                    \
        {SLABBY_OPTION_MAX_ALLOC_LATENCY, STEPS_HOUR_NS}, {SLABBY_OPTION_HEAP_FALLBACK, 1}, {                \
        -1, 0                                                                                                \
    }

static const struct steps_case steps_cases[] = {
    {"bare, 4 KiB", 4096, 256, STEPS_BY_REFERENCE, {{-1, 0}}},
    {"quick start without zeroing, 4 KiB", 4096, 128, STEPS_BY_REFERENCE, {STEPS_QUICK_START}},
    {"quick start, 64 B", 64, 128, STEPS_BY_REFERENCE, {{SLABBY_OPTION_SECURE, 1}, STEPS_QUICK_START}},
    {"secure, 64 B", 64, 128, STEPS_BY_REFERENCE, {{SLABBY_OPTION_SECURE, 1}, {-1, 0}}},
    {"bit_guard, 4 KiB", 4096, 128, STEPS_BY_REFERENCE, {{SLABBY_OPTION_BIT_GUARD, 1}, {-1, 0}}},
    {"by id, 4 KiB", 4096, 128, STEPS_BY_ID, {{-1, 0}}},
    {"a batch of 64, 4 KiB", 4096, 16, STEPS_BATCH, {{-1, 0}}},
    {"pinned once, 4 KiB", 4096, 128, STEPS_PINNED, {{-1, 0}}},
    {"per_cpu_cache off, 4 KiB", 4096, 256, STEPS_BY_REFERENCE, {{SLABBY_OPTION_PER_CPU_CACHE, 0}, {-1, 0}}},
};

#endif
