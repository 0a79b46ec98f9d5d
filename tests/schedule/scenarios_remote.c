/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Words that an allocation on CPU 0 biases to CPU 1, where the slabs are released (word_bias.h); and the ids in the
 * cache of CPU 0, which are rearranged once they are released there again (api/refill.h). */
#include "scenarios.h"

#include "tasks.h"
#include "world.h"

#include "api/refill.h"
#include "slab_word.h"

static uint32_t id_of(slabby_ref ref) {
    return (uint32_t)((ref - world.pool->ref_bias) & world.pool->id_mask);
}

/* ------------------------------------------------------------------------------------------------- words */

static void bias_to_the_other_cpu(void) {
    atomic_store(&world.pool->caches[0].cache.issue, slb_word_mark(1));
}

/* In held[0]. */
static void one_is_biased_elsewhere(void) {
    uint64_t word;

    world_make_biased();
    bias_to_the_other_cpu();
    world_release(world.held[0]);
    world.holds = 0;
    world_take(1);
    word = world.pool->words[id_of(world.held[0])];
    EXPECT(slb_word_is_biased(word) && slb_word_bias_cpu(word) == 1, "prepare: it is not biased to CPU 1");
}

/* The same by id: held[0] is the id. */
static void one_by_id_is_biased_elsewhere(void) {
    uint32_t id;
    void *data;

    world_make_biased();
    bias_to_the_other_cpu();
    world_release(world.held[0]);
    EXPECT(slabby_allocate_fast(&data, &id, world.pool) == SLABBY_OK, "prepare: allocate_fast failed");
    world.held[0] = id;
    EXPECT(slb_word_bias_cpu(world.pool->words[id]) == 1, "prepare: it is not biased to CPU 1");
}

static void release_it(void) {
    world.status[schedule_task()] = slabby_release(world.pool, world.held[0]);
}

static void defer_it(void) {
    world.status[schedule_task()] = slabby_release_deferred(world.pool, world.held[0]);
}

static void deallocate_it(void) {
    world.status[schedule_task()] = slabby_deallocate_fast(world.pool, (uint32_t)world.held[0]);
}

static void pin_and_unpin_it(void) {
    slabby_status status = slabby_pin(world.pool, world.held[0]);

    EXPECT(status == SLABBY_OK || status == SLABBY_USE_AFTER_FREE, "pin answered %s", world_text(status));
    if (status == SLABBY_OK)
        EXPECT(slabby_unpin(world.pool, world.held[0]) == SLABBY_OK, "unpin failed");
}

static void pin_it_and_defer(void) {
    pin_and_unpin_it();
    defer_it();
}

/* Biased to CPU 1 as well, whichever slab it is. */
static void take_and_keep(void) {
    slabby_ref ref;

    EXPECT(slabby_allocate(&ref, NULL, world.pool) == SLABBY_OK, "allocate failed");
    world.ref[0] = ref;
}

/* The first generation may be stale by now; the next one is released twice, here and by task 2. */
static void release_the_first(void) {
    slabby_status status = slabby_release(world.pool, world.held[0]);

    EXPECT(status == SLABBY_OK || status == SLABBY_DOUBLE_DEALLOCATION, "release answered %s",
           world_text(status));
}

static void release_and_hand_over_the_next(void) {
    slabby_ref ref;

    release_the_first();
    EXPECT(slabby_allocate(&ref, NULL, world.pool) == SLABBY_OK, "allocate failed");
    world.ref[1] = ref;
    world_set_flag();
    world.status[0] = slabby_release(world.pool, ref);
}

static void release_the_next(void) {
    world.status[schedule_task()] =
        world_flag(1) ? slabby_release(world.pool, world.ref[1]) : SLABBY_DOUBLE_DEALLOCATION;
}

static void expect_one(const slabby_status *all, uint32_t count) {
    uint32_t done = 0;

    for (uint32_t i = 0; i < count; i++) {
        done += all[i] == SLABBY_OK;
        EXPECT(all[i] == SLABBY_OK || all[i] == SLABBY_DOUBLE_DEALLOCATION, "release answered %s",
               world_text(all[i]));
    }
    EXPECT(done == 1, "%u of %u releases succeeded", done, count);
}

/* Of tasks 0 and 1; what task 2 took is its own, whatever they did. */
static void one_of_two(void) {
    expect_one(world.status, 2);
    world.out[id_of(world.held[0])] = 0;
    EXPECT(slabby_is_valid(world.pool, world.ref[0]), "a stale release took a slab from its next owner");
    world.out[id_of(world.ref[0])] = world.ref[0];
    world_check();
}

static void one_by_id(void) {
    expect_one(world.status, 2);
    world_check();
}

static void one_of_the_next(void) {
    const slabby_status all[] = {world.status[0], world.status[2], world.status[3]};

    expect_one(all, 3);
    world.out[id_of(world.held[0])] = 0;
    world_check();
}

/* -------------------------------------------------------------------------------------------- rearranging */

static void due(void) {
    atomic_store(&world.pool->rearranges, 1);
}

/* In the cache of CPU 0, and nowhere else: of two lines, so that one goes to the shards and one back. */
static void two_are_free(void) {
    uint32_t other = 1;

    world_make(64, 32, SLABBY_CPU_CACHE_BACKEND_RSEQ, NULL);
    world_take(32);
    while (id_of(world.held[other]) / SLB_WORDS_A_LINE == id_of(world.held[0]) / SLB_WORDS_A_LINE)
        other++;
    world_release(world.held[0]);
    world_release(world.held[other]);
    due();
}

static void rearrange(void) {
    slb_rearrange_if_due(world.pool);
}

/* One that is timed, behind which a cache is rearranged if that is due. */
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

const struct scenario remote_scenarios[] = {
    {.name = "remote_against_allocator_rseq",
     .says = "a release on the CPU of the bias and one on the CPU that allocated: one succeeds",
     .prepare = one_is_biased_elsewhere,
     .task = {release_it, release_it, take_and_keep},
     .cpu = {1, 0, 0},
     .check = one_of_two,
     .preemptions = 2},
    {.name = "remote_on_its_cpu_rseq",
     .says = "two releases on the CPU of the bias, and the next owner on the other: one succeeds",
     .prepare = one_is_biased_elsewhere,
     .task = {release_it, defer_it, take_and_keep},
     .cpu = {1, 1, 0},
     .check = one_of_two,
     .preemptions = 2},
    {.name = "remote_turns_against_allocator_rseq",
     .says = "a pin, unpin and release on either CPU: one succeeds",
     .prepare = one_is_biased_elsewhere,
     .task = {pin_it_and_defer, pin_it_and_defer, take_and_keep},
     .cpu = {1, 0, 0},
     .check = one_of_two,
     .preemptions = 2},
    {.name = "remote_by_id_against_allocator_rseq",
     .says = "the same by id",
     .prepare = one_by_id_is_biased_elsewhere,
     .task = {deallocate_it, deallocate_it},
     .cpu = {1, 0},
     .check = one_by_id,
     .preemptions = 4},
    {.name = "remote_against_the_next_rseq",
     .says = "a stale release on the CPU of the bias while the next generation is biased to it again",
     .prepare = one_is_biased_elsewhere,
     .task = {release_the_first, release_and_hand_over_the_next, release_the_next, release_the_next},
     .cpu = {1, 0, 1, 1},
     .check = one_of_the_next,
     .preemptions = 2},
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
     .preemptions = 2},
    {.name = NULL},
};
