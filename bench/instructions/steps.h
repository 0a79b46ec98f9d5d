/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Counts the instructions of a pair: a child process is stepped through it, one instruction at a time. The count hangs
 * on the machine code alone, so it shows a change where the clock of a busy machine shows none. */
#ifndef BENCH_INSTRUCTIONS_STEPS_H
#define BENCH_INSTRUCTIONS_STEPS_H

#include <slabby/slabby.h>

#include <stddef.h>
#include <stdint.h>

struct steps_setting {
    int64_t option;
    int64_t value;
};

/* What a pair is. With STEPS_POINTERS slabby_data counts as the allocation, slabby_ref_of as the release. */
enum steps_use { STEPS_BY_REFERENCE, STEPS_BY_ID, STEPS_BATCH, STEPS_PINNED, STEPS_POINTERS };

enum { STEPS_BATCH_SLABS = 64 };

/* A pool, and how it is used. settings: ends with option -1. */
struct steps_case {
    const char *name;
    size_t slab_size;
    int pairs; /* 1 to STEPS_MOST_PAIRS */
    enum steps_use use;
    struct steps_setting settings[10];
};

/* Instructions from the caller's side of the call to its return, the arguments and the check of the status included.
 * allocate and release are those of most pairs; mean is that of all of them: samples of the latency and refills of
 * the CPU cache count there. */
struct steps {
    double allocate, release, mean;
};

enum { STEPS_MOST_PAIRS = 512 };

/* Steps through the pairs of a case on a new pool; one in about 64 is timed. Answers NULL, or why nothing can be
 * counted here, in which case *out_steps is not set. */
const char *steps_count(struct steps *out_steps, const struct steps_case *wanted);

#endif
