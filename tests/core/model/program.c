/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "program.h"

#include <string.h>

#include "support.h"

struct op_info {
    const char *name;
    unsigned weight;
};

static const struct op_info infos[OP_KINDS] = {
    [OP_ALLOCATE] = {"allocate", 30},
    [OP_ALLOCATE_BATCH] = {"allocate_batch", 8},
    [OP_ALLOCATE_FAST] = {"allocate_fast", 6},
    [OP_RELEASE] = {"release", 30},
    [OP_RELEASE_DEFERRED] = {"release_deferred", 5},
    [OP_RELEASE_BATCH] = {"release_batch", 6},
    [OP_DEALLOCATE_FAST] = {"deallocate_fast", 8},
    [OP_DATA] = {"data", 6},
    [OP_PIN] = {"pin", 6},
    [OP_UNPIN] = {"unpin", 8},
    [OP_SET_LABEL] = {"set_label", 4},
    [OP_GET_LABEL] = {"get_label", 4},
    [OP_FORGE] = {"forge", 4},
    [OP_RESET] = {"reset", 1},
    [OP_TRIM] = {"trim", 1},
    [OP_RECLAIM] = {"reclaim", 1},
    [OP_VERIFY] = {"verify", 2},
    [OP_STATS] = {"stats", 4},
    [OP_LIVE] = {"live", 2},
    [OP_SWITCH_HEAP] = {"switch_heap", 1},
    [OP_SWITCH_SECURE] = {"switch_secure", 1},
    [OP_RESIZE] = {"resize", 2},
    [OP_CLOSE] = {"close", 0},
};

static uint8_t pick_kind(uint64_t roll) {
    unsigned total = 0;
    unsigned entry;

    for (int kind = 0; kind < OP_KINDS; kind++)
        total += infos[kind].weight;
    entry = (unsigned)(roll % total);
    for (uint8_t kind = 0; kind < OP_KINDS; kind++) {
        if (entry < infos[kind].weight)
            return kind;
        entry -= infos[kind].weight;
    }
    return OP_ALLOCATE;
}

/* Each of them seldom, so that most programs have one or none. */
static void roll_protections(struct program *program, uint64_t random) {
    uint64_t roll = random_next(&random);

    program->bit_guard = roll % 6 == 0;
    program->guard_pages = (roll >> 8) % 16 == 0;
    program->reuse_delay = (roll >> 16) % 6 == 0 ? (int64_t)(1 + (roll >> 20) % 12) : 0;
    program->shuffle = (roll >> 24) % 6 == 0;
    program->audit = (roll >> 32) % 8 == 0 ? 32 : 0;
    program->debug = (roll >> 40) % 10 == 0;
    program->tracking = (int64_t)(roll >> 48) % 3;
    program->alignment = (roll >> 56) % 4 == 0 ? INT64_C(8) << (roll >> 58) % 10 : 0;
    program->extras = random_next(&random) & random_next(&random) & (EXTRA_END - 1);
}

void program_make(struct program *program, uint64_t seed) {
    static const uint64_t capacities[] = {1, 2, 3, 7, 64, 1000};
    static const uint64_t sizes[] = {8, 17, 64, 100, 512, 4096};
    uint64_t random = seed;
    uint64_t roll = random_next(&random);

    memset(program, 0, sizeof *program);
    program->seed = seed;
    program->capacity = capacities[roll % COUNT_OF(capacities)];
    program->spare = (roll >> 58) % 4 ? 0 : (roll >> 60) * 17;
    program->slab_size = sizes[(roll >> 8) % COUNT_OF(sizes)];
    program->per_cpu_cache = (roll >> 16) % 4 != 0;
    program->backend = (roll >> 20) % 2 ? SLABBY_CPU_CACHE_BACKEND_PORTABLE : SLABBY_CPU_CACHE_BACKEND_AUTO;
    program->shards = (int64_t)((roll >> 24) % 5);
    program->heap_fallback = (roll >> 32) % 3 == 0;
    program->heap_limit = (int64_t)((roll >> 36) % 9);
    program->secure = (roll >> 40) % 3 == 0;
    roll_protections(program, seed ^ UINT64_C(0x5AB));
    program->count = 20 + (uint32_t)((roll >> 44) % (PROGRAM_LIMIT - 20));
    for (uint32_t i = 0; i < program->count; i++) {
        uint64_t arguments = random_next(&random);

        program->ops[i].kind = pick_kind(random_next(&random));
        program->ops[i].first = (uint32_t)arguments;
        program->ops[i].second = (uint32_t)(arguments >> 32);
    }
    if (roll >> 62 == 0)
        program->ops[program->count * 3 / 4].kind = OP_CLOSE;
}

void program_print(const struct program *program, FILE *output) {
    fprintf(output,
            "seed %llu: slab_size %llu, capacity %llu, spare %llu, per_cpu_cache %lld, backend %lld,"
            " shards %lld, heap_fallback %lld, heap_fallback_limit %lld, secure %lld, bit_guard %lld,"
            " guard_pages %lld, reuse_delay %lld, shuffle %lld, audit %lld, debug %lld,"
            " latency_tracking %lld, alignment %lld, extras %llu\n",
            (unsigned long long)program->seed, (unsigned long long)program->slab_size,
            (unsigned long long)program->capacity, (unsigned long long)program->spare,
            (long long)program->per_cpu_cache, (long long)program->backend, (long long)program->shards,
            (long long)program->heap_fallback, (long long)program->heap_limit, (long long)program->secure,
            (long long)program->bit_guard, (long long)program->guard_pages, (long long)program->reuse_delay,
            (long long)program->shuffle, (long long)program->audit, (long long)program->debug,
            (long long)program->tracking, (long long)program->alignment, (unsigned long long)program->extras);
    for (uint32_t i = 0; i < program->count; i++)
        fprintf(output, "%4u %s(%u, %u)\n", i, infos[program->ops[i].kind].name, program->ops[i].first,
                program->ops[i].second);
}
