/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "round.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef SLABBY_TEST_HOOKS
#include "disturb.h"
#include "test_hooks.h"
#endif

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* ------------------------------------------------------------------------------------------------ handlers */

/* Whose pool the handlers use. Set while no timer runs. */
static struct round *interrupted;
static _Thread_local timer_t own_timer;
static _Thread_local struct itimerspec own_wait; /* zero: no timer */

/* The next signal comes behind the handler: on a busy machine, where a handler takes longer than a period, the thread
 * would do nothing else. */
static void wait_again(void) {
    if (own_wait.it_value.tv_nsec != 0)
        (void)timer_settime(own_timer, 0, &own_wait, NULL);
}

/* With a credit in hand a handler gets a slab, or Busy where it interrupted its own thread. Its release always
 * succeeds, unless somebody has reset the pool. */
static void use_the_pool(int number) {
    int stored = errno;
    struct round *round = interrupted;
    slabby_ref ref = 0;
    slabby_status status;

    (void)number;
    atomic_fetch_add_explicit(&round->counts.handled, 1, memory_order_relaxed);
    if (!round_take_credits(round, 1)) {
        wait_again();
        return;
    }
    status = slabby_allocate(&ref, NULL, round->pool);
    if (status == SLABBY_OK) {
        atomic_fetch_add_explicit(&round->counts.allocated, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&round->counts.handler_served, 1, memory_order_relaxed);
        status = slabby_release(round->pool, ref);
        atomic_fetch_add_explicit(status == SLABBY_OK ? &round->counts.released : &round->counts.stale, 1,
                                  memory_order_relaxed);
        if (status != SLABBY_OK &&
            (status != SLABBY_DOUBLE_DEALLOCATION || round->plan.demand != ROUND_RESETS))
            round_complain(round, "release in a handler: %s", slabby_status_name(status));
    } else if (status != SLABBY_BUSY &&
               (status != SLABBY_OUT_OF_MEMORY || round->plan.demand != ROUND_GREED)) {
        round_complain(round, "allocate in a handler: %s", slabby_status_name(status));
    }
    round_give_credits(round, 1);
    wait_again();
    errno = stored;
}

void round_catch_signals(struct round *round) {
    struct sigaction action;

    interrupted = round;
    memset(&action, 0, sizeof action);
    action.sa_handler = use_the_pool;
    action.sa_flags = SA_RESTART;
    assert_int_equal(sigaction(SIGRTMIN, &action, NULL), 0);
}

int round_start_timer(struct round *round, uint64_t random) {
    struct sigevent event;
    struct itimerspec when;

    memset(&event, 0, sizeof event);
    memset(&when, 0, sizeof when);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGRTMIN;
    event.sigev_notify_thread_id = gettid();
    when.it_value.tv_nsec = 100000 + (long)(random % 400000);
    if (timer_create(CLOCK_MONOTONIC, &event, &own_timer) == 0) {
        own_wait = when;
        if (timer_settime(own_timer, 0, &when, NULL) == 0)
            return 1;
        own_wait.it_value.tv_nsec = 0;
        (void)timer_delete(own_timer);
    }
    round_complain(round, "no timer: error %d", errno);
    return 0;
}

void round_stop_timer(struct round *round) {
    own_wait.it_value.tv_nsec = 0;
    if (timer_delete(own_timer) != 0)
        round_complain(round, "a timer stays: error %d", errno);
}

/* ---------------------------------------------------------------------------------------------- disturbance */

#ifdef SLABBY_TEST_HOOKS

void round_disturb(int enabled) {
    disturb(enabled);
}

static void cycle_gate(struct round *round) {
    slb_test_gate_cycle(round->pool);
}

#else

/* The library as users have it has no named windows; trim closes the gate and drains. */
void round_disturb(int enabled) {
    (void)enabled;
}

static void cycle_gate(struct round *round) {
    slabby_status status = slabby_trim(NULL, round->pool);

    if (status != SLABBY_OK && status != SLABBY_BUSY)
        round_complain(round, "trim as a gate cycle: %s", slabby_status_name(status));
}

#endif

/* -------------------------------------------------------------------------------------------------- disturbance */

static void expect(struct round *round, slabby_status status, slabby_status other, const char *what) {
    if (status != SLABBY_OK && status != other)
        round_complain(round, "%s: %s", what, slabby_status_name(status));
}

/* Counters never go backwards. */
static void read_counters(struct round *round, slabby_stats *before) {
    slabby_stats now = {.struct_size = sizeof now};

    expect(round, slabby_get_stats(&now, round->pool), SLABBY_OK, "stats");
    if (now.total_allocations < before->total_allocations ||
        now.total_deallocations < before->total_deallocations)
        round_complain(round, "a counter went backwards: %llu, %llu",
                       (unsigned long long)now.total_allocations,
                       (unsigned long long)now.total_deallocations);
    if (now.used_slabs > round->plan.capacity)
        round_complain(round, "%llu slabs used", (unsigned long long)now.used_slabs);
    *before = now;
}

static void walk_live(struct round *round) {
    slabby_live live = {.struct_size = sizeof live};
    uint64_t cursor = 0, count = 1, seen = 0;

    while (count != 0 && seen++ <= round->plan.capacity)
        expect(round, slabby_live_next(&live, &count, &cursor, round->pool), SLABBY_OK, "live");
    if (seen > round->plan.capacity + 1)
        round_complain(round, "more live slabs than there are");
}

#define VERIFY_TIMES 10

/* A thread that got no CPU for a second in the middle of a release makes its slab look lost, and verify says that it
 * cannot tell the two apart. What is lost stays lost, so only what is found every time counts. */
static void verify(struct round *round) {
    slabby_finding found[4] = {0};
    uint64_t findings = 1;

    found[0].struct_size = sizeof found[0];
    for (int i = 0; i < VERIFY_TIMES && findings != 0; i++)
        expect(round, slabby_verify(found, &findings, round->pool, 4), SLABBY_OK, "verify");
    if (findings != 0)
        round_complain(round, "verify found %llu things every time: %s; %s; %s; %s",
                       (unsigned long long)findings, found[0].text, found[1].text, found[2].text,
                       found[3].text);
}

static void change_something(struct round *round, uint64_t roll) {
    int64_t secure = (int64_t)(roll >> 8 & 1);

    switch (roll % 4) {
    case 0:
        expect(round, slabby_trim(NULL, round->pool), SLABBY_BUSY, "trim");
        break;
    case 1:
        verify(round);
        break;
    case 2:
        expect(round, slabby_set_option(round->pool, SLABBY_OPTION_SECURE, secure, NULL), SLABBY_BUSY,
               "option secure");
        break;
    default:
        expect(round,
               slabby_set_option(round->pool, SLABBY_OPTION_LATENCY_TRACKING, (int64_t)(roll >> 8) % 3, NULL),
               SLABBY_OK, "option latency_tracking");
    }
}

static void disturb_once(struct round *round, uint64_t roll, slabby_stats *before) {
    uint64_t kind = roll % 32;

    if (kind < 12) {
        cycle_gate(round);
        atomic_fetch_add(&round->counts.drains, 1);
    } else if (kind < 14) {
        change_something(round, roll >> 8);
    } else if (kind < 16) {
        walk_live(round);
    } else if (kind == 16 && round->plan.demand == ROUND_RESETS) {
        slabby_status status = slabby_reset(round->pool);

        expect(round, status, SLABBY_PINNED, "reset");
        atomic_fetch_add(&round->counts.resets, status == SLABBY_OK);
    } else if (kind < 20) {
        read_counters(round, before);
    } else {
        sleep_ns((roll >> 16) % 300000);
    }
}

void *round_make_disturbance(void *argument) {
    struct round *round = argument;
    uint64_t random = round->plan.seed ^ 0x77EA74E5u;
    slabby_stats before = {.struct_size = sizeof before};

    while (!atomic_load(&round->over))
        disturb_once(round, random_next(&random), &before);
    return NULL;
}
