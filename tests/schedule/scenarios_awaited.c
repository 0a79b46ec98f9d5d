/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Slabs are awaited: those that come back go to nobody, until the capacity allows it. */
#include "scenarios.h"

#include "tasks.h"
#include "world.h"

static uint64_t awaited_now(void) {
    slabby_stats stats = {.struct_size = sizeof stats};

    EXPECT(slabby_get_stats(&stats, world.pool) == SLABBY_OK, "no stats");
    return stats.awaited_slabs;
}

static uint64_t resize_to(uint64_t capacity) {
    uint64_t awaited = 0;
    slabby_status status = slabby_resize(&awaited, world.pool, capacity, NULL);

    EXPECT(status == SLABBY_OK, "resize answered %s", world_text(status));
    return awaited;
}

static void two_are_out(void) {
    world_make(64, 2, SLABBY_CPU_CACHE_BACKEND_PORTABLE, NULL);
    world_take(2);
}

static void one_is_awaited(void) {
    two_are_out();
    EXPECT(resize_to(1) == 1, "prepare: one of two is awaited");
}

static void grow_to_2(void) {
    EXPECT(resize_to(2) == 0, "something is awaited after growing");
}

static void allocate_in_vain(void) {
    slabby_status status;

    EXPECT(world_allocate(&status) == 0, "a slab was handed out before the capacity allows it");
    EXPECT(status == SLABBY_OUT_OF_MEMORY, "allocate answered %s", world_text(status));
}

static void wait_in_vain(void) {
    slabby_ref ref;
    slabby_status status = slabby_allocate_timeout(&ref, NULL, world.pool, 1000000);

    EXPECT(status == SLABBY_TIMEOUT, "the wait answered %s", world_text(status));
}

static void nothing_is_awaited(void) {
    EXPECT(awaited_now() == 0, "slabs are awaited that nobody holds");
    world_check();
}

const struct scenario awaited_scenarios[] = {
    {.name = "awaited_against_allocate",
     .says = "what is awaited goes to nobody",
     .prepare = one_is_awaited,
     .task = {release_first, allocate_in_vain},
     .cpu = {0, 1},
     .check = nothing_is_awaited,
     .preemptions = 2},
    {.name = "awaited_against_wait",
     .says = "nor to those who wait",
     .prepare = one_is_awaited,
     .task = {release_first, wait_in_vain},
     .cpu = {0, 1},
     .check = nothing_is_awaited,
     .preemptions = 2,
     .time_passes = true},
    {.name = "grow_against_awaited",
     .says = "the capacity grows while what is awaited comes back: free in the end",
     .prepare = one_is_awaited,
     .task = {grow_to_2, release_first},
     .cpu = {0, 1},
     .check = nothing_is_awaited,
     .preemptions = 2},
    {.name = NULL},
};
