/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "mistakes.h"

#include "random.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct protection_row protections[PROTECTIONS] = {
    [PLAIN] = {"none", 0, 0},
    [BIT_GUARD] = {"bit_guard", SLABBY_OPTION_BIT_GUARD, 1},
    [GUARD_PAGES] = {"guard_pages", SLABBY_OPTION_GUARD_PAGES, 1},
    [SAMPLE_ALL] = {"guard_sample_rate = 1", SLABBY_OPTION_GUARD_SAMPLE_RATE, 1},
    [SAMPLE_SOME] = {"guard_sample_rate = 10", SLABBY_OPTION_GUARD_SAMPLE_RATE, SAMPLE_RATE},
    [REUSE_DELAY] = {"reuse_delay = 8", SLABBY_OPTION_REUSE_DELAY, DELAY},
    [SHUFFLE] = {"shuffle", SLABBY_OPTION_SHUFFLE, 1},
};

/* ------------------------------------------------------------------------------------------------ the ground */

static void insist(slabby_status status) {
    if (status != SLABBY_OK) {
        (void)fprintf(stderr, "a sound call was refused: %s\n", slabby_status_name(status));
        exit(3);
    }
}

slabby_allocator *protected_pool(enum protection protection) {
    slabby_allocator *pool = NULL;
    slabby_options *options = NULL;

    insist(slabby_options_create(&options));
    if (protections[protection].option)
        insist(
            slabby_options_set(options, protections[protection].option, protections[protection].value, NULL));
    insist(slabby_create(&pool, SLAB_SIZE, CAPACITY, options, NULL));
    slabby_options_destroy(options);
    return pool;
}

static slabby_ref take(slabby_allocator *pool, volatile uint8_t **out_data) {
    slabby_ref ref = 0;
    void *data = NULL;

    insist(slabby_allocate(&ref, &data, pool));
    *out_data = data;
    return ref;
}

/* The same mistakes in every run. */
static uint64_t choice(void) {
    static uint64_t state = 1;

    return random_next(&state);
}

static uint64_t corruptions(slabby_allocator *pool) {
    slabby_stats stats = {.struct_size = sizeof stats};

    insist(slabby_get_stats(&stats, pool));
    return stats.corruptions;
}

/* ---------------------------------------------------------------------------------------------------- faults */

static sigjmp_buf before_fault;

static void on_fault(int number) {
    siglongjmp(before_fault, number);
}

/* Reads or writes one byte; answers whether that faulted. The write puts back what a noticed one would have lost. */
static int touch(volatile uint8_t *entry, int writes, uint8_t value) {
    struct sigaction ours = {.sa_handler = on_fault}, old;
    volatile int faulted = 1;

    (void)sigaction(SIGSEGV, &ours, &old);
    if (sigsetjmp(before_fault, 1) == 0) {
        if (writes)
            *entry = value;
        else
            (void)*entry;
        faulted = 0;
    }
    (void)sigaction(SIGSEGV, &old, NULL);
    return faulted;
}

/* -------------------------------------------------------------------------------------- writes beside the slab */

/* What a release says of a byte beside the slab that was written, if the write did not fault already. */
static int beside(slabby_allocator *pool, slabby_ref ref, volatile uint8_t *entry, int writes) {
    int faulted = touch(entry, writes, (uint8_t)choice());
    slabby_status status = slabby_release(pool, ref);

    if (status != SLABBY_MEMORY_CORRUPTION)
        insist(status);
    insist(slabby_reclaim(NULL, pool));
    return faulted || status == SLABBY_MEMORY_CORRUPTION;
}

static int write_behind(slabby_allocator *pool) {
    volatile uint8_t *data;
    slabby_ref ref = take(pool, &data);

    return beside(pool, ref, data + SLAB_SIZE, 1);
}

/* Not before the first slab of all, where a guard always is: who gets it takes another. */
static int write_before(slabby_allocator *pool) {
    volatile uint8_t *data;
    slabby_ref ref = take(pool, &data), first = 0;
    uint32_t id = 0;
    int noticed;

    insist(slabby_id(&id, pool, ref));
    if (id == 0) {
        first = ref;
        ref = take(pool, &data);
    }
    noticed = beside(pool, ref, data - 1, 1);
    if (first)
        insist(slabby_release(pool, first));
    return noticed;
}

static int read_behind(slabby_allocator *pool) {
    volatile uint8_t *data;
    slabby_ref ref = take(pool, &data);

    return beside(pool, ref, data + SLAB_SIZE, 0);
}

/* The first byte of another slab that is out: a write that jumps that far meets no guard. */
static int write_to_neighbour(slabby_allocator *pool) {
    volatile uint8_t *data, *other;
    slabby_ref ref = take(pool, &data), owner = take(pool, &other);
    int faulted = touch(data + (other - data), 1, (uint8_t)choice());
    slabby_status first = slabby_release(pool, ref), second = slabby_release(pool, owner);

    return faulted || first != SLABBY_OK || second != SLABBY_OK;
}

/* ------------------------------------------------------------------------------------------ after the release */

/* As many allocations and releases as wait behind one another; then what waited has been looked at. */
static void turn_over(slabby_allocator *pool, uint64_t times) {
    for (uint64_t i = 0; i < times; i++) {
        volatile uint8_t *data;

        insist(slabby_release(pool, take(pool, &data)));
    }
}

/* Others are taken behind the slab and released behind it, so that nobody gets it again meanwhile. */
static int touch_stale(slabby_allocator *pool, int writes, uint64_t later) {
    volatile uint8_t *data, *ignored;
    slabby_ref ref = take(pool, &data), others[2 * DELAY];
    uint64_t before = corruptions(pool);
    int faulted;

    for (uint64_t i = 0; i < later; i++)
        others[i] = take(pool, &ignored);
    insist(slabby_release(pool, ref));
    for (uint64_t i = 0; i < later; i++)
        insist(slabby_release(pool, others[i]));
    faulted = touch(data, writes, (uint8_t)(choice() | 1));
    turn_over(pool, writes ? 2 * DELAY : 0);
    insist(slabby_reclaim(NULL, pool));
    return faulted || corruptions(pool) != before;
}

static int write_at_once(slabby_allocator *pool) {
    return touch_stale(pool, 1, 0);
}

static int read_at_once(slabby_allocator *pool) {
    return touch_stale(pool, 0, 0);
}

/* Up to twice as many other slabs are released meanwhile as the delay holds. */
static int write_later(slabby_allocator *pool) {
    return touch_stale(pool, 1, choice() % (2 * DELAY));
}

/* ------------------------------------------------------------------------------------------ references and ids */

static int release_twice(slabby_allocator *pool) {
    volatile uint8_t *data;
    slabby_ref ref = take(pool, &data);

    insist(slabby_release(pool, ref));
    return slabby_release(pool, ref) == SLABBY_DOUBLE_DEALLOCATION;
}

static int stale_reference(slabby_allocator *pool) {
    volatile uint8_t *data;
    slabby_ref ref = take(pool, &data), owner;
    void *entry = NULL;
    int noticed;

    insist(slabby_release(pool, ref));
    owner = take(pool, &data);
    noticed = slabby_data(&entry, pool, ref) == SLABBY_USE_AFTER_FREE &&
              slabby_release(pool, ref) == SLABBY_DOUBLE_DEALLOCATION;
    insist(slabby_release(pool, owner));
    return noticed;
}

static int id_twice(slabby_allocator *pool) {
    void *data = NULL;
    uint32_t id = 0;

    insist(slabby_allocate_fast(&data, &id, pool));
    insist(slabby_deallocate_fast(pool, id));
    return slabby_deallocate_fast(pool, id) == SLABBY_DOUBLE_DEALLOCATION;
}

static double chance_sum;
static uint64_t chance_count;

double chance_met(void) {
    double mean = chance_count ? chance_sum / (double)chance_count : -1;

    chance_sum = 0;
    chance_count = 0;
    return mean;
}

/* Somebody takes and gives back a few by id. */
static void turn_over_by_id(slabby_allocator *pool, uint64_t times) {
    for (uint64_t i = 0; i < times; i++) {
        void *data = NULL;
        uint32_t id = 0;

        insist(slabby_allocate_fast(&data, &id, pool));
        insist(slabby_deallocate_fast(pool, id));
    }
}

/* With shuffle the same slab comes next only if the ids that were shuffled before are used up, which are all that the
 * CPU has but the quarter that was held back, and if it is then the first of all. */
static double other_slab_comes_next(const slabby_stats *stats) {
    double all = (double)stats->cached_slabs;

    return all == 0 ? 0 : 1 - 1 / (all * (all - (double)(stats->cached_slabs / 4)));
}

/* Somebody else gets a slab by id in between: noticed unless it is the same one. */
static int stale_id(slabby_allocator *pool) {
    slabby_stats stats = {.struct_size = sizeof stats};
    void *data = NULL;
    uint32_t id = 0, other = 0;
    slabby_status status;

    turn_over_by_id(pool, choice() % 64);
    insist(slabby_allocate_fast(&data, &id, pool));
    insist(slabby_deallocate_fast(pool, id));
    insist(slabby_get_stats(&stats, pool));
    chance_sum += other_slab_comes_next(&stats);
    chance_count++;
    insist(slabby_allocate_fast(&data, &other, pool));
    status = slabby_deallocate_fast(pool, id);
    if (status == SLABBY_OK)
        return 0;
    insist(slabby_deallocate_fast(pool, other));
    return 1;
}

/* ---------------------------------------------------------------------------------------------- the formulas */

/* A random byte is the pattern's own once in 256. Of the rounds through the guard slots one half ends at a guard, the
 * other begins at one; what lies on the other side is patterned. */
#define SEEN (255 / 256.0)
#define MIXED ((1 + SEEN) / 2)
#define SOME (1.0 / SAMPLE_RATE)
/* -2: chance_met tells. */
#define BY_STATE (-2)

const struct mistake mistakes[] = {
    {"a random byte is written just behind the slab",
     write_behind,
     {[BIT_GUARD] = SEEN, [GUARD_PAGES] = 1, [SAMPLE_ALL] = MIXED, [SAMPLE_SOME] = MIXED * SOME}},
    {"a random byte is written just before the slab",
     write_before,
     {[BIT_GUARD] = SEEN, [SAMPLE_ALL] = MIXED, [SAMPLE_SOME] = MIXED * SOME}},
    {"the byte just behind the slab is read",
     read_behind,
     {[GUARD_PAGES] = 1, [SAMPLE_ALL] = 0.5, [SAMPLE_SOME] = SOME / 2}},
    {"another slab's byte is written", write_to_neighbour, {0}},
    {"a released slab is written to at once",
     write_at_once,
     {[SAMPLE_ALL] = 1, [SAMPLE_SOME] = SOME, [REUSE_DELAY] = 1}},
    {"a released slab is read at once", read_at_once, {[SAMPLE_ALL] = 1, [SAMPLE_SOME] = SOME}},
    {"a released slab is written to after 0 to 15 further releases",
     write_later,
     {[SAMPLE_ALL] = 1, [SAMPLE_SOME] = SOME, [REUSE_DELAY] = 0.5}},
    {"a reference is released twice", release_twice, {1, 1, 1, 1, 1, 1, 1}},
    {"a stale reference is used, its slab has a new owner", stale_reference, {1, 1, 1, 1, 1, 1, 1}},
    {"a bare id is deallocated twice", id_twice, {1, 1, 1, 1, 1, 1, 1}},
    {"a stale bare id is deallocated, another slab went out by id meanwhile",
     stale_id,
     {[REUSE_DELAY] = 1, [SHUFFLE] = BY_STATE}},
};

const size_t mistake_count = sizeof mistakes / sizeof *mistakes;
