/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The first calls in a child of fork: one of them rebuilds the lists, and no other one changes a word meanwhile. */
#include "scenarios.h"

#include "tasks.h"
#include "world.h"

/* Two of four that were used are inherited, one of them with a pin that is its last. */
static void forked(int32_t backend, const struct world_setting *settings) {
    world_make(64, 16, backend, settings);
    world_take(4);
    world_release(world.held[2]);
    world_release(world.held[3]);
    EXPECT(slabby_pin(world.pool, world.held[1]) == SLABBY_OK, "prepare cannot pin");
    EXPECT(slabby_release_deferred(world.pool, world.held[1]) == SLABBY_OK, "prepare cannot release");
    schedule_fork();
}

static void forked_portable(void) {
    forked(SLABBY_CPU_CACHE_BACKEND_PORTABLE, NULL);
}

static void forked_rseq(void) {
    forked(SLABBY_CPU_CACHE_BACKEND_RSEQ, NULL);
}

static void forked_without_caches(void) {
    forked(SLABBY_CPU_CACHE_BACKEND_RSEQ, WITH({SLABBY_OPTION_PER_CPU_CACHE, 0}));
}

static void forked_delayed(void) {
    forked(SLABBY_CPU_CACHE_BACKEND_RSEQ, WITH({SLABBY_OPTION_REUSE_DELAY, 2}));
}

static uint32_t by_id;

static void forked_by_id(void) {
    void *data;

    world_make(64, 16, SLABBY_CPU_CACHE_BACKEND_RSEQ, NULL);
    EXPECT(slabby_allocate_fast(&data, &by_id, world.pool) == SLABBY_OK, "prepare gets no slab");
    schedule_fork();
}

static void release_by_id(void) {
    EXPECT(slabby_deallocate_fast(world.pool, by_id) == SLABBY_OK, "a slab by id did not go back");
}

static void unpin_second(void) {
    world.out[1] = 0;
    EXPECT(slabby_unpin(world.pool, world.held[1]) == SLABBY_OK, "the last pin did not go");
}

/* Else the next work on the whole pool waits for ever. */
static void no_operation_goes_on(void) {
    for (uint32_t cpu = 0; cpu < 2; cpu++)
        EXPECT(world.pool->stripes[cpu].entered == world.pool->stripes[cpu].left,
               "an operation that has ended counts as under way on CPU %u", cpu);
    world_check();
}

static void second_goes(void) {
    if (world.out[1] != 0)
        unpin_second();
    world_check();
}

const struct scenario fork_scenarios[] = {
    {.name = "child_release_against_allocate",
     .says = "a release and an allocation are the first calls of two threads: each slab is in one place",
     .prepare = forked_portable,
     .task = {release_first, allocate_and_keep},
     .cpu = {0, 1},
     .check = second_goes,
     .preemptions = 3},
    {.name = "child_release_against_allocate_rseq",
     .says = "the same with restartable sequences",
     .prepare = forked_rseq,
     .task = {release_first, allocate_and_keep},
     .cpu = {0, 1},
     .check = second_goes,
     .preemptions = 3},
    {.name = "child_single_release_against_allocate_rseq",
     .says = "the same without CPU caches",
     .prepare = forked_without_caches,
     .task = {release_first, allocate_and_keep},
     .cpu = {0, 1},
     .check = second_goes,
     .preemptions = 3},
    {.name = "child_delayed_release_against_allocate_rseq",
     .says = "the same with reuse_delay",
     .prepare = forked_delayed,
     .task = {release_first, allocate_and_keep},
     .cpu = {0, 1},
     .check = second_goes,
     .preemptions = 2},
    {.name = "child_release_against_unpin_rseq",
     .says = "two threads release, one by its last unpin",
     .prepare = forked_rseq,
     .task = {release_first, unpin_second},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 3},
    {.name = "child_by_id_against_allocate_rseq",
     .says = "a release by id and an allocation, on the CPU of the slab's bias",
     .prepare = forked_by_id,
     .task = {release_by_id, allocate_and_keep},
     .cpu = {0, 0},
     .check = world_check,
     .preemptions = 2,
     .more = 2},
    {.name = "child_of_three_rseq",
     .says = "the same beside an allocation",
     .prepare = forked_rseq,
     .task = {release_first, unpin_second, allocate_and_keep},
     .cpu = {0, 1, 0},
     .check = no_operation_goes_on,
     .preemptions = 1},
    {.name = NULL},
};
