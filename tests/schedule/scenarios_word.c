/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Races for a slab's word: of several releases one succeeds, a pin forbids release, a deferred release happens once. */
#include "scenarios.h"

#include "world.h"

/* No CPU caches, so that every slab moves through the shards. */
static void one_of_two_is_out(void) {
    world_make(64, 2, SLABBY_CPU_CACHE_BACKEND_PORTABLE, NULL);
    world_take(1);
}

/* ------------------------------------------------------------------------------- release against release */

static void release_the_same(void) {
    world.status[schedule_task()] = slabby_release(world.pool, world.held[0]);
    if (world.status[schedule_task()] == SLABBY_OK)
        world.out[0] = 0;
}

static void defer_the_same(void) {
    world.status[schedule_task()] = slabby_release_deferred(world.pool, world.held[0]);
    if (world.status[schedule_task()] == SLABBY_OK)
        world.out[0] = 0;
}

/* Takes whatever comes free, twice, and keeps it. A slab may be had as soon as its word says free, before its releaser
 * knows: that is why ownership of slab 0 is not asserted through world_own here. */
static void take_two(void) {
    for (int i = 0; i < 2; i++) {
        slabby_ref ref;
        slabby_status status = slabby_allocate(&ref, NULL, world.pool);

        EXPECT(status == SLABBY_OK || status == SLABBY_OUT_OF_MEMORY, "allocate answered %s",
               world_text(status));
        if (status == SLABBY_OK)
            world.ref[i] = ref;
    }
}

static void one_release_succeeded(void) {
    slabby_status first = world.status[0], second = world.status[1];

    EXPECT((first == SLABBY_OK) + (second == SLABBY_OK) == 1, "two releases of one reference: %s, %s",
           world_text(first), world_text(second));
    EXPECT(first + second == SLABBY_DOUBLE_DEALLOCATION, "the other release: %s, %s", world_text(first),
           world_text(second));
    world.out[0] = 0;
    for (int i = 0; i < 2; i++)
        if (world.ref[i] != 0) {
            EXPECT(slabby_is_valid(world.pool, world.ref[i]),
                   "a stale release took a slab from its next owner");
            world.out[(world.ref[i] - world.pool->ref_bias) & world.pool->id_mask] = world.ref[i];
        }
    world_check();
}

/* ----------------------------------------------------------------------------------- pin against release */

static void pin_and_read(void) {
    slabby_status status = slabby_pin(world.pool, world.held[0]);

    world.status[0] = status;
    if (status != SLABBY_OK) {
        EXPECT(status == SLABBY_USE_AFTER_FREE, "pin answered %s", world_text(status));
        return;
    }
    EXPECT(!world_flag(1), "a released slab was pinned");
    EXPECT(world_read(world.pool->slabs) == world.held[0], "a pinned slab was used by another");
    status = slabby_unpin(world.pool, world.held[0]);
    EXPECT(status == SLABBY_OK, "unpin answered %s", world_text(status));
}

static void release_once(void) {
    slabby_status status = slabby_release(world.pool, world.held[0]);

    EXPECT(status == SLABBY_OK || status == SLABBY_PINNED, "release answered %s", world_text(status));
    if (status == SLABBY_OK)
        world_set_flag();
}

static void overwrite_what_is_free(void) {
    for (int i = 0; i < 2; i++) {
        slabby_ref ref;
        void *data;

        if (slabby_allocate(&ref, &data, world.pool) == SLABBY_OK) {
            world_write(data, ref);
            world.ref[i] = ref;
        }
    }
}

static void pinned_or_released(void) {
    if (world.flag[1])
        world.out[0] = 0;
    EXPECT(world.flag[1] || world.status[0] == SLABBY_OK, "neither the pin nor the release succeeded");
    for (int i = 0; i < 2; i++)
        if (world.ref[i] != 0)
            world.out[(world.ref[i] - world.pool->ref_bias) & world.pool->id_mask] = world.ref[i];
    world_check();
}

/* ------------------------------------------------------------------------------- unpin against deferred */

static void one_is_pinned(void) {
    one_of_two_is_out();
    EXPECT(slabby_pin(world.pool, world.held[0]) == SLABBY_OK, "prepare cannot pin");
}

static void unpin(void) {
    slabby_status status = slabby_unpin(world.pool, world.held[0]);

    EXPECT(status == SLABBY_OK, "unpin answered %s", world_text(status));
}

static void defer(void) {
    slabby_status status = slabby_release_deferred(world.pool, world.held[0]);

    EXPECT(status == SLABBY_OK, "release_deferred answered %s", world_text(status));
}

static void pin_in_passing(void) {
    slabby_status status = slabby_pin(world.pool, world.held[0]);

    if (status == SLABBY_OK)
        status = slabby_unpin(world.pool, world.held[0]);
    EXPECT(status == SLABBY_OK || status == SLABBY_USE_AFTER_FREE, "pin answered %s", world_text(status));
}

static void slab_came_back_once(void) {
    world.out[0] = 0;
    world_check();
}

/* ------------------------------------------------------------------------------ quarantine against reclaim */

static void one_is_overrun(void) {
    world_make(64, 2, SLABBY_CPU_CACHE_BACKEND_PORTABLE, WITH({SLABBY_OPTION_BIT_GUARD, 1}));
    world_take(1);
    world.pool->slabs[64] ^= 1;
}

static void release_overrun(void) {
    slabby_status status = slabby_release(world.pool, world.held[0]);

    EXPECT(status == SLABBY_MEMORY_CORRUPTION, "release answered %s", world_text(status));
    world.out[0] = 0;
}

static void reclaim(void) {
    EXPECT(slabby_reclaim(NULL, world.pool) == SLABBY_OK, "reclaim failed");
}

static void quarantine_is_news(void) {
    slabby_stats stats = {.struct_size = sizeof stats};
    slabby_health health = {.struct_size = sizeof health};

    EXPECT(slabby_get_stats(&stats, world.pool) == SLABBY_OK, "get_stats failed");
    EXPECT(slabby_get_health(&health, world.pool) == SLABBY_OK, "get_health failed");
    EXPECT(stats.quarantined_slabs == 0 || health.unacknowledged_corruptions != 0,
           "a slab is in quarantine, and its corruption is acknowledged");
    reclaim();
    world_check();
}

const struct scenario word_scenarios[] = {
    {.name = "release_against_release",
     .says = "of two releases one succeeds, and the slab's next owner keeps it",
     .prepare = one_of_two_is_out,
     .task = {release_the_same, release_the_same, take_two},
     .cpu = {0, 1, 1},
     .check = one_release_succeeded,
     .preemptions = 2},
    {.name = "release_against_deferred",
     .says = "a release and a deferred one: one succeeds",
     .prepare = one_of_two_is_out,
     .task = {release_the_same, defer_the_same, take_two},
     .cpu = {0, 1, 1},
     .check = one_release_succeeded,
     .preemptions = 2},
    {.name = "pin_against_release",
     .says = "what is pinned is not released, what is released is not pinned",
     .prepare = one_of_two_is_out,
     .task = {pin_and_read, release_once, overwrite_what_is_free},
     .cpu = {0, 1, 1},
     .check = pinned_or_released,
     .preemptions = 2},
    {.name = "unpin_against_deferred",
     .says = "the last unpin carries out a deferred release, once",
     .prepare = one_is_pinned,
     .task = {unpin, defer, pin_in_passing},
     .cpu = {0, 1, 1},
     .check = slab_came_back_once,
     .preemptions = 4},
    {.name = "corruption_against_reclaim",
     .says = "a reclaim acknowledges the corruption of a slab that it reclaims, not of one that it leaves",
     .prepare = one_is_overrun,
     .task = {release_overrun, reclaim},
     .cpu = {0, 1},
     .check = quarantine_is_news,
     .preemptions = 4},
    {.name = NULL},
};
