/* SPDX-License-Identifier: GPL-3.0-or-later */
/* false_alarms [OPERATIONS]: sound operations with every protection on and no stacks; any finding is a false alarm, and
 * the exit status then 1. Two threads, references and ids, single and in batches, every byte written. */
#define _GNU_SOURCE
#include "random.h"
#include "slabby/slabby.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLAB_SIZE 64
#define CAPACITY 1024
#define HELD 200
#define THREADS 2

static slabby_allocator *pool;
static uint64_t share;
static _Atomic uint64_t alarms;

static void insist(slabby_status status, const char *what) {
    if (status != SLABBY_OK) {
        atomic_fetch_add(&alarms, 1);
        (void)fprintf(stderr, "FAILED: %s: %s\n", what, slabby_status_name(status));
    }
}

/* A slab that is held: by reference, or by id where ref is 0. */
struct held {
    slabby_ref ref;
    uint32_t id;
    void *data;
};

static void take(struct held *held, int by_id) {
    held->ref = 0;
    if (by_id)
        insist(slabby_allocate_fast(&held->data, &held->id, pool), "allocate_fast");
    else
        insist(slabby_allocate(&held->ref, &held->data, pool), "allocate");
    if (held->data)
        memset(held->data, 0x5A, SLAB_SIZE);
}

static void give(struct held *held) {
    if (held->ref)
        insist(slabby_release(pool, held->ref), "release");
    else
        insist(slabby_deallocate_fast(pool, held->id), "deallocate_fast");
    held->data = NULL;
}

static void *work(void *context) {
    static _Thread_local struct held held[HELD];
    uint64_t seed = (uintptr_t)context;

    for (uint64_t done = 0; done < share && atomic_load(&alarms) == 0; done++) {
        uint64_t number = random_next(&seed);
        struct held *entry = &held[number % HELD];

        if (entry->data)
            give(entry);
        else
            take(entry, number >> 60 == 0);
    }
    for (size_t i = 0; i < HELD; i++)
        if (held[i].data)
            give(&held[i]);
    return NULL;
}

static void make_pool(void) {
    static const int64_t settings[][2] = {
        {SLABBY_OPTION_SECURE, 1},
        {SLABBY_OPTION_BIT_GUARD, 1},
        {SLABBY_OPTION_GUARD_PAGES, 1},
        {SLABBY_OPTION_GUARD_SAMPLE_RATE, 1000},
        {SLABBY_OPTION_REUSE_DELAY, 64},
        {SLABBY_OPTION_SHUFFLE, 1},
        {SLABBY_OPTION_NO_DUMP, 1},
        {SLABBY_OPTION_LOCK_MEMORY, SLABBY_LOCK_MEMORY_BEST_EFFORT},
        {SLABBY_OPTION_HEAP_FALLBACK, 1},
        {SLABBY_OPTION_AUDIT, 4096},
        {SLABBY_OPTION_CIRCUIT_BREAKER_THRESHOLD, 1},
    };
    slabby_options *options = NULL;
    slabby_error error = {.struct_size = sizeof error};

    insist(slabby_options_create(&options), "options");
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        insist(slabby_options_set(options, (int32_t)settings[i][0], settings[i][1], NULL), "option");
    insist(slabby_create(&pool, SLAB_SIZE, CAPACITY, options, &error), error.text);
    slabby_options_destroy(options);
}

static void check(uint64_t operations) {
    slabby_stats stats = {.struct_size = sizeof stats};
    uint64_t findings = 0;

    insist(slabby_verify(NULL, &findings, pool, 0), "verify");
    insist(slabby_get_stats(&stats, pool), "stats");
    if (findings || stats.corruptions || stats.quarantined_slabs || stats.guard_page_violations ||
        stats.allocation_errors || stats.used_slabs || stats.total_allocations != stats.total_deallocations) {
        atomic_fetch_add(&alarms, 1);
        (void)fprintf(stderr, "FAILED: %" PRIu64 " findings, %" PRIu64 " corruptions, %" PRIu64 " refusals\n",
                      findings, stats.corruptions, stats.allocation_errors);
    }
    printf("%" PRIu64 " operations, %" PRIu64 " allocations, %" PRIu64 " on guard slots, %" PRIu64
           " alarms\n",
           operations, stats.total_allocations, stats.guard_hits, atomic_load(&alarms));
    insist(slabby_destroy(pool), "destroy");
}

int main(int count, char **arguments) {
    uint64_t operations = count > 1 ? strtoull(arguments[1], NULL, 10) : 1000000;
    pthread_t threads[THREADS];

    make_pool();
    share = operations / THREADS;
    for (uintptr_t i = 0; i < THREADS && pool; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)(i + 1)))
            return 3;
    for (size_t i = 0; i < THREADS && pool; i++)
        (void)pthread_join(threads[i], NULL);
    if (pool)
        check(share * THREADS);
    return atomic_load(&alarms) ? 1 : 0;
}
