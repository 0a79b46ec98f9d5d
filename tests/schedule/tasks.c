/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tasks.h"

#include "world.h"

void allocate_and_keep(void) {
    slabby_status status;

    EXPECT(world_allocate(&status) != 0, "allocate answered %s although a slab is free", world_text(status));
}

void allocate_and_release(void) {
    slabby_status status;
    slabby_ref ref = world_allocate(&status);

    EXPECT(ref != 0, "allocate answered %s although a slab is free", world_text(status));
    world_release(ref);
}

void allocate_and_release_twice(void) {
    allocate_and_release();
    allocate_and_release();
}

void allocate_if_any(void) {
    slabby_status status;
    slabby_ref ref = world_allocate(&status);

    EXPECT(ref != 0 || status == SLABBY_OUT_OF_MEMORY, "allocate answered %s", world_text(status));
    if (ref != 0)
        world_release(ref);
}

void release_first(void) {
    world_release(world.held[0]);
}

void release_second(void) {
    world_release(world.held[1]);
}

void close_and_open(void) {
    slb_test_gate_cycle(world.pool);
}

void check_twice(void) {
    slabby_stats first = {.struct_size = sizeof first}, second = {.struct_size = sizeof second};

    EXPECT(slabby_get_stats(&first, world.pool) == SLABBY_OK, "get_stats failed");
    EXPECT(slabby_get_stats(&second, world.pool) == SLABBY_OK, "get_stats failed");
    EXPECT(second.total_allocations >= first.total_allocations, "allocations went from %llu to %llu",
           (unsigned long long)first.total_allocations, (unsigned long long)second.total_allocations);
    EXPECT(second.total_deallocations >= first.total_deallocations, "releases went from %llu to %llu",
           (unsigned long long)first.total_deallocations, (unsigned long long)second.total_deallocations);
    EXPECT(first.used_slabs <= first.total_slabs, "%llu of %llu slabs are used",
           (unsigned long long)first.used_slabs, (unsigned long long)first.total_slabs);
}
