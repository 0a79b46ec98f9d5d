/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Waiters: whoever gives a slab back wakes one, whoever gives up loses nothing, nobody overtakes. */
#include "scenarios.h"

#include "world.h"

#define FOR_EVER UINT64_MAX
#define FOR_A_WHILE 1000000u

static slabby_status wait_for_one(uint64_t timeout_ns) {
    slabby_ref ref;
    void *data;
    slabby_status status = slabby_allocate_timeout(&ref, &data, world.pool, timeout_ns);

    world.status[schedule_task()] = status;
    if (status == SLABBY_OK)
        world_own(ref, data);
    world.ref[schedule_task()] = status == SLABBY_OK ? ref : 0;
    return status;
}

static void wait_for_ever(void) {
    slabby_status status = wait_for_one(FOR_EVER);

    EXPECT(status == SLABBY_OK, "the wait answered %s", world_text(status));
}

static void wait_and_pass_on(void) {
    wait_for_ever();
    world_release(world.ref[schedule_task()]);
}

static void wait_a_while(void) {
    slabby_status status = wait_for_one(FOR_A_WHILE);

    EXPECT(status == SLABBY_OK || status == SLABBY_TIMEOUT, "the wait answered %s", world_text(status));
}

static void wait_till_closed(void) {
    slabby_status status = wait_for_one(FOR_EVER);

    EXPECT(status == SLABBY_OK || status == SLABBY_CLOSED, "the wait answered %s", world_text(status));
    if (status == SLABBY_OK)
        world_release(world.ref[schedule_task()]);
}

static void release_first(void) {
    world_release(world.held[0]);
}

static void release_both(void) {
    world_release(world.held[0]);
    world_release(world.held[1]);
}

static void close_pool(void) {
    EXPECT(slabby_close(world.pool) == SLABBY_OK, "close failed");
}

/* Not entitled to anything; what it gets it gives back. */
static void allocate_if_any(void) {
    slabby_status status;
    slabby_ref ref = world_allocate(&status);

    EXPECT(ref != 0 || status == SLABBY_OUT_OF_MEMORY, "allocate answered %s", world_text(status));
    if (ref != 0)
        world_release(ref);
}

static void one_is_out(void) {
    world_make(64, 1, SLABBY_CPU_CACHE_BACKEND_PORTABLE, NULL);
    world_take(1);
}

static void two_are_out(void) {
    world_make(64, 2, SLABBY_CPU_CACHE_BACKEND_PORTABLE, NULL);
    world_take(2);
}

static void all_are_out(int32_t backend) {
    world_make(64, 8, backend, NULL);
    world_take(8);
    slb_test_gate_cycle(world.pool);
}

static void all_are_out_portable(void) {
    all_are_out(SLABBY_CPU_CACHE_BACKEND_PORTABLE);
}

static void all_are_out_rseq(void) {
    all_are_out(SLABBY_CPU_CACHE_BACKEND_RSEQ);
}

static void nobody_waits(void) {
    EXPECT(world.pool->first_waiter == NULL, "somebody is left in the queue");
    EXPECT((world.pool->gate & SLB_GATE_WAITERS) == 0, "the gate still waits for waiters");
    world_check();
}

static void all_is_over(void) {
    EXPECT(world.pool->first_waiter == NULL, "somebody is left in the queue");
    EXPECT(world.pool->phase == SLB_PHASE_DRAINED, "the last slab came back, and the pages did not go");
}

const struct scenario waiting_scenarios[] = {
    {.name = "open_against_wait",
     .says = "a slab comes back while somebody begins to wait: it is served",
     .prepare = one_is_out,
     .task = {wait_for_ever, release_first},
     .cpu = {0, 1},
     .check = nobody_waits,
     .preemptions = 3},
    {.name = "cache_against_wait",
     .says = "a slab on its way into a CPU cache while somebody begins to wait",
     .prepare = all_are_out_portable,
     .task = {wait_for_ever, release_first},
     .cpu = {0, 1},
     .check = nobody_waits,
     .preemptions = 2},
    {.name = "cache_against_wait_rseq",
     .says = "the same with restartable sequences",
     .prepare = all_are_out_rseq,
     .task = {wait_for_ever, release_first},
     .cpu = {0, 1},
     .check = nobody_waits,
     .preemptions = 2},
    {.name = "wait_and_allocate",
     .says = "a plain allocate beside a waiter: what it got comes back to the waiter",
     .prepare = one_is_out,
     .task = {wait_for_ever, release_first, allocate_if_any},
     .cpu = {0, 1, 1},
     .check = nobody_waits,
     .preemptions = 1},
    {.name = "two_waiters",
     .says = "two wait, one slab passes from hand to hand",
     .prepare = one_is_out,
     .task = {wait_and_pass_on, wait_and_pass_on, release_first},
     .cpu = {0, 1, 1},
     .check = nobody_waits,
     .preemptions = 1},
    {.name = "two_releases_two_waiters",
     .says = "two wait, two come back",
     .prepare = two_are_out,
     .task = {wait_for_ever, wait_for_ever, release_both},
     .cpu = {0, 1, 1},
     .check = nobody_waits,
     .preemptions = 1},
    {.name = "timeout_against_release",
     .says = "a wait that ends as the slab comes: granted or free, never lost",
     .prepare = one_is_out,
     .task = {wait_a_while, release_first},
     .cpu = {0, 1},
     .check = nobody_waits,
     .preemptions = 2,
     .time_passes = true},
    {.name = "close_against_wait",
     .says = "close while somebody waits and the slab comes back",
     .prepare = one_is_out,
     .task = {wait_till_closed, release_first, close_pool},
     .cpu = {0, 1, 1},
     .check = all_is_over,
     .preemptions = 1},
    {.name = NULL},
};
