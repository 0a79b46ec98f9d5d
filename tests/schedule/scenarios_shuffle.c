/* SPDX-License-Identifier: GPL-3.0-or-later */
/* With the option shuffle a CPU has two stacks of ids: allocations take from the one, releases give to the other, and
 * what came back is shuffled from the one into the other. */
#include "scenarios.h"

#include "tasks.h"
#include "world.h"

static void release_the_last_held(void) {
    world_release(world.held[world.holds - 1]);
}

/* What a look in between took for released stays shown: too much is never right again. */
static void counters_are_exact(void) {
    slabby_stats stats = {.struct_size = sizeof stats};

    EXPECT(slabby_get_stats(&stats, world.pool) == SLABBY_OK, "get_stats failed");
    EXPECT(stats.total_allocations - stats.total_deallocations == stats.used_slabs,
           "%llu allocations and %llu releases leave %llu slabs in use",
           (unsigned long long)stats.total_allocations, (unsigned long long)stats.total_deallocations,
           (unsigned long long)stats.used_slabs);
    world_check();
}

/* All slabs but `count`, which have come back to CPU 0. */
static void came_back(int32_t backend, uint64_t capacity, uint32_t count) {
    world_make(64, capacity, backend, WITH({SLABBY_OPTION_SHUFFLE, 1}));
    world.pool->guard_key = 1; /* the same order in every process */
    world_take((uint32_t)capacity);
    for (uint32_t i = 0; i < count; i++)
        world_release(world.held[i]);
}

/* Batches of two: nothing is held back. */
static void two_came_back_portable(void) {
    came_back(SLABBY_CPU_CACHE_BACKEND_PORTABLE, 32, 2);
}

static void two_came_back_rseq(void) {
    came_back(SLABBY_CPU_CACHE_BACKEND_RSEQ, 32, 2);
}

/* Batches of four: the only free slab is held back. */
static void one_is_held_back_rseq(void) {
    came_back(SLABBY_CPU_CACHE_BACKEND_RSEQ, 64, 1);
}

const struct scenario shuffle_scenarios[] = {
    {.name = "mixing_against_drain",
     .says = "two ask for the last two slabs while one of them shuffles both",
     .prepare = two_came_back_portable,
     .task = {allocate_and_keep, allocate_and_keep},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 3},
    {.name = "mixing_against_drain_rseq",
     .says = "the same with restartable sequences",
     .prepare = two_came_back_rseq,
     .task = {allocate_and_keep, allocate_and_keep},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 3},
    {.name = "mixing_on_one_cpu_rseq",
     .says = "two of one CPU find its first stack empty",
     .prepare = two_came_back_rseq,
     .task = {allocate_and_keep, allocate_and_release},
     .cpu = {0, 0},
     .check = world_check,
     .preemptions = 2},
    {.name = "mixing_against_lock_rseq",
     .says = "what came back is shuffled, taken and given while the gate closes and opens",
     .prepare = two_came_back_rseq,
     .task = {allocate_and_release_twice, close_and_open},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 3},
    {.name = "held_back_is_found_rseq",
     .says = "the last slab is held back: it is found before OutOfMemory, here and elsewhere",
     .prepare = one_is_held_back_rseq,
     .task = {allocate_and_keep, release_the_last_held},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 3},
    {.name = "check_against_mixing_rseq",
     .says = "counters do not go back while what came back is shuffled",
     .prepare = two_came_back_rseq,
     .task = {allocate_and_release, check_twice},
     .cpu = {0, 1},
     .check = counters_are_exact,
     .preemptions = 3},
    {.name = NULL},
};
