/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tasks.h"

#include "world.h"

#include <string.h>

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
    EXPECT(first.total_deallocations <= first.total_allocations, "%llu released of %llu",
           (unsigned long long)first.total_deallocations, (unsigned long long)first.total_allocations);
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

/* ------------------------------------------------------------------------------------- the end of a pool */

void allocate_against_close(void) {
    bool over = world_flag(1);
    slabby_status status;
    slabby_ref ref = world_allocate(&status);

    EXPECT(ref != 0 || status == SLABBY_CLOSED, "allocate answered %s", world_text(status));
    EXPECT(ref == 0 || !over, "a closed pool handed out a slab");
    if (ref != 0)
        world_release(ref);
}

void abandon_pool(void) {
    EXPECT(slabby_abandon(world.pool) == SLABBY_OK, "abandon failed");
}

void destroy_pool(void) {
    slabby_status status = slabby_destroy(world.pool);

    EXPECT(status == SLABBY_OK || status == SLABBY_IN_USE, "destroy answered %s", world_text(status));
    world.status[schedule_task()] = status;
}

/* The data is not asked for: the pool may be gone when it would be read. */
void allocate_or_learn(void) {
    slabby_ref ref;

    world.status[0] = slabby_allocate(&ref, NULL, world.pool);
    EXPECT(world.status[0] == SLABBY_OK || world.status[0] == SLABBY_CLOSED, "allocate answered %s",
           world_text(world.status[0]));
    if (world.status[0] == SLABBY_OK)
        world_own(ref, world.pool->slabs);
}

void everything_went(void) {
    EXPECT(world.pool->phase == SLB_PHASE_NONE, "the pool did not go");
    EXPECT((world.pool->remains & SLB_REMAINS_STATE) == SLB_REMAINS_NONE,
           "the pool went, and its bookkeeping stayed");
}

void went_or_in_use(void) {
    if (world.status[1] == SLABBY_OK)
        everything_went();
    else
        world_check();
}

void one_of_both(void) {
    EXPECT(world.status[0] != SLABBY_OK || world.status[1] == SLABBY_IN_USE,
           "the pool was destroyed with a slab out");
    EXPECT(world.status[0] == SLABBY_OK || world.status[1] == SLABBY_OK,
           "a pool without slabs was not destroyed: %s", world_text(world.status[1]));
    went_or_in_use();
}

/* -------------------------------------------------------------------------------------------------- reset */

void reset_pool(void) {
    EXPECT(slabby_reset(world.pool) == SLABBY_OK, "reset failed");
}

void release_or_lose(void) {
    slabby_status status = slabby_release(world.pool, world.held[0]);

    EXPECT(status == SLABBY_OK || status == SLABBY_DOUBLE_DEALLOCATION, "release answered %s",
           world_text(status));
}

void allocate_and_lose(void) {
    slabby_ref ref;
    slabby_status status = slabby_allocate(&ref, NULL, world.pool);

    EXPECT(status == SLABBY_OK, "allocate answered %s although a slab is free", world_text(status));
    world.ref[2] = ref;
}

void reset_left_order(void) {
    memset(world.out, 0, sizeof world.out);
    if (slabby_is_valid(world.pool, world.ref[2]))
        world.out[(world.ref[2] - world.pool->ref_bias) & world.pool->id_mask] = world.ref[2];
    world_check();
}

/* ------------------------------------------------------------------------------------ waiting, and looking */

slabby_status wait_for_one(uint64_t timeout_ns) {
    slabby_ref ref;
    void *data;
    slabby_status status = slabby_allocate_timeout(&ref, &data, world.pool, timeout_ns);

    world.status[schedule_task()] = status;
    if (status == SLABBY_OK)
        world_own(ref, data);
    world.ref[schedule_task()] = status == SLABBY_OK ? ref : 0;
    return status;
}

void wait_for_ever(void) {
    slabby_status status = wait_for_one(UINT64_MAX);

    EXPECT(status == SLABBY_OK, "the wait answered %s", world_text(status));
}

void no_waiters(void) {
    EXPECT(world.pool->first_waiter == NULL, "somebody is left in the queue");
    EXPECT((world.pool->gate.reasons & SLB_GATE_WAITERS) == 0, "the gate still waits for waiters");
    world_check();
}

void verify_pool(void) {
    slabby_finding finding = {.struct_size = sizeof finding};
    uint64_t count = 0;
    slabby_status status = slabby_verify(&finding, &count, world.pool, 1);

    EXPECT(status == SLABBY_OK && count == 0, "verify of a sound pool: %s %s", world_text(status),
           finding.text);
}
