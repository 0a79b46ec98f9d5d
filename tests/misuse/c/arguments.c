/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Numbers out of range, sizes that cannot be, places that are missing. */
#include "misuse.h"

static slabby_error fresh(void) {
    slabby_error error = {.struct_size = sizeof error};

    return error;
}

static void set_option(int32_t option, int64_t value) {
    slabby_options *options = NULL;
    slabby_error error = fresh();

    insist(slabby_options_create(&options));
    refused(slabby_options_set(options, option, value, &error), &error);
    slabby_options_destroy(options);
}

static void option_out_of_range(void) {
    set_option(SLABBY_OPTION_SHARDS, 4097);
    set_option(SLABBY_OPTION_ALIGNMENT, 48);
    set_option(SLABBY_OPTION_DEGRADE_AT, 101);
}

static void option_conflict(void) {
    slabby_allocator *pool = NULL;
    slabby_options *options = NULL;
    slabby_error error = fresh();

    insist(slabby_options_create(&options));
    insist(slabby_options_set(options, SLABBY_OPTION_GUARD_PAGES, 1, NULL));
    insist(slabby_options_set(options, SLABBY_OPTION_HUGE_PAGES, 1, NULL));
    refused(slabby_create(&pool, SLAB_SIZE, CAPACITY, options, &error), &error);
    slabby_options_destroy(options);
}

static void cold_option(void) {
    slabby_error error = fresh();

    refused(slabby_set_option(pool_with(0, 0), SLABBY_OPTION_SHARDS, 2, &error), &error);
}

static void make(uint64_t slab_size, uint64_t capacity) {
    slabby_allocator *pool = NULL;
    slabby_error error = fresh();

    refused(slabby_create(&pool, slab_size, capacity, NULL, &error), &error);
}

static void absurd_sizes(void) {
    make(0, CAPACITY);
    make((1ull << 30) + 1, CAPACITY);
    make(1ull << 62, CAPACITY);
    make(SLAB_SIZE, 0);
    make(SLAB_SIZE, 1ull << 31);
    make(SLAB_SIZE, 1ull << 62);
}

static void absurd_batches(void) {
    slabby_allocator *pool = pool_with(0, 0);
    slabby_ref refs[CAPACITY + 1];

    answered(pool, 0, slabby_allocate_batch(refs, NULL, pool, 0));
    answered(pool, 0, slabby_allocate_batch(refs, NULL, pool, CAPACITY + 1));
}

static void null_arguments(void) {
    slabby_allocator *pool = pool_with(0, 0);
    slabby_ref ref = take(pool, NULL);

    answered(NULL, 0, slabby_allocate(&ref, NULL, NULL));
    answered(NULL, 0, slabby_release(NULL, ref));
    answered(NULL, 0, slabby_allocate(NULL, NULL, pool));
    answered(NULL, 0, slabby_data(NULL, pool, ref));
    answered(NULL, 0, slabby_get_stats(NULL, pool));
    insist(slabby_release(pool, ref));
}

const struct mistake argument_mistakes[] = {
    {"option_out_of_range", option_out_of_range},
    {"option_conflict", option_conflict},
    {"cold_option", cold_option},
    {"absurd_sizes", absurd_sizes},
    {"absurd_batches", absurd_batches},
    {"null_arguments", null_arguments},
    {0},
};
