/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sections: the thread of the bias against others of its CPU, and against the gate. At most one is inside, and a change
 * that began before the gate locked a header is over when the gate takes the ids. */
#include "scenarios.h"

#include "of_thread.h"
#include "tasks.h"
#include "world.h"

#include "tiers/section.h"

/* Two slabs are free, in the cache of CPU 0; more are out, which come back. */
static void two_in_a_cache(void) {
    world_make(64, 16, SLABBY_CPU_CACHE_BACKEND_PORTABLE, NULL);
    world_take(16);
    world_release(world.held[0]);
    world_release(world.held[1]);
    world.held[0] = world.held[2];
    world.held[1] = world.held[3];
}

static void biased(void) {
    two_in_a_cache();
    world_bias_section();
}

/* The bias of the second task is revoked, and this task has left. */
static void revoked(void) {
    two_in_a_cache();
    slb_sections[0].owner = of_thread_number(1) + SLB_SECTION_REVOKED;
}

/* Revokes the bias of another thread, gets it by the next exit, as after a thousand in a row, and enters by it. */
static void get_the_bias(void) {
    allocate_and_release();
    slb_sections[0].in_a_row = slb_section_enough(&slb_sections[0]) - 1;
    allocate_and_release();
}

const struct scenario section_scenarios[] = {
    {.name = "section_is_revoked",
     .says = "the thread of the bias and another of its CPU take and give: a slab has one owner",
     .prepare = biased,
     .task = {allocate_and_release, allocate_and_release},
     .cpu = {0, 0},
     .check = world_check,
     .preemptions = 2,
     .more = 2},
    {.name = "section_is_revoked_by_two",
     .says = "the same with two others",
     .prepare = biased,
     .task = {allocate_and_release, allocate_and_keep, release_second},
     .cpu = {0, 0, 0},
     .check = world_check,
     .preemptions = 1,
     .more = 2},
    {.name = "section_was_revoked",
     .says = "of two that find it revoked one enters at a time",
     .prepare = revoked,
     .task = {allocate_and_release, allocate_and_release},
     .cpu = {0, 0},
     .check = world_check,
     .preemptions = 2,
     .more = 2},
    {.name = "section_goes_to_another",
     .says = "the same, and the other gets the bias while the first is about to enter by it",
     .prepare = biased,
     .task = {release_first, get_the_bias},
     .cpu = {0, 0},
     .check = world_check,
     .preemptions = 3},
    {.name = "section_comes_back",
     .says =
         "one that found it revoked is about to enter when another has got the bias, and it is revoked again",
     .prepare = revoked,
     .task = {release_first, get_the_bias, release_second},
     .cpu = {0, 0, 0},
     .check = world_check,
     .preemptions = 2},
    {.name = "section_takes_against_lock",
     .says = "the thread of the bias takes and gives while the gate closes and opens",
     .prepare = biased,
     .task = {allocate_and_release, close_and_open},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 4},
    {.name = "section_gives_against_lock",
     .says = "the same with a slab that comes back, and another thread of its CPU",
     .prepare = biased,
     .task = {release_first, close_and_open, allocate_and_release},
     .cpu = {0, 1, 0},
     .check = world_check,
     .preemptions = 2},
    {.name = NULL},
};
