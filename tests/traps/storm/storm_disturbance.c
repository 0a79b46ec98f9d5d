/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "storm.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef SLABBY_TEST_HOOKS
#include "test_hooks.h"
#endif

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

uint64_t storm_now_ns(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ------------------------------------------------------------------------------------------------ handlers */

/* Whose pool the handlers use. Set while no timer runs. */
static struct storm *stormed;
static _Thread_local timer_t own_timer;

/* With a credit in hand a handler gets a slab, or Busy where it interrupted its own thread. Its release always
 * succeeds, unless somebody has reset the pool. */
static void use_the_pool(int number) {
    int stored = errno;
    struct storm *storm = stormed;
    slabby_ref ref = 0;
    slabby_status status;

    (void)number;
    atomic_fetch_add_explicit(&storm->counts.handled, 1, memory_order_relaxed);
    if (!storm_take_credits(storm, 1))
        return;
    status = slabby_allocate(&ref, NULL, storm->pool);
    if (status == SLABBY_OK) {
        atomic_fetch_add_explicit(&storm->counts.allocated, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&storm->counts.handler_served, 1, memory_order_relaxed);
        status = slabby_release(storm->pool, ref);
        atomic_fetch_add_explicit(status == SLABBY_OK ? &storm->counts.released : &storm->counts.stale, 1,
                                  memory_order_relaxed);
        if (status != SLABBY_OK &&
            (status != SLABBY_DOUBLE_DEALLOCATION || storm->plan.demand != STORM_RESETS))
            storm_complain(storm, "release in a handler: %s", slabby_status_name(status));
    } else if (status != SLABBY_BUSY &&
               (status != SLABBY_OUT_OF_MEMORY || storm->plan.demand != STORM_GREED)) {
        storm_complain(storm, "allocate in a handler: %s", slabby_status_name(status));
    }
    storm_give_credits(storm, 1);
    errno = stored;
}

void storm_catch_signals(struct storm *storm) {
    struct sigaction action;

    stormed = storm;
    memset(&action, 0, sizeof action);
    action.sa_handler = use_the_pool;
    action.sa_flags = SA_RESTART;
    assert_int_equal(sigaction(SIGRTMIN, &action, NULL), 0);
}

int storm_start_timer(struct storm *storm, uint64_t random) {
    struct sigevent event;
    struct itimerspec when;

    memset(&event, 0, sizeof event);
    memset(&when, 0, sizeof when);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGRTMIN;
    event.sigev_notify_thread_id = gettid();
    when.it_interval.tv_nsec = 50000 + (long)(random % 400000);
    when.it_value = when.it_interval;
    if (timer_create(CLOCK_MONOTONIC, &event, &own_timer) == 0) {
        if (timer_settime(own_timer, 0, &when, NULL) == 0)
            return 1;
        (void)timer_delete(own_timer);
    }
    storm_complain(storm, "no timer: error %d", errno);
    return 0;
}

void storm_stop_timer(struct storm *storm) {
    if (timer_delete(own_timer) != 0)
        storm_complain(storm, "a timer stays: error %d", errno);
}

/* ---------------------------------------------------------------------------------------------- disturbance */

#ifdef SLABBY_TEST_HOOKS

/* Preempts at random at the core's named race windows. */
static void preempt(int point) {
    static _Thread_local uint64_t state;
    uint64_t roll = random_next(&state) ^ (uint64_t)point;

    if (roll % 16 == 0)
        sched_yield();
    if (roll % 1024 == 1) {
        struct timespec pause = {.tv_sec = 0, .tv_nsec = (long)(roll >> 32 & 0x1FFFF)};

        nanosleep(&pause, NULL);
    }
}

void storm_disturb(int enabled) {
    __atomic_store_n(&slb_test_point, enabled ? preempt : NULL, __ATOMIC_RELAXED);
}

static void cycle_gate(struct storm *storm) {
    slb_test_gate_cycle(storm->pool);
}

#else

/* The library as users have it has no named windows; trim closes the gate and drains. */
void storm_disturb(int enabled) {
    (void)enabled;
}

static void cycle_gate(struct storm *storm) {
    slabby_status status = slabby_trim(NULL, storm->pool);

    if (status != SLABBY_OK && status != SLABBY_BUSY)
        storm_complain(storm, "trim as a gate cycle: %s", slabby_status_name(status));
}

#endif

/* -------------------------------------------------------------------------------------------------- weather */

static void expect(struct storm *storm, slabby_status status, slabby_status other, const char *what) {
    if (status != SLABBY_OK && status != other)
        storm_complain(storm, "%s: %s", what, slabby_status_name(status));
}

/* Counters never go backwards. */
static void read_counters(struct storm *storm, slabby_stats *before) {
    slabby_stats now = {.struct_size = sizeof now};

    expect(storm, slabby_get_stats(&now, storm->pool), SLABBY_OK, "stats");
    if (now.total_allocations < before->total_allocations ||
        now.total_deallocations < before->total_deallocations)
        storm_complain(storm, "a counter went backwards: %llu, %llu",
                       (unsigned long long)now.total_allocations,
                       (unsigned long long)now.total_deallocations);
    if (now.used_slabs > storm->plan.capacity)
        storm_complain(storm, "%llu slabs used", (unsigned long long)now.used_slabs);
    *before = now;
}

static void walk_live(struct storm *storm) {
    slabby_live live = {.struct_size = sizeof live};
    uint64_t cursor = 0, count = 1, seen = 0;

    while (count != 0 && seen++ <= storm->plan.capacity)
        expect(storm, slabby_live_next(&live, &count, &cursor, storm->pool), SLABBY_OK, "live");
    if (seen > storm->plan.capacity + 1)
        storm_complain(storm, "more live slabs than there are");
}

#define VERIFY_TIMES 10

/* A thread that got no CPU for a second in the middle of a release makes its slab look lost, and verify says that it
 * cannot tell the two apart. What is lost stays lost, so only what is found every time counts. */
static void verify(struct storm *storm) {
    slabby_finding found[4] = {0};
    uint64_t findings = 1;

    found[0].struct_size = sizeof found[0];
    for (int i = 0; i < VERIFY_TIMES && findings != 0; i++)
        expect(storm, slabby_verify(found, &findings, storm->pool, 4), SLABBY_OK, "verify");
    if (findings != 0)
        storm_complain(storm, "verify found %llu things every time: %s; %s; %s; %s",
                       (unsigned long long)findings, found[0].text, found[1].text, found[2].text,
                       found[3].text);
}

static void change_something(struct storm *storm, uint64_t roll) {
    int64_t secure = (int64_t)(roll >> 8 & 1);

    switch (roll % 4) {
    case 0:
        expect(storm, slabby_trim(NULL, storm->pool), SLABBY_BUSY, "trim");
        break;
    case 1:
        verify(storm);
        break;
    case 2:
        expect(storm, slabby_set_option(storm->pool, SLABBY_OPTION_SECURE, secure, NULL), SLABBY_BUSY,
               "option secure");
        break;
    default:
        expect(storm,
               slabby_set_option(storm->pool, SLABBY_OPTION_LATENCY_TRACKING, (int64_t)(roll >> 8) % 3, NULL),
               SLABBY_OK, "option latency_tracking");
    }
}

static void blow(struct storm *storm, uint64_t roll, slabby_stats *before) {
    uint64_t kind = roll % 32;

    if (kind < 12) {
        cycle_gate(storm);
        atomic_fetch_add(&storm->counts.drains, 1);
    } else if (kind < 14) {
        change_something(storm, roll >> 8);
    } else if (kind < 16) {
        walk_live(storm);
    } else if (kind == 16 && storm->plan.demand == STORM_RESETS) {
        slabby_status status = slabby_reset(storm->pool);

        expect(storm, status, SLABBY_PINNED, "reset");
        atomic_fetch_add(&storm->counts.resets, status == SLABBY_OK);
    } else if (kind < 20) {
        read_counters(storm, before);
    } else {
        struct timespec pause = {.tv_sec = 0, .tv_nsec = (long)(roll >> 16) % 300000};

        nanosleep(&pause, NULL);
    }
}

void *storm_make_disturbance(void *argument) {
    struct storm *storm = argument;
    uint64_t random = storm->plan.seed ^ 0x77EA74E5u;
    slabby_stats before = {.struct_size = sizeof before};

    while (!atomic_load(&storm->over))
        blow(storm, random_next(&random), &before);
    return NULL;
}
