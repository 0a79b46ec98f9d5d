/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Written where nothing belongs to the writer. What ends in a fault prints no answer. */
#include "misuse.h"

#define LARGE 4096

static void damage(slabby_allocator *pool, int64_t offset) {
    unsigned char *data = NULL;
    slabby_ref ref = take(pool, &data);

    ((volatile unsigned char *)data)[offset] ^= 1;
    answered(pool, ref, slabby_release(pool, ref));
}

static void overflow(void) {
    damage(pool_with(SLABBY_OPTION_BIT_GUARD, 1), SLAB_SIZE);
}

static void underflow(void) {
    damage(pool_with(SLABBY_OPTION_BIT_GUARD, 1), -1);
}

static void write_after_release(void) {
    slabby_allocator *pool = pool_with(SLABBY_OPTION_REUSE_DELAY, 2);
    unsigned char *data = NULL;
    slabby_ref ref = take(pool, &data);
    slabby_stats stats = {.struct_size = sizeof stats};

    insist(slabby_release(pool, ref));
    *(volatile unsigned char *)data = 1;
    for (int i = 0; i < 2 * CAPACITY; i++)
        insist(slabby_release(pool, take(pool, NULL)));
    insist(slabby_get_stats(&stats, pool));
    counted("corruptions", stats.corruptions);
    answered(pool, ref, SLABBY_MEMORY_CORRUPTION);
}

/* ------------------------------------------------------------------------------------------------- faults */

static void fault(int32_t option, uint64_t slab_size, int64_t offset) {
    slabby_allocator *pool = sized_pool(slab_size, CAPACITY, option, 1);
    unsigned char *data = NULL;

    (void)take(pool, &data);
    insist(slabby_install_fault_handler(NULL));
    ((volatile unsigned char *)data)[offset] = 1;
}

static void overflow_fault(void) {
    fault(SLABBY_OPTION_GUARD_PAGES, SLAB_SIZE, SLAB_SIZE);
}

static void underflow_fault(void) {
    fault(SLABBY_OPTION_GUARD_SAMPLE_RATE, LARGE, -1);
}

static void write_after_release_fault(void) {
    slabby_allocator *pool = sized_pool(LARGE, CAPACITY, SLABBY_OPTION_GUARD_SAMPLE_RATE, 1);
    unsigned char *data = NULL;
    slabby_ref ref = take(pool, &data);

    insist(slabby_release(pool, ref));
    insist(slabby_install_fault_handler(NULL));
    ((volatile unsigned char *)data)[5] = 1;
}

const struct mistake write_mistakes[] = {
    {"overflow", overflow},
    {"underflow", underflow},
    {"write_after_release", write_after_release},
    {"overflow_fault", overflow_fault},
    {"underflow_fault", underflow_fault},
    {"write_after_release_fault", write_after_release_fault},
    {0},
};
