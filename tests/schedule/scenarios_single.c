/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pools without CPU caches, by the short path of tiers/single.h: what sequences count, against all that must know
 * whether a thread is inside, what is live, and whether a slab is free. */
#include "scenarios.h"

#include "tasks.h"
#include "world.h"

static void make(uint64_t capacity, int64_t shards) {
    world_make(64, capacity, SLABBY_CPU_CACHE_BACKEND_RSEQ,
               WITH({SLABBY_OPTION_PER_CPU_CACHE, 0}, {SLABBY_OPTION_SHARDS, shards}));
    EXPECT(world.pool->single_cpus != 0, "the pool does not take the short path");
}

/* What was used before lies in the shard of CPU 0, where the short path finds it. */
static void some_came_back(uint64_t capacity, uint32_t count) {
    make(capacity, 1);
    world_take((uint32_t)capacity);
    while (count-- > 0)
        world_release(world.held[--capacity]);
}

static void one_is_free(void) {
    some_came_back(1, 1);
}

static void one_of_two_is_free(void) {
    some_came_back(2, 1);
}

static void two_are_free(void) {
    some_came_back(2, 2);
}

static void one_is_out(void) {
    some_came_back(1, 0);
}

/* Three came back to the shard of CPU 1; that of CPU 0 is empty, and no slab is left that was never used. */
static void a_neighbour_has_three(void) {
    make(4, 2);
    world_take(4);
    for (uint32_t i = 0; i < 3; i++)
        world_release(world.held[i]);
    world.pool->shards[1].head = world.pool->shards[0].head;
    world.pool->shards[0].head = 0;
}

const struct scenario single_scenarios[] = {
    {.name = "single_against_single_rseq",
     .says = "two allocate and release without CPU caches, and one of them finds its shard empty",
     .prepare = one_of_two_is_free,
     .task = {allocate_if_any, release_first, allocate_if_any},
     .cpu = {0, 1, 0},
     .check = world_check,
     .preemptions = 2},
    {.name = "single_on_one_cpu_rseq",
     .says = "two take the last two on one CPU: both counts are there",
     .prepare = two_are_free,
     .task = {allocate_and_keep, allocate_and_keep},
     .cpu = {0, 0},
     .check = world_check,
     .preemptions = 4},
    {.name = "single_against_gate_rseq",
     .says = "nothing is denied while the gate closes and opens",
     .prepare = two_are_free,
     .task = {allocate_and_release, close_and_open, allocate_and_keep},
     .cpu = {0, 1, 1},
     .check = world_check,
     .preemptions = 2},
    {.name = "single_fetch_against_proof_rseq",
     .says = "two fetch the three slabs of a neighbour: what one of them carries is not taken for gone",
     .prepare = a_neighbour_has_three,
     .task = {allocate_and_keep, allocate_and_keep, allocate_and_keep},
     .cpu = {0, 1, 0},
     .check = world_check,
     .preemptions = 2},
    {.name = "single_allocate_against_destroy_rseq",
     .says = "a pool without CPU caches is destroyed or allocated from, not both",
     .prepare = one_is_free,
     .task = {allocate_or_learn, destroy_pool},
     .cpu = {0, 1},
     .check = one_of_both,
     .preemptions = 2,
     .more = 2},
    {.name = "single_release_against_destroy_rseq",
     .says = "destroy succeeds or answers InUse, and nothing is touched that has gone",
     .prepare = one_is_out,
     .task = {release_first, destroy_pool},
     .cpu = {0, 1},
     .check = went_or_in_use,
     .preemptions = 3,
     .more = 2},
    {.name = "single_release_against_abandon_rseq",
     .says = "an abandoned pool goes with its last reference, in either order",
     .prepare = one_is_out,
     .task = {release_first, abandon_pool},
     .cpu = {0, 1},
     .check = everything_went,
     .preemptions = 2,
     .more = 2},
    {.name = "single_against_close_rseq",
     .says = "what is allocated at the last moment is released, and then the pages go",
     .prepare = one_is_free,
     .task = {allocate_against_close, close_pool},
     .cpu = {0, 1},
     .check = pages_are_unmapped,
     .preemptions = 3},
    {.name = "single_against_reset_rseq",
     .says = "reset beside a release and an allocate: each slab comes back once",
     .prepare = one_of_two_is_free,
     .task = {release_or_lose, reset_pool, allocate_and_lose},
     .cpu = {0, 1, 0},
     .check = reset_left_order,
     .preemptions = 2},
    {.name = "single_against_verify_rseq",
     .says = "verify finds nothing wrong with a sound pool that is in use",
     .prepare = one_of_two_is_free,
     .task = {allocate_and_release, verify_pool},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 3},
    {.name = "single_against_wait_rseq",
     .says = "a slab comes back while somebody begins to wait: it is served",
     .prepare = one_is_out,
     .task = {wait_for_ever, release_first},
     .cpu = {0, 1},
     .check = no_waiters,
     .preemptions = 4},
    {.name = "single_wait_and_allocate_rseq",
     .says = "a plain allocate beside a waiter: what it got comes back to the waiter",
     .prepare = one_is_out,
     .task = {wait_for_ever, release_first, allocate_if_any},
     .cpu = {0, 1, 1},
     .check = no_waiters,
     .preemptions = 1},
    {.name = "single_check_rseq",
     .says = "counters do not go back",
     .prepare = two_are_free,
     .task = {allocate_and_release, check_twice},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 3},
    {.name = NULL},
};
