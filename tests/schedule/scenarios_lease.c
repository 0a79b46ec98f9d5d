/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A binding's own code that takes slabs from a lease and gives them to it, without a call into the core, while the core
 * drains, refills and locks it. tests/support/lease_user.c does what go/lease.go does; task 0 is the user, on its P. */
#include "scenarios.h"

#include "lease_user.h"
#include "tasks.h"
#include "world.h"

#include "tiers/lease.h"

static struct lease_user user;

/* ------------------------------------------------------------------------------------------------ preparing */

static void attach(uint64_t count) {
    uint64_t leases;
    slabby_status status = slabby_lease_attach(&leases, world.pool, count, SLABBY_LEASE_LAYOUT);

    EXPECT(status == SLABBY_OK, "attaching leases answered %s", world_text(status));
    user = (struct lease_user){.pool = world.pool, .lease = leases};
    user.view.struct_size = sizeof user.view;
    EXPECT(slabby_view(&user.view, world.pool) == SLABBY_OK, "no view");
}

/* Magazines for two. All 32 slabs are out, but `given` of them are in the lease. */
static void lease_holds(uint32_t given) {
    world_make(64, 32, SLABBY_CPU_CACHE_BACKEND_PORTABLE, NULL);
    world_take(32);
    attach(1);
    struct slb_lease_block *block = world.pool->leases;
    schedule_restores(block, block->mapping);
    schedule_restores(&user, sizeof user);
    EXPECT(lease_max(user.lease) == 2, "a magazine holds %u", lease_max(user.lease));
    for (uint32_t i = 0; i < given; i++) {
        world_disown(world.held[31 - i]);
        EXPECT(lease_user_release(&user, world.held[31 - i]) == SLABBY_OK, "the lease took no slab");
    }
    EXPECT((atomic_load(lease_header(user.lease)) & LEASE_LOCKED) == given, "the lease does not hold %u",
           given);
}

static void lease_is_empty(void) {
    lease_holds(0);
}

static void lease_holds_one(void) {
    lease_holds(1);
}

static void lease_holds_two(void) {
    lease_holds(2);
}

/* Two are free, in a shard. */
static void lease_is_empty_beside_two(void) {
    lease_holds(0);
    world_release(world.held[31]);
    world_release(world.held[30]);
    world_flush();
}

/* The binding has a share, so that words and leases stay mapped. The pages go with the last slab. */
static void lease_of_an_owner(void) {
    world_make(64, 32, SLABBY_CPU_CACHE_BACKEND_PORTABLE, NULL);
    world_take(1);
    EXPECT(slabby_retain(world.pool) == SLABBY_OK, "retain failed");
    attach(1);
    struct slb_lease_block *block = world.pool->leases;
    schedule_restores(block, block->mapping);
    schedule_restores(&user, sizeof user);
    world_disown(world.held[0]);
    EXPECT(lease_user_release(&user, world.held[0]) == SLABBY_OK, "the lease took no slab");
}

/* ---------------------------------------------------------------------------------------------------- tasks */

static void own(slabby_ref ref) {
    world_own(ref,
              world.pool->slabs + ((ref - world.pool->ref_bias) & world.pool->id_mask) * world.pool->stride);
}

static void lease_release(slabby_ref ref) {
    world_disown(ref);
    slabby_status status = lease_user_release(&user, ref);
    EXPECT(status == SLABBY_OK, "a release answered %s", world_text(status));
}

static slabby_ref lease_allocate(void) {
    slabby_ref ref = 0;
    slabby_status status = lease_user_allocate(&user, &ref);

    EXPECT(status == SLABBY_OK, "allocate answered %s although a slab is free", world_text(status));
    own(ref);
    return ref;
}

static void lease_allocate_and_keep(void) {
    (void)lease_allocate();
}

static void lease_allocate_and_release(void) {
    lease_release(lease_allocate());
}

/* Another thread of the binding that takes beside the user, without its lock, and gives nothing. */
static void take_beside_the_user(void) {
    struct lease_user other = user;
    slabby_ref ref = 0;
    slabby_status status = lease_user_allocate(&other, &ref);

    EXPECT(status == SLABBY_OK, "allocate answered %s although a slab is free", world_text(status));
    own(ref);
}

static void lease_release_first(void) {
    lease_release(world.held[0]);
}

static void allocate_two_and_keep(void) {
    allocate_and_keep();
    allocate_and_keep();
}

static void lease_detach(void) {
    EXPECT(slabby_lease_detach(world.pool, user.lease) == SLABBY_OK, "detach failed");
}

/* As where GOMAXPROCS grew: the old lease stays attached, and holds what it holds. */
static void attach_more_and_allocate(void) {
    attach(2);
    lease_allocate_and_release();
}

/* As allocate_against_close of scenarios_ending.c. */
static void lease_allocate_against_close(void) {
    bool over = world_flag(1);
    slabby_ref ref = 0;
    slabby_status status = lease_user_allocate(&user, &ref);

    EXPECT(status == SLABBY_OK || status == SLABBY_CLOSED, "allocate answered %s", world_text(status));
    EXPECT(status == SLABBY_CLOSED || !over, "a closed pool handed out a slab");
    if (status != SLABBY_OK)
        return;
    own(ref);
    lease_release(ref);
}

const struct scenario lease_scenarios[] = {
    {.name = "lease_against_drain",
     .says = "the user takes and gives while another takes what the lease holds",
     .prepare = lease_holds_two,
     .task = {lease_allocate_and_release, allocate_and_keep},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 3},
    {.name = "lease_takes_beside_the_user",
     .says = "the user takes and gives while another thread takes from its lease: each slab has one owner",
     .prepare = lease_holds_two,
     .task = {lease_allocate_and_release, take_beside_the_user},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 4},
    {.name = "lease_takes_against_drain",
     .says = "the user gives and another takes while the gate closes and opens",
     .prepare = lease_holds_one,
     .task = {lease_release_first, take_beside_the_user, close_and_open},
     .cpu = {0, 1, 0},
     .check = world_check,
     .preemptions = 2},
    {.name = "lease_take_against_lock",
     .says = "a take is served by the lease or sees its lock, and the slab is in one place",
     .prepare = lease_holds_one,
     .task = {lease_allocate_and_keep, close_and_open},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 4},
    {.name = "lease_give_against_lock",
     .says = "a slab that is given as the gate locks the lease is not lost",
     .prepare = lease_holds_one,
     .task = {lease_release_first, close_and_open},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 4},
    {.name = "lease_refill_against_drain",
     .says = "a batch on its way into the lease is not taken for gone",
     .prepare = lease_is_empty_beside_two,
     .task = {lease_allocate_and_keep, allocate_and_keep},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 3},
    {.name = "lease_flush_against_drain",
     .says = "nor is one on its way out of a full lease",
     .prepare = lease_holds_two,
     .task = {lease_release_first, allocate_two_and_keep},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 3},
    {.name = "lease_release_against_secure",
     .says = "once secure is on, no slab that a lease's user released comes with its last owner's bytes",
     .prepare = lease_is_empty,
     .task = {lease_release_first, switch_and_expect_zeros},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 3},
    {.name = "lease_detach_against_drain",
     .says = "what a detached lease held is had by another",
     .prepare = lease_holds_one,
     .task = {lease_detach, allocate_and_keep},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 4},
    {.name = "lease_attach_against_drain",
     .says = "more leases come while the gate closes; what the old one holds is found",
     .prepare = lease_holds_two,
     .task = {attach_more_and_allocate, allocate_and_keep},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 2},
    {.name = "lease_against_close",
     .says = "a closed pool hands nothing out by a lease, and its pages go with the last slab",
     .prepare = lease_of_an_owner,
     .task = {lease_allocate_against_close, close_pool},
     .cpu = {0, 1},
     .check = pages_are_unmapped,
     .preemptions = 3},
    {.name = NULL},
};
