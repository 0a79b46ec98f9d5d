/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A random program: the pool it wants and the calls it makes. Any subset of its calls is a
 * program again, because every argument is taken modulo what is there, so that a failing one can
 * be shrunk. */
#ifndef SLABBY_MODEL_PROGRAM_H
#define SLABBY_MODEL_PROGRAM_H

#include <stdint.h>
#include <stdio.h>

enum op_kind {
    OP_ALLOCATE,
    OP_ALLOCATE_BATCH,
    OP_ALLOCATE_FAST,
    OP_RELEASE,
    OP_RELEASE_DEFERRED,
    OP_RELEASE_BATCH,
    OP_DEALLOCATE_FAST,
    OP_DATA,
    OP_PIN,
    OP_UNPIN,
    OP_SET_LABEL,
    OP_GET_LABEL,
    OP_FORGE,
    OP_RESET,
    OP_TRIM,
    OP_RECLAIM,
    OP_VERIFY,
    OP_STATS,
    OP_LIVE,
    OP_SWITCH_HEAP,
    OP_SWITCH_SECURE,
    OP_RESIZE,
    OP_CLOSE,
    OP_KINDS
};

struct op {
    uint8_t kind;
    uint32_t first;
    uint32_t second;
};

enum { PROGRAM_LIMIT = 600 };

/* Groups of options that change no answer: sampled guards; degradation; what the kernel does with the memory; and what
 * watches (finalizers, a latency limit and a breaker that are never reached, the health thread). */
enum program_extras {
    EXTRA_SAMPLES = 1,
    EXTRA_DEGRADE = 2,
    EXTRA_MEMORY = 4,
    EXTRA_WATCH = 8,
    EXTRA_END = 16
};

struct program {
    uint64_t seed;
    uint64_t slab_size;
    uint64_t capacity;
    uint64_t spare; /* slabs that the pool reserves beyond its capacity */
    int64_t per_cpu_cache;
    int64_t backend;
    int64_t shards;
    int64_t heap_fallback;
    int64_t heap_limit;
    int64_t secure;
    int64_t bit_guard;
    int64_t guard_pages;
    int64_t reuse_delay;
    int64_t shuffle;
    int64_t audit;
    int64_t debug;
    int64_t tracking;
    int64_t alignment; /* 0: as it is by default */
    uint64_t extras;   /* enum program_extras */
    uint32_t count;
    struct op ops[PROGRAM_LIMIT];
};

void program_make(struct program *program, uint64_t seed);
void program_print(const struct program *program, FILE *output);

/* Runs the program against the core and the model. Null on success, or what differed (static
 * text). */
const char *program_run(const struct program *program);

/* program_run in a child, so that a crash is a failure like any other. 0 on success. */
int program_fails(const struct program *program, int print_reason);

/* Removes calls for as long as the program still fails. */
void program_shrink(struct program *program);

#endif
