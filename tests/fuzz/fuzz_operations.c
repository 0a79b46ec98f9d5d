/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A program of calls over any combination of options, run against the core and the model at once. The first eleven
 * bytes are the pool, every four that follow are a call: kind, first argument (two bytes), second. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

#include "model/program.h"

enum { SLAB_SIZE_LIMIT = 1024 };

static void read_pool(struct program *program, struct fuzz_bytes *bytes) {
    static const uint64_t capacities[] = {1, 2, 3, 7, 16, 64, 300};
    uint64_t flags;
    program->slab_size = 1 + fuzz_number(bytes, 2) % SLAB_SIZE_LIMIT;
    program->capacity = capacities[fuzz_number(bytes, 1) % COUNT_OF(capacities)];
    flags = fuzz_number(bytes, 2);
    program->per_cpu_cache = flags & 1;
    program->backend = flags >> 1 & 1 ? SLABBY_CPU_CACHE_BACKEND_PORTABLE : SLABBY_CPU_CACHE_BACKEND_AUTO;
    program->heap_fallback = flags >> 2 & 1;
    program->secure = flags >> 3 & 1;
    program->bit_guard = flags >> 4 & 1;
    program->shuffle = flags >> 5 & 1;
    program->debug = flags >> 6 & 1;
    program->tracking = (int64_t)(flags >> 7 & 3) % 3;
    program->guard_pages = (flags >> 9 & 7) == 7;
    program->extras = flags >> 12 & (EXTRA_END - 1);
    program->shards = (int64_t)fuzz_number(bytes, 1) % 9;
    program->heap_limit = (int64_t)fuzz_number(bytes, 1) % 9;
    program->reuse_delay = (int64_t)fuzz_number(bytes, 1) % 20;
    program->audit = (int64_t)fuzz_number(bytes, 1) % 65;
    program->spare = fuzz_number(bytes, 1) % 80;
    program->alignment = INT64_C(8) << fuzz_number(bytes, 1) % 10;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct program program;
    struct fuzz_bytes bytes = {data, size};
    const char *reason;

    memset(&program, 0, sizeof program);
    read_pool(&program, &bytes);
    while (bytes.left > 0 && program.count < PROGRAM_LIMIT) {
        struct op *op = &program.ops[program.count++];
        op->kind = (uint8_t)(fuzz_number(&bytes, 1) % OP_KINDS);
        op->first = (uint32_t)fuzz_number(&bytes, 2);
        op->second = (uint32_t)fuzz_number(&bytes, 1);
    }
    reason = program_run(&program);
    if (reason == NULL)
        return 0;
    program_print(&program, stderr);
    fprintf(stderr, "differs: %s\n", reason);
    abort();
}
