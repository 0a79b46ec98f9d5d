/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Races for an owned word (word_bias.h): its owner changes it by a committing store, others share it first. */
#include "scenarios.h"

#include "world.h"

#include "slab_word.h"

static unsigned char *slab_of(slabby_ref ref) {
    uint64_t id = (ref - world.pool->ref_bias) & world.pool->id_mask;

    return (unsigned char *)world.pool->slabs + id * world.pool->stride;
}

static void forget(slabby_ref ref) {
    world.out[(ref - world.pool->ref_bias) & world.pool->id_mask] = 0;
}

static void hold(slabby_ref ref) {
    world.out[(ref - world.pool->ref_bias) & world.pool->id_mask] = ref;
}

static void release_it(void) {
    world.status[schedule_task()] = slabby_release(world.pool, world.held[0]);
}

static void defer_it(void) {
    world.status[schedule_task()] = slabby_release_deferred(world.pool, world.held[0]);
}

/* Where the slab is already released or dying, the pin is refused. */
static void pin_and_unpin_it(void) {
    slabby_status status = slabby_pin(world.pool, world.held[0]);

    EXPECT(status == SLABBY_OK || status == SLABBY_USE_AFTER_FREE, "pin answered %s", world_text(status));
    if (status == SLABBY_OK) {
        status = slabby_unpin(world.pool, world.held[0]);
        EXPECT(status == SLABBY_OK, "unpin answered %s", world_text(status));
    }
}

/* The slab's next owner keeps it, although another task may still hold the old word. */
static void take_and_keep(void) {
    slabby_ref ref;
    slabby_status status = slabby_allocate(&ref, NULL, world.pool);

    EXPECT(status == SLABBY_OK, "allocate answered %s", world_text(status));
    world.ref[0] = ref;
}

static void take_on_the_other_cpu(void) {
    schedule_move_to(1);
    take_and_keep();
}

static void keep_what_was_taken(void) {
    if (world.ref[0] == 0)
        return;
    EXPECT(slabby_is_valid(world.pool, world.ref[0]), "a stale release took a slab from its next owner");
    hold(world.ref[0]);
}

/* Of the tasks 0 .. releasers - 1. */
static void one_of(uint32_t releasers) {
    uint32_t done = 0;

    for (uint32_t task = 0; task < releasers; task++) {
        slabby_status status = world.status[task];

        done += status == SLABBY_OK;
        EXPECT(status == SLABBY_OK || status == SLABBY_DOUBLE_DEALLOCATION, "release answered %s",
               world_text(status));
    }
    EXPECT(done == 1, "%u of %u releases of one reference succeeded", done, releasers);
    forget(world.held[0]);
    keep_what_was_taken();
    world_check();
}

static void one_of_two(void) {
    one_of(2);
}

static void one_of_three(void) {
    one_of(3);
}

/* ------------------------------------------------------------------------------------------- pins, reset */

static void pin_it_and_check(void) {
    slabby_status status = slabby_pin(world.pool, world.held[0]);

    world.status[schedule_task()] = status;
    if (status != SLABBY_OK) {
        EXPECT(status == SLABBY_USE_AFTER_FREE, "pin answered %s", world_text(status));
        return;
    }
    EXPECT(!world_flag(1), "a released slab was pinned");
    EXPECT(world_read(slab_of(world.held[0])) == world.held[0], "a pinned slab was used by another");
    status = slabby_unpin(world.pool, world.held[0]);
    EXPECT(status == SLABBY_OK, "unpin answered %s", world_text(status));
}

static void pin_it_and_release(void) {
    pin_and_unpin_it();
    release_it();
}

static void pin_it_and_defer(void) {
    pin_and_unpin_it();
    defer_it();
}

static void release_unless_pinned(void) {
    slabby_status status = slabby_release(world.pool, world.held[0]);

    EXPECT(status == SLABBY_OK || status == SLABBY_PINNED, "release answered %s", world_text(status));
    if (status == SLABBY_OK)
        world_set_flag();
}

static void overwrite_the_next(void) {
    slabby_ref ref;
    void *data;

    EXPECT(slabby_allocate(&ref, &data, world.pool) == SLABBY_OK, "allocate failed");
    world_write(data, ref);
    world.ref[0] = ref;
}

static void pinned_or_closed(void) {
    EXPECT(world.flag[1] || world.status[0] == SLABBY_OK, "neither the pin nor the release succeeded");
    if (world.flag[1])
        forget(world.held[0]);
    if (world.ref[0] != 0)
        hold(world.ref[0]);
    world_check();
}

static void reset_all(void) {
    slabby_status status = slabby_reset(world.pool);

    EXPECT(status == SLABBY_OK || status == SLABBY_PINNED, "reset answered %s", world_text(status));
    if (status == SLABBY_OK)
        world_set_flag();
}

/* A release that fails lost against reset. */
static void released_or_reset(void) {
    EXPECT(world.status[0] == SLABBY_OK || world.status[0] == SLABBY_DOUBLE_DEALLOCATION,
           "release answered %s", world_text(world.status[0]));
    EXPECT(world.flag[1], "reset found a pin");
    forget(world.held[0]);
    world_check();
}

/* --------------------------------------------------------------------------------- the next generation */

static void release_the_first(void) {
    slabby_status status = slabby_release(world.pool, world.held[0]);

    EXPECT(status == SLABBY_OK || status == SLABBY_DOUBLE_DEALLOCATION, "release answered %s",
           world_text(status));
}

/* The slab goes out a second time; that release of it is told as a status of task 0. */
static void release_and_go_on(void) {
    slabby_ref ref;

    release_the_first();
    EXPECT(slabby_allocate(&ref, NULL, world.pool) == SLABBY_OK, "allocate failed");
    world.ref[1] = ref;
    world_set_flag();
    world.status[0] = slabby_release(world.pool, ref);
}

static void release_the_second(void) {
    world.status[schedule_task()] =
        world_flag(1) ? slabby_release(world.pool, world.ref[1]) : SLABBY_DOUBLE_DEALLOCATION;
}

static void one_of_the_second(void) {
    const slabby_status all[] = {world.status[0], world.status[2], world.status[3]};
    uint32_t done = 0;

    for (int i = 0; i < 3; i++)
        done += all[i] == SLABBY_OK;
    EXPECT(done == 1, "%u releases of the second reference succeeded", done);
    forget(world.held[0]);
    world_check();
}

/* ----------------------------------------------------------------------------------------- secure, trim */

static void one_is_biased_and_secret(void) {
    world_make_biased();
    world_write(slab_of(world.held[0]), world.held[0]);
}

static void release_it_in_a_batch(void) {
    uint64_t released;

    world.status[0] = slabby_release_batch(&released, world.pool, world.held, 1);
}

static void switch_secure_on_and_check(void) {
    slabby_status status = slabby_set_option(world.pool, SLABBY_OPTION_SECURE, 1, NULL);
    slabby_ref ref;
    void *data;

    EXPECT(status == SLABBY_OK, "secure answered %s", world_text(status));
    for (int i = 0; i < 2; i++) {
        EXPECT(slabby_allocate(&ref, &data, world.pool) == SLABBY_OK, "allocate failed");
        EXPECT(world_read(data) == 0, "a slab came with its last owner's bytes");
        world.ref[i] = ref;
    }
}

static void trim(void) {
    EXPECT(slabby_trim(NULL, world.pool) == SLABBY_OK, "trim failed");
}

static void take_and_write(void) {
    slabby_ref ref;
    void *data;

    EXPECT(slabby_allocate(&ref, &data, world.pool) == SLABBY_OK, "allocate failed");
    world_write(data, ref);
    EXPECT(world_read(data) == ref, "a page went from under its owner");
    world.ref[0] = ref;
}

static void released_and_others_out(void) {
    EXPECT(world.status[0] == SLABBY_OK, "release answered %s", world_text(world.status[0]));
    forget(world.held[0]);
    for (int i = 0; i < 2; i++)
        if (world.ref[i] != 0)
            hold(world.ref[i]);
    world_check();
}

/* Secure is on, whichever came first, and no task wrote to the slab again. */
static void released_as_zeros(void) {
    EXPECT(world_read(slab_of(world.held[0])) == 0, "a slab came back with its owner's bytes");
    released_and_others_out();
}

/* The same slab by id, in held[0]. */
static void one_is_biased_by_id(void) {
    uint32_t id;
    void *data;

    world_make_biased();
    world_release(world.held[0]);
    EXPECT(slabby_allocate_fast(&data, &id, world.pool) == SLABBY_OK, "prepare: allocate_fast failed");
    world.held[0] = id;
    EXPECT(slb_word_is_biased(world.pool->words[id]), "prepare: the slab is not owned by CPU 0");
}

static void deallocate_it(void) {
    world.status[schedule_task()] = slabby_deallocate_fast(world.pool, (uint32_t)world.held[0]);
}

static void one_by_id(void) {
    uint32_t done = (uint32_t)(world.status[0] == SLABBY_OK) + (uint32_t)(world.status[1] == SLABBY_OK);

    EXPECT(done == 1, "%u of 2 releases by one id succeeded", done);
    EXPECT(world.status[0] == SLABBY_DOUBLE_DEALLOCATION || world.status[1] == SLABBY_DOUBLE_DEALLOCATION,
           "the other release answered %s", world_text(world.status[world.status[0] == SLABBY_OK]));
    world_check();
}

/* -------------------------------------------------------------------- allocated on CPU 0, biased to CPU 1 */

static void bias_elsewhere(void) {
    world_make_biased();
    atomic_store(&world.pool->caches[0].cache.issue, slb_word_mark(1));
    world_release(world.held[0]);
    world.holds = 0;
}

static void expect_biased_elsewhere(slabby_ref ref) {
    uint64_t word = world.pool->words[(ref - world.pool->ref_bias) & world.pool->id_mask];

    EXPECT(slb_word_is_biased(word) && slb_word_bias_cpu(word) == 1, "prepare: it is not biased to CPU 1");
}

static void one_is_biased_elsewhere(void) {
    bias_elsewhere();
    world_take(1);
    expect_biased_elsewhere(world.held[0]);
}

static void one_by_id_is_biased_elsewhere(void) {
    uint32_t id;
    void *data;

    bias_elsewhere();
    EXPECT(slabby_allocate_fast(&data, &id, world.pool) == SLABBY_OK, "prepare: allocate_fast failed");
    world.held[0] = id;
    expect_biased_elsewhere(world.pool->ref_bias + id);
}

const struct scenario bias_scenarios[] = {
    {.name = "owner_by_id_against_elsewhere_rseq",
     .says = "the owner's release by id and one elsewhere: one succeeds",
     .prepare = one_is_biased_by_id,
     .task = {deallocate_it, deallocate_it},
     .cpu = {0, 1},
     .check = one_by_id,
     .preemptions = 4},
    {.name = "owner_by_id_against_its_cpu_rseq",
     .says = "two releases by id on the owner's CPU: one succeeds",
     .prepare = one_is_biased_by_id,
     .task = {deallocate_it, deallocate_it},
     .cpu = {0, 0},
     .check = one_by_id,
     .preemptions = 4},
    {.name = "owner_against_elsewhere_rseq",
     .says = "the owner's release and one elsewhere: one succeeds",
     .prepare = world_make_biased,
     .task = {release_it, release_it, take_and_keep},
     .cpu = {0, 1, 0},
     .check = one_of_two,
     .preemptions = 2},
    {.name = "owner_against_its_cpu_rseq",
     .says = "two releases on the owner's CPU: one succeeds",
     .prepare = world_make_biased,
     .task = {release_it, release_it, take_and_keep},
     .cpu = {0, 0, 0},
     .check = one_of_two,
     .preemptions = 2},
    {.name = "owner_against_two_elsewhere_rseq",
     .says = "the owner's release and two that share the word together: one succeeds",
     .prepare = world_make_biased,
     .task = {release_it, release_it, defer_it, take_on_the_other_cpu},
     .cpu = {0, 1, 1, 0},
     .check = one_of_three,
     .preemptions = 2},
    {.name = "owner_pins_against_elsewhere_rseq",
     .says = "the owner's pin and a release elsewhere: what is pinned is not released",
     .prepare = world_make_biased,
     .task = {pin_it_and_check, release_unless_pinned, overwrite_the_next},
     .cpu = {0, 1, 1},
     .check = pinned_or_closed,
     .preemptions = 2},
    {.name = "owner_releases_against_pin_rseq",
     .says = "the owner's release and a pin elsewhere: what is released is not pinned",
     .prepare = world_make_biased,
     .task = {pin_it_and_check, release_unless_pinned, overwrite_the_next},
     .cpu = {1, 0, 0},
     .check = pinned_or_closed,
     .preemptions = 2},
    {.name = "owner_turns_against_elsewhere_rseq",
     .says = "the owner's pin, unpin and release, and a deferred release elsewhere: one succeeds",
     .prepare = world_make_biased,
     .task = {pin_it_and_release, defer_it, take_and_keep},
     .cpu = {0, 1, 0},
     .check = one_of_two,
     .preemptions = 2},
    {.name = "owner_turns_against_its_cpu_rseq",
     .says = "two pins, unpins and releases on the owner's CPU: one succeeds",
     .prepare = world_make_biased,
     .task = {pin_it_and_defer, pin_it_and_defer, take_and_keep},
     .cpu = {0, 0, 0},
     .check = one_of_two,
     .preemptions = 2},
    {.name = "owner_against_reset_rseq",
     .says = "the owner's release and a reset: the slab comes back once",
     .prepare = world_make_biased,
     .task = {release_it, reset_all},
     .cpu = {0, 1},
     .check = released_or_reset,
     .preemptions = 3},
    {.name = "owner_against_an_older_fence_rseq",
     .says = "a fence for one generation makes no word of the next one plain",
     .prepare = world_make_biased,
     .task = {release_the_first, release_and_go_on, release_the_second, release_the_second},
     .cpu = {1, 0, 1, 1},
     .check = one_of_the_second,
     .preemptions = 2}, /* its bug needs 3: 300,000 orders, which --full runs */
    {.name = "owner_against_secure_rseq",
     .says = "the owner's release while secure is switched on: its slab is zeroed by one or the other",
     .prepare = one_is_biased_and_secret,
     .task = {release_it, switch_secure_on_and_check},
     .cpu = {0, 1},
     .check = released_as_zeros,
     .preemptions = 4},
    {.name = "batch_owner_against_secure_rseq",
     .says = "the same of a release in a batch",
     .prepare = one_is_biased_and_secret,
     .task = {release_it_in_a_batch, switch_secure_on_and_check},
     .cpu = {0, 1},
     .check = released_as_zeros,
     .preemptions = 3,
     .more = 2},
    {.name = "owner_against_trim_rseq",
     .says = "the owner's release and the next owner beside a trim: no page goes from under anybody",
     .prepare = world_make_biased,
     .task = {release_it, trim, take_and_write},
     .cpu = {0, 1, 0},
     .check = released_and_others_out,
     .preemptions = 2},
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
     .task = {release_the_first, release_and_go_on, release_the_second, release_the_second},
     .cpu = {1, 0, 1, 1},
     .check = one_of_the_second,
     .preemptions = 2},
    {.name = NULL},
};
