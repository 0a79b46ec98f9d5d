/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Waiters: a release wakes one, a waiter that gives up loses nothing, none overtakes another. */
#include "scenarios.h"

#include "tasks.h"
#include "world.h"

#include "resilience/grants.h"
#include "resilience/listeners.h"

#include <malloc.h>

#define FOR_A_WHILE 1000000u

static void wait_and_pass_on(void) {
    wait_for_ever();
    world_release(world.ref[schedule_task()]);
}

static void wait_a_while(void) {
    slabby_status status = wait_for_one(FOR_A_WHILE);

    EXPECT(status == SLABBY_OK || status == SLABBY_TIMEOUT, "the wait answered %s", world_text(status));
}

static void wait_till_closed(void) {
    slabby_status status = wait_for_one(UINT64_MAX);

    EXPECT(status == SLABBY_OK || status == SLABBY_CLOSED, "the wait answered %s", world_text(status));
    if (status == SLABBY_OK)
        world_release(world.ref[schedule_task()]);
}

static void release_both(void) {
    world_release(world.held[0]);
    world_release(world.held[1]);
}

static void one_is_out_and_will_be_delayed(void) {
    world_make(64, 1, SLABBY_CPU_CACHE_BACKEND_PORTABLE, WITH({SLABBY_OPTION_REUSE_DELAY, 1}));
    world_take(1);
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

/* CPU 1 comes for the first time while somebody waits, and then has the slab that is waited for. */
static void come_and_release_first(void) {
    allocate_if_any();
    release_first();
}

static void all_are_out_and_one_cpu_is_late(void) {
    world_joins_late = true;
    world_make(64, 8, SLABBY_CPU_CACHE_BACKEND_RSEQ, NULL);
    world_joins_late = false;
    world_take(8);
}

static void all_is_over(void) {
    EXPECT(world.pool->first_waiter == NULL, "somebody is left in the queue");
    EXPECT(world.pool->phase == SLB_PHASE_DRAINED, "the last slab came back, and the pages did not go");
}

/* -------------------------------------------------------------------------------------------------- listeners */

static void one_is_out_and_heard(void) {
    one_is_out();
    world_listen();
}

/* The first ticket that was granted; 0 where none was. */
static slabby_ref take_granted(void) {
    uint64_t tickets[2], count = 0;
    slabby_ref refs[2];
    slabby_status status = slabby_wait_take(tickets, refs, NULL, &count, world.listener, 2);

    EXPECT(status == SLABBY_OK && count <= 1, "wait_take answered %s", world_text(status));
    if (count == 0)
        return 0;
    world_own(refs[0], world.pool->slabs);
    return refs[0];
}

static uint64_t draw(void) {
    uint64_t ticket = 0;
    slabby_status status = slabby_wait_begin(&ticket, world.listener, 0);

    EXPECT(status == SLABBY_OK, "wait_begin answered %s", world_text(status));
    return ticket;
}

/* As an event loop does: what is there already, then asleep until the notifier is signalled. */
static slabby_ref take_when_it_rings(void) {
    slabby_ref ref = take_granted();

    while (ref == 0) {
        schedule_access(&schedule_notifier_signals, ACCESS_READ, __builtin_return_address(0));
        if (schedule_notifier_signals == 0)
            (void)schedule_sleep(&schedule_notifier_signals, false);
        ref = take_granted();
    }
    return ref;
}

static void draw_and_take(void) {
    (void)draw();
    world_release(take_when_it_rings());
}

static void draw_and_cancel(void) {
    slabby_ref ref = 0;
    slabby_status status = slabby_wait_cancel(&ref, world.listener, draw());

    EXPECT(status == SLABBY_OK, "wait_cancel answered %s", world_text(status));
    if (ref != 0)
        world_own(ref, world.pool->slabs);
}

static void no_slab_is_left(void) {
    EXPECT(take_granted() == 0, "a cancelled ticket was granted");
    no_waiters();
}

/* ------------------------------------------------------------------------------------------------- revocations */

static uint64_t first_ticket;

/* One slab, granted to the listener a while ago: what the listener allows is over. The clock of the schedules stands
 * still, so the grant is made older; no thread of the core's may run, so the timeout is set past the API. */
static void one_is_granted_too_long(void) {
    struct slb_waiter *waiter;

    world_make(64, 1, SLABBY_CPU_CACHE_BACKEND_PORTABLE, NULL);
    world_listen();
    first_ticket = draw();
    waiter = world.listener->granted.first;
    EXPECT(waiter != NULL, "a free slab was not granted");
    schedule_restores(world.listener->tickets.chunks[0],
                      malloc_usable_size(world.listener->tickets.chunks[0]));
    waiter->granted_ns -= 1000;
    world.listener->timeout_ns = 1000;
    world.pool->grant_timeouts = 1;
}

static void own_granted(slabby_ref ref) {
    world.ref[schedule_task()] = ref;
    if (ref != 0)
        world_own(ref, world.pool->slabs);
}

static void take_or_learn(void) {
    uint64_t ticket = 0, count = 0;
    slabby_ref ref = 0;
    slabby_status status = slabby_wait_take(&ticket, &ref, NULL, &count, world.listener, 1);

    EXPECT(status == SLABBY_OK && count == 1 && ticket == first_ticket, "the ticket was not heard of");
    own_granted(ref);
}

static void cancel_first(void) {
    slabby_ref ref = 0;
    slabby_status status = slabby_wait_cancel(&ref, world.listener, first_ticket);

    EXPECT(status == SLABBY_OK, "wait_cancel answered %s", world_text(status));
    own_granted(ref);
}

/* Entitled to the slab where nobody took it in time. */
static void allocate_what_was_late(void) {
    slabby_status status;

    world.ref[schedule_task()] = world_allocate(&status);
    EXPECT(status == SLABBY_OK || status == SLABBY_OUT_OF_MEMORY, "allocate answered %s", world_text(status));
}

static void destroy_listener(void) {
    EXPECT(slabby_listener_destroy(world.listener) == SLABBY_OK, "destroy failed");
}

static void revoke(void) {
    (void)slb_grants_revoke(world.pool);
}

static void one_of_two_has_it(void) {
    EXPECT((world.ref[0] != 0) + (world.ref[1] != 0) == 1, "the slab has no owner, or two");
    no_waiters();
}

static void it_is_free(void) {
    EXPECT(world.pool->listeners == NULL, "the listener is still the pool's");
    no_waiters();
}

const struct scenario waiting_scenarios[] = {
    {.name = "open_against_wait",
     .says = "a slab comes back while somebody begins to wait: it is served",
     .prepare = one_is_out,
     .task = {wait_for_ever, release_first},
     .cpu = {0, 1},
     .check = no_waiters,
     .preemptions = 4},
    {.name = "delay_against_wait",
     .says = "a slab begins to wait for its reuse while somebody begins to wait for a slab",
     .prepare = one_is_out_and_will_be_delayed,
     .task = {wait_for_ever, release_first},
     .cpu = {0, 1},
     .check = no_waiters,
     .preemptions = 4},
    {.name = "cache_against_wait",
     .says = "a slab on its way into a CPU cache while somebody begins to wait",
     .prepare = all_are_out_portable,
     .task = {wait_for_ever, release_first},
     .cpu = {0, 1},
     .check = no_waiters,
     .preemptions = 4},
    {.name = "cache_against_wait_rseq",
     .says = "the same with restartable sequences",
     .prepare = all_are_out_rseq,
     .task = {wait_for_ever, release_first},
     .cpu = {0, 1},
     .check = no_waiters,
     .preemptions = 3},
    {.name = "join_against_wait_rseq",
     .says = "the cache of a CPU that comes while somebody waits is locked, or not used",
     .prepare = all_are_out_and_one_cpu_is_late,
     .task = {wait_for_ever, come_and_release_first},
     .cpu = {0, 1},
     .check = no_waiters,
     .preemptions = 1,
     .more = 2},
    {.name = "wait_and_allocate",
     .says = "a plain allocate beside a waiter: what it got comes back to the waiter",
     .prepare = one_is_out,
     .task = {wait_for_ever, release_first, allocate_if_any},
     .cpu = {0, 1, 1},
     .check = no_waiters,
     .preemptions = 1},
    {.name = "two_waiters",
     .says = "two wait, one slab passes from hand to hand",
     .prepare = one_is_out,
     .task = {wait_and_pass_on, wait_and_pass_on, release_first},
     .cpu = {0, 1, 1},
     .check = no_waiters,
     .preemptions = 1},
    {.name = "two_releases_two_waiters",
     .says = "two wait, two come back",
     .prepare = two_are_out,
     .task = {wait_for_ever, wait_for_ever, release_both},
     .cpu = {0, 1, 1},
     .check = no_waiters,
     .preemptions = 1},
    {.name = "timeout_against_release",
     .says = "a wait that ends as the slab comes: granted or free, never lost",
     .prepare = one_is_out,
     .task = {wait_a_while, release_first},
     .cpu = {0, 1},
     .check = no_waiters,
     .preemptions = 3,
     .time_passes = true},
    {.name = "close_against_wait",
     .says = "close while somebody waits and the slab comes back",
     .prepare = one_is_out,
     .task = {wait_till_closed, release_first, close_pool},
     .cpu = {0, 1, 1},
     .check = all_is_over,
     .preemptions = 1},
    {.name = "notifier_against_release",
     .says = "a slab comes back while a ticket is drawn: the notifier is signalled, and the loop has it",
     .prepare = one_is_out_and_heard,
     .task = {draw_and_take, release_first},
     .cpu = {0, 1},
     .check = no_waiters,
     .preemptions = 3},
    {.name = "notifier_against_wait",
     .says = "a ticket and a thread wait for one slab, and both have it in turn",
     .prepare = one_is_out_and_heard,
     .task = {draw_and_take, wait_and_pass_on, release_first},
     .cpu = {0, 1, 1},
     .check = no_waiters,
     .preemptions = 1},
    {.name = "cancel_against_release",
     .says = "a ticket cancelled as the slab comes: its reference or a free slab, never lost",
     .prepare = one_is_out_and_heard,
     .task = {draw_and_cancel, release_first},
     .cpu = {0, 1},
     .check = no_slab_is_left,
     .preemptions = 3},
    {.name = "revocation_against_take",
     .says = "a grant is revoked as it is taken: the slab has one owner, and the loop hears of its ticket",
     .prepare = one_is_granted_too_long,
     .task = {take_or_learn, allocate_what_was_late},
     .cpu = {0, 1},
     .check = one_of_two_has_it,
     .preemptions = 3},
    {.name = "revocation_against_cancel",
     .says = "a grant is revoked as its ticket is cancelled: the slab has one owner",
     .prepare = one_is_granted_too_long,
     .task = {cancel_first, allocate_what_was_late},
     .cpu = {0, 1},
     .check = one_of_two_has_it,
     .preemptions = 3},
    {.name = "revocation_against_destroy",
     .says = "a grant is revoked as its listener is destroyed: the slab goes back once",
     .prepare = one_is_granted_too_long,
     .task = {destroy_listener, revoke},
     .cpu = {0, 1},
     .check = it_is_free,
     .preemptions = 3},
    {.name = NULL},
};
