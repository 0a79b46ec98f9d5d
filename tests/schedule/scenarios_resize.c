/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A capacity that changes while slabs go out, come back, travel between tiers, or are waited for. */
#include "scenarios.h"

#include "resilience/resize.h"

#include "tasks.h"
#include "world.h"

static void resize_to(uint64_t capacity) {
    slabby_error error = {.struct_size = sizeof error};
    uint64_t awaited;

    if (slabby_resize(&awaited, world.pool, capacity, &error) != SLABBY_OK)
        schedule_broken("slabby_resize(%llu): %s", (unsigned long long)capacity, error.text);
}

static void resize_to_one(void) {
    resize_to(1);
}

static void resize_to_two(void) {
    resize_to(2);
}

static void resize_to_three(void) {
    resize_to(3);
}

static void resize_to_fourteen(void) {
    resize_to(14);
}

static void shrink_and_grow(void) {
    resize_to(1);
    resize_to(2);
}

static void grow_and_allocate(void) {
    resize_to(3);
    allocate_and_release();
}

/* Room for four; `capacity` are in service, `out` of them are out. */
static void small(uint64_t capacity, uint32_t out) {
    world_make(64, capacity, SLABBY_CPU_CACHE_BACKEND_PORTABLE, WITH({SLABBY_OPTION_MAX_CAPACITY, 4}));
    world_take(out);
}

static void two_of_two_free(void) {
    small(2, 2);
    world_release(world.held[0]);
    world_release(world.held[1]);
}

/* Slabs that were never used are withheld by a number, not by their words. */
static void two_of_two_fresh(void) {
    small(2, 0);
}

static void one_of_two_free(void) {
    small(2, 2);
    world_release(world.held[1]);
    world.held[1] = 0;
}

static void none_of_two_free(void) {
    small(2, 2);
}

static void none_of_one_free(void) {
    small(1, 1);
}

/* Two of sixteen are free, in the cache of CPU 0; 13 stay out, one comes back. */
static void two_in_a_cache(int32_t backend) {
    world_make(64, 16, backend, NULL);
    world_take(16);
    world_release(world.held[2]);
    world_release(world.held[3]);
}

static void two_in_a_cache_portable(void) {
    two_in_a_cache(SLABBY_CPU_CACHE_BACKEND_PORTABLE);
}

static void two_in_a_cache_rseq(void) {
    two_in_a_cache(SLABBY_CPU_CACHE_BACKEND_RSEQ);
}

static void check_resized(void) {
    EXPECT((world.pool->gate.reasons & SLB_GATE_SHRINKING) == 0, "the gate still waits for slabs to give up");
    EXPECT(world.pool->first_waiter == NULL, "somebody is left in the queue");
    world_check();
}

static void capacity_is(uint32_t capacity) {
    EXPECT(slb_capacity(world.pool) == capacity, "the capacity is %u, not %u", slb_capacity(world.pool),
           capacity);
    check_resized();
}

static void one_is_left(void) {
    capacity_is(1);
}

static void two_are_left(void) {
    capacity_is(2);
}

static void one_or_three_are_left(void) {
    uint32_t capacity = slb_capacity(world.pool);

    EXPECT(capacity == 1 || capacity == 3, "the capacity is %u", capacity);
    check_resized();
}

static void sixteen_minus_two(void) {
    capacity_is(14);
}

const struct scenario resize_scenarios[] = {
    {.name = "shrink_against_allocate",
     .says = "a slab is given up or goes out, not both, and one comes back to stay",
     .prepare = two_of_two_free,
     .task = {allocate_if_any, resize_to_one},
     .cpu = {0, 1},
     .check = one_is_left,
     .preemptions = 4},
    {.name = "shrink_against_fresh",
     .says = "a slab that was never used is withheld or goes out, not both",
     .prepare = two_of_two_fresh,
     .task = {allocate_if_any, resize_to_one},
     .cpu = {0, 1},
     .check = one_is_left,
     .preemptions = 4},
    {.name = "shrink_against_release",
     .says = "the slab that shrinking awaits is given up when it comes back",
     .prepare = none_of_two_free,
     .task = {release_first, resize_to_one},
     .cpu = {0, 1},
     .check = one_is_left,
     .preemptions = 4},
    {.name = "shrink_against_both",
     .says = "two come back while one of them is awaited, and another asks",
     .prepare = none_of_two_free,
     .task = {release_first, resize_to_one, release_second},
     .cpu = {0, 1, 0},
     .check = one_is_left,
     .preemptions = 1},
    {.name = "shrink_against_cache",
     .says = "slabs in another CPU's cache are given up beside an allocation and a release",
     .prepare = two_in_a_cache_portable,
     .task = {allocate_if_any, resize_to_fourteen},
     .cpu = {0, 1},
     .check = sixteen_minus_two,
     .preemptions = 2},
    {.name = "shrink_against_cache_rseq",
     .says = "the same with restartable sequences",
     .prepare = two_in_a_cache_rseq,
     .task = {allocate_if_any, resize_to_fourteen, release_first},
     .cpu = {0, 1, 0},
     .check = sixteen_minus_two,
     .preemptions = 1},
    {.name = "shrink_against_drain",
     .says = "one asks for the slab that stays while another is given up",
     .prepare = two_of_two_free,
     .task = {shrink_and_grow, allocate_if_any},
     .cpu = {0, 1},
     .check = two_are_left,
     .preemptions = 4},
    {.name = "grow_against_drain",
     .says = "once the capacity has grown, there is a slab for one more",
     .prepare = one_of_two_free,
     .task = {allocate_and_release, grow_and_allocate},
     .cpu = {0, 1},
     .check = check_resized,
     .preemptions = 4},
    {.name = "grow_against_wait",
     .says = "who waits is served from what growing brings",
     .prepare = none_of_one_free,
     .task = {wait_for_ever, resize_to_two},
     .cpu = {0, 1},
     .check = two_are_left,
     .preemptions = 2},
    {.name = "resize_against_resize",
     .says = "two resize at once: one of the capacities, and every slab accounted for",
     .prepare = one_of_two_free,
     .task = {resize_to_one, resize_to_three, release_first},
     .cpu = {0, 1, 0},
     .check = one_or_three_are_left,
     .preemptions = 1},
    {.name = NULL},
};
