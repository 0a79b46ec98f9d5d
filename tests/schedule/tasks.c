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

void close_pool(void) {
    EXPECT(slabby_close(world.pool) == SLABBY_OK, "close failed");
    world_set_flag();
}

void switch_secure_on(void) {
    slabby_status status = slabby_set_option(world.pool, SLABBY_OPTION_SECURE, 1, NULL);

    EXPECT(status == SLABBY_OK, "secure answered %s", world_text(status));
    world_set_flag();
}

/* What is had once secure is on holds nothing of anybody. */
void expect_zeros(void) {
    bool secure = world_flag(1);
    slabby_ref ref;
    void *data;
    slabby_status status = slabby_allocate(&ref, &data, world.pool);

    EXPECT(status == SLABBY_OK || status == SLABBY_OUT_OF_MEMORY, "allocate answered %s", world_text(status));
    if (status != SLABBY_OK)
        return;
    EXPECT(!secure || world_read(data) == 0, "a slab came with its last owner's bytes");
    world_own(ref, data);
}

void switch_and_expect_zeros(void) {
    switch_secure_on();
    expect_zeros();
}

void pages_are_unmapped(void) {
    slabby_ref ref;

    EXPECT(world.pool->phase == SLB_PHASE_DRAINED, "the last slab came back, and the pages did not go");
    EXPECT(slabby_allocate(&ref, NULL, world.pool) == SLABBY_CLOSED, "a closed pool handed out a slab");
}
