/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The ids in the cache of a CPU, which are put apart once its slabs are released there again (api/refill.h). */
#include "scenarios.h"

#include "tasks.h"
#include "world.h"

#include "api/refill.h"
#include "slab_word.h"

static uint32_t line_of(slabby_ref ref) {
    return (uint32_t)((ref - world.pool->ref_bias) & world.pool->id_mask) / SLB_WORDS_A_LINE;
}

static void due(void) {
    atomic_store(&world.pool->rearranges, 1);
}

/* In the cache of CPU 0, and nowhere else: of two lines, so that both go back there. */
static void two_are_free(void) {
    uint32_t other = 1;

    world_make(64, 32, SLABBY_CPU_CACHE_BACKEND_RSEQ, NULL);
    world_take(32);
    while (line_of(world.held[other]) == line_of(world.held[0]))
        other++;
    world_release(world.held[0]);
    world_release(world.held[other]);
    due();
}

static void rearrange(void) {
    slb_rearrange_if_due(world.pool);
}

/* The next allocation is timed, and before it the cache is rearranged: two of one line, which go to the shards. */
static void sampled_and_due(void) {
    world_make(64, 16, SLABBY_CPU_CACHE_BACKEND_RSEQ,
               WITH({SLABBY_OPTION_LATENCY_TRACKING, SLABBY_LATENCY_TRACKING_ALL}));
    world_take(2);
    world_release(world.held[0]);
    world_release(world.held[1]);
    due();
}

/* A reset may take the slab back while the call still runs. */
static void allocate_and_lose_it(void) {
    slabby_ref ref;
    slabby_status status = slabby_allocate(&ref, NULL, world.pool);

    EXPECT(status == SLABBY_OK || status == SLABBY_CLOSED, "allocate answered %s", world_text(status));
}

static void reset_and_destroy(void) {
    slabby_status status = slabby_reset(world.pool);

    EXPECT(status == SLABBY_OK, "reset answered %s", world_text(status));
    destroy_pool();
}

static void went_unless_in_use(void) {
    if (world.status[1] == SLABBY_OK)
        everything_went();
}

const struct scenario order_scenarios[] = {
    {.name = "rearranging_against_drain_rseq",
     .says = "one asks for a slab while another has the last two in hand to put them apart",
     .prepare = two_are_free,
     .task = {rearrange, allocate_and_keep},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 4},
    {.name = "rearranging_on_one_cpu_rseq",
     .says = "the same on one CPU, where two put them apart",
     .prepare = two_are_free,
     .task = {rearrange, rearrange, allocate_and_release_twice},
     .cpu = {0, 0, 0},
     .check = world_check,
     .preemptions = 2},
    {.name = "rearranging_against_lock_rseq",
     .says = "slabs are put apart while the gate closes and opens",
     .prepare = two_are_free,
     .task = {rearrange, close_and_open},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 4},
    {.name = "rearranging_against_wait_rseq",
     .says = "who waits gets a slab that another has in hand to put it apart",
     .prepare = two_are_free,
     .task = {rearrange, wait_for_ever},
     .cpu = {0, 1},
     .check = no_waiters,
     .preemptions = 3},
    {.name = "check_against_rearranging_rseq",
     .says = "counters do not go back while slabs are put apart",
     .prepare = two_are_free,
     .task = {rearrange, check_twice},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 3},
    {.name = "late_rearranging_rseq",
     .says = "a call that destroy overtakes touches nothing that is gone",
     .prepare = sampled_and_due,
     .task = {allocate_and_lose_it, reset_and_destroy},
     .cpu = {0, 1},
     .check = went_unless_in_use,
     .preemptions = 1,
     .more = 2},
    {.name = NULL},
};
