/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Work on the whole pool against those who are in the middle of something: close, abandon, destroy, reset, trim, and
 * switching secure on. */
#include "scenarios.h"

#include "tasks.h"
#include "world.h"

static void one_is_free(void) {
    world_make(64, 1, SLABBY_CPU_CACHE_BACKEND_PORTABLE, NULL);
}

static void one_is_out(void) {
    one_is_free();
    world_take(1);
}

/* Two are free, in a cache. */
static void some_in_a_cache(int32_t backend) {
    world_make(64, 16, backend, NULL);
    world_take(2);
    world_release(world.held[0]);
    world_release(world.held[1]);
}

static void some_in_a_cache_portable(void) {
    some_in_a_cache(SLABBY_CPU_CACHE_BACKEND_PORTABLE);
}

static void some_in_a_cache_rseq(void) {
    some_in_a_cache(SLABBY_CPU_CACHE_BACKEND_RSEQ);
}

static void one_out_of_a_cache_rseq(void) {
    world_make(64, 16, SLABBY_CPU_CACHE_BACKEND_RSEQ, NULL);
    world_take(1);
}

/* -------------------------------------------------------------------------------------------------- reset */

static void one_of_two_is_out(void) {
    world_make(64, 2, SLABBY_CPU_CACHE_BACKEND_PORTABLE, NULL);
    world_take(1);
}

/* --------------------------------------------------------------------------------------- trim, secure */

/* A slab is a page, so that trim has something to give back; it was used before. */
static void one_page(void) {
    world_make(4096, 2, SLABBY_CPU_CACHE_BACKEND_PORTABLE, NULL);
    world_take(2);
    world_release(world.held[0]);
}

static void trim_pool(void) {
    slabby_status status = slabby_trim(NULL, world.pool);

    EXPECT(status == SLABBY_OK || status == SLABBY_BUSY, "trim answered %s", world_text(status));
}

static void swap_slabs(void) {
    world_release(world.held[1]);
    allocate_and_release();
}

static void secure_and_one_out(void) {
    world_make(64, 1, SLABBY_CPU_CACHE_BACKEND_PORTABLE, WITH({SLABBY_OPTION_SECURE, 1}));
    world_take(1);
    world.flag[1] = true;
}

/* The patterns beside each slab lie on the pages that trim might take. */
static void one_page_with_patterns(void) {
    world_make(4096, 2, SLABBY_CPU_CACHE_BACKEND_PORTABLE, WITH({SLABBY_OPTION_BIT_GUARD, 1}));
    world_take(2);
    world_release(world.held[0]);
}

/* Seven are out for good; the eighth goes through a CPU cache. */
static void secret_in_a_cache_rseq(void) {
    world_make(64, 8, SLABBY_CPU_CACHE_BACKEND_RSEQ, NULL);
    world_take(8);
}

static void one_was_used(void) {
    one_is_out();
    world_release(world.held[0]);
}

const struct scenario ending_scenarios[] = {
    {.name = "close_against_allocate",
     .says = "what is allocated at the last moment is released, and then the pages go",
     .prepare = one_is_free,
     .task = {allocate_against_close, close_pool},
     .cpu = {0, 1},
     .check = pages_are_unmapped,
     .preemptions = 4},
    {.name = "close_against_cache",
     .says = "the same through a CPU cache, by two",
     .prepare = some_in_a_cache_portable,
     .task = {allocate_against_close, close_pool, allocate_against_close},
     .cpu = {0, 1, 0},
     .check = pages_are_unmapped,
     .preemptions = 1},
    {.name = "close_against_cache_rseq",
     .says = "the same with restartable sequences",
     .prepare = some_in_a_cache_rseq,
     .task = {allocate_against_close, close_pool, allocate_against_close},
     .cpu = {0, 1, 0},
     .check = pages_are_unmapped,
     .preemptions = 2},
    {.name = "abandon_against_release",
     .says = "an abandoned pool goes with its last reference, in either order",
     .prepare = one_is_out,
     .task = {release_first, abandon_pool},
     .cpu = {0, 1},
     .check = everything_went,
     .preemptions = 3},
    {.name = "abandon_against_cache_rseq",
     .says = "the same where the release goes into a CPU cache",
     .prepare = one_out_of_a_cache_rseq,
     .task = {release_first, abandon_pool},
     .cpu = {0, 1},
     .check = everything_went,
     .preemptions = 3},
    {.name = "destroy_against_release",
     .says = "destroy succeeds or answers InUse, and then nothing has changed",
     .prepare = one_is_out,
     .task = {release_first, destroy_pool},
     .cpu = {0, 1},
     .check = went_or_in_use,
     .preemptions = 4},
    {.name = "reset_against_others",
     .says = "reset beside a release and an allocate: each slab comes back once",
     .prepare = one_of_two_is_out,
     .task = {release_or_lose, reset_pool, allocate_and_lose},
     .cpu = {0, 1, 0},
     .check = reset_left_order,
     .preemptions = 2},
    {.name = "trim_against_bias",
     .says = "trim takes no page from under a slab that goes out or comes back",
     .prepare = one_page,
     .task = {allocate_and_release, trim_pool, swap_slabs},
     .cpu = {0, 1, 0},
     .check = world_check,
     .preemptions = 1},
    {.name = "secure_against_release",
     .says = "once secure is on, no slab comes with its last owner's bytes",
     .prepare = one_is_out,
     .task = {release_first, switch_and_expect_zeros},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 4},
    {.name = "zero_before_reissue",
     .says = "a secured slab is zeroed before its next owner can have it",
     .prepare = secure_and_one_out,
     .task = {release_first, expect_zeros},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 4},
    {.name = "trim_against_patterns",
     .says = "trim takes no patterns that a release is still checking",
     .prepare = one_page_with_patterns,
     .task = {release_second, trim_pool},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 4},
    {.name = "secure_against_cache_rseq",
     .says = "once secure is on, no slab out of a CPU cache holds its last owner's bytes",
     .prepare = secret_in_a_cache_rseq,
     .task = {release_first, switch_and_expect_zeros},
     .cpu = {0, 0},
     .check = world_check,
     .preemptions = 3},
    {.name = "secure_against_bias",
     .says = "who switches secure on zeroes no slab that is on its way to an owner",
     .prepare = one_was_used,
     .task = {allocate_and_release, switch_secure_on},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 4},
    {.name = "destroy_against_allocate",
     .says = "a pool is destroyed or allocated from, not both",
     .prepare = one_is_free,
     .task = {allocate_or_learn, destroy_pool},
     .cpu = {0, 1},
     .check = one_of_both,
     .preemptions = 3,
     .more = 2},
    {.name = NULL},
};
