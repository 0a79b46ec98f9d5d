/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Grants that nobody takes: they are seen, they go back, and what ends a wait costs the same however many wait. */
#define _GNU_SOURCE
#include "manual_clock.h"
#include "support.h"
#include "thread_state.h"

#include "pool.h"
#include "resilience/waiters.h"
#include "test_hooks.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define MANY 10000u

static slabby_listener *listen_to(slabby_allocator *pool) {
    slabby_listener *listener;
    CHECK_STATUS(slabby_listener_create(&listener, NULL, pool, NULL), SLABBY_OK);
    return listener;
}

static uint64_t begin(slabby_listener *listener) {
    uint64_t ticket;
    CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_OK);
    return ticket;
}

/* The outstanding slabs in one state; the last of them in *out. */
static uint64_t count_live(slabby_allocator *pool, int32_t wanted, slabby_live *out) {
    uint64_t cursor = 0, found, count = 0;
    slabby_live live = {.struct_size = sizeof live};
    for (;;) {
        CHECK_STATUS(slabby_live_next(&live, &found, &cursor, pool), SLABBY_OK);
        if (found == 0)
            return count;
        if (live.state != wanted)
            continue;
        count++;
        *out = live;
    }
}

/* ------------------------------------------------------------------------------------------------ what is seen */

/* Guards: the slab of a grant is not taken for lost: live() has it with its ticket, and verify names it once it has
 * waited for long. */
static void a_grant_is_seen(void **state) {
    slabby_finding finding = {.struct_size = sizeof finding};
    slabby_live live;
    slabby_ref ref;
    uint64_t count, taken;
    (void)state;
    slabby_allocator *pool = make_pool(64, 2, NULL);
    slabby_ref held = take(pool);
    slabby_listener *silent = listen_to(pool), *listener = listen_to(pool);
    uint64_t ticket = begin(listener), waiting = begin(silent);
    assert_int_equal(count_live(pool, SLABBY_SLAB_STATE_LIVE, &live), 1);
    assert_int_equal(live.ticket, 0);
    assert_int_equal(count_live(pool, SLABBY_SLAB_STATE_GRANTED, &live), 1);
    assert_int_equal(live.ticket, ticket);
    assert_int_equal(live.ref, 0);
    CHECK_STATUS(slabby_verify(&finding, &count, pool, 1), SLABBY_OK);
    assert_int_equal(count, 0);
    clock_ns += 11 * SECOND;
    assert_int_equal(count_live(pool, SLABBY_SLAB_STATE_GRANTED, &live), 1);
    assert_int_equal(live.age_ns, 11 * SECOND);
    CHECK_STATUS(slabby_verify(&finding, &count, pool, 1), SLABBY_OK);
    assert_int_equal(count, 1);
    assert_int_equal(finding.kind, SLABBY_FINDING_KIND_GRANT_NOT_TAKEN);
    assert_int_equal(finding.id, live.id);
    assert_int_equal(finding.found, 11 * SECOND);
    CHECK_STATUS(slabby_wait_take(&taken, &ref, NULL, &count, listener, 1), SLABBY_OK);
    assert_int_equal(taken, ticket);
    assert_int_equal(count_live(pool, SLABBY_SLAB_STATE_GRANTED, &live), 0);
    assert_int_equal(count_live(pool, SLABBY_SLAB_STATE_LIVE, &live), 2);
    CHECK_STATUS(slabby_release(pool, held), SLABBY_OK); /* to the ticket that waits */
    assert_int_equal(count_live(pool, SLABBY_SLAB_STATE_GRANTED, &live), 1);
    assert_int_equal(live.ticket, waiting);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(silent), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    finish(pool);
}

/* Guards: the cursor over grants passes all of them, over several listeners and more slots than one lock looks at. */
static void every_grant_is_seen_once(void **state) {
    enum { GRANTS = 300, LISTENERS = 3 };
    slabby_listener *listeners[LISTENERS];
    slabby_live live;
    (void)state;
    slabby_allocator *pool = make_pool(64, GRANTS, NULL);
    for (int i = 0; i < LISTENERS; i++)
        listeners[i] = listen_to(pool);
    for (uint64_t i = 0; i < GRANTS; i++)
        (void)begin(listeners[i % 2]);
    assert_int_equal(count_live(pool, SLABBY_SLAB_STATE_GRANTED, &live), GRANTS);
    CHECK_STATUS(slabby_listener_destroy(listeners[1]), SLABBY_OK);
    assert_int_equal(count_live(pool, SLABBY_SLAB_STATE_GRANTED, &live), GRANTS / 2);
    CHECK_STATUS(slabby_listener_destroy(listeners[0]), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(listeners[2]), SLABBY_OK);
    finish(pool);
}

/* --------------------------------------------------------------------------------------------- what goes back */

/* Guards: what a listener was granted and did not take goes to who waits next, and was never handed out. */
static void a_destroyed_listener_gives_back(void **state) {
    uint64_t ticket, count, lost, cursor = 0;
    slabby_ref ref;
    slabby_audit_record records[16];
    (void)state;
    slabby_allocator *pool = make_pool(64, 1, WITH({SLABBY_OPTION_AUDIT, 64}));
    slabby_ref held = take(pool);
    slabby_listener *ended = listen_to(pool), *listener = listen_to(pool);
    for (int i = 0; i < 100; i++)
        (void)begin(ended);
    uint64_t next = begin(listener);
    CHECK_STATUS(slabby_release(pool, held), SLABBY_OK);
    assert_int_equal(stats_of(pool).waiters, 100);
    CHECK_STATUS(slabby_listener_destroy(ended), SLABBY_OK);
    assert_int_equal(stats_of(pool).waiters, 0);
    CHECK_STATUS(slabby_wait_take(&ticket, &ref, NULL, &count, listener, 1), SLABBY_OK);
    assert_int_equal(count, 1);
    assert_int_equal(ticket, next);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    for (int i = 0; i < 16; i++)
        records[i].struct_size = sizeof records[i];
    CHECK_STATUS(slabby_audit_read(records, &count, &lost, &cursor, pool, 16), SLABBY_OK);
    uint64_t waits = 0, releases = 0;
    for (uint64_t i = 0; i < count; i++) {
        waits += records[i].operation == SLABBY_AUDIT_OPERATION_ALLOCATE_WAIT;
        releases += records[i].operation == SLABBY_AUDIT_OPERATION_RELEASE;
    }
    assert_int_equal(waits, 1);
    assert_int_equal(releases, 2);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    finish(pool);
}

/* Guards: a grant not taken in time goes to the next caller that finds the pool empty. Its ticket is notified. */
static void a_late_grant_is_revoked(void **state) {
    uint64_t ticket, count;
    slabby_ref ref = 1, mine;
    slabby_live live;
    (void)state;
    slabby_allocator *pool = make_pool(64, 1, NULL);
    slabby_listener *listener;
    int32_t fd;
    CHECK_STATUS(slabby_listener_create(&listener, &fd, pool, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_listener_set_timeout(listener, 60 * SECOND), SLABBY_OK);
    uint64_t granted = begin(listener);
    CHECK_STATUS(slabby_allocate(&mine, NULL, pool), SLABBY_OUT_OF_MEMORY);
    clock_ns += 60 * SECOND;
    CHECK_STATUS(slabby_allocate(&mine, NULL, pool), SLABBY_OK);
    assert_int_equal(count_live(pool, SLABBY_SLAB_STATE_GRANTED, &live), 0);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 0), 1);
    CHECK_STATUS(slabby_wait_take(&ticket, &ref, NULL, &count, listener, 1), SLABBY_OK);
    assert_int_equal(count, 1);
    assert_int_equal(ticket, granted);
    assert_int_equal(ref, 0);
    assert_int_equal(poll(&ready, 1, 0), 0);
    uint64_t waiting = begin(listener);
    CHECK_STATUS(slabby_release(pool, mine), SLABBY_OK);
    clock_ns += 60 * SECOND;
    slabby_ref few[1];
    CHECK_STATUS(slabby_allocate_batch(few, NULL, pool, 1), SLABBY_OK);
    CHECK_STATUS(slabby_wait_cancel(&ref, listener, waiting), SLABBY_OK);
    assert_int_equal(ref, 0);
    assert_int_equal(poll(&ready, 1, 0), 0);
    CHECK_STATUS(slabby_release(pool, few[0]), SLABBY_OK);
    CHECK_STATUS(slabby_listener_set_timeout(listener, 0), SLABBY_OK);
    waiting = begin(listener);
    clock_ns += 3600 * SECOND;
    CHECK_STATUS(slabby_allocate(&mine, NULL, pool), SLABBY_OUT_OF_MEMORY);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    finish(pool);
}

/* Guards: event loops that wait are served by the thread slabby-health, with nobody else at work. */
static void the_thread_revokes(void **state) {
    uint64_t ticket, count;
    slabby_ref ref, held;
    (void)state;
    slabby_allocator *pool = make_pool(64, 1, NULL);
    held = take(pool);
    slabby_listener *dead = listen_to(pool), *listener = listen_to(pool);
    CHECK_STATUS(slabby_listener_set_timeout(dead, SECOND / 50), SLABBY_OK);
    (void)begin(dead);
    uint64_t mine = begin(listener);
    CHECK_STATUS(slabby_listener_wait(listener, SECOND / 100), SLABBY_TIMEOUT);
    CHECK_STATUS(slabby_release(pool, held), SLABBY_OK);
    CHECK_STATUS(slabby_listener_wait(listener, 60 * SECOND), SLABBY_OK);
    CHECK_STATUS(slabby_wait_take(&ticket, &ref, NULL, &count, listener, 1), SLABBY_OK);
    assert_int_equal(count, 1);
    assert_int_equal(ticket, mine);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(dead), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    finish(pool);
}

/* Guards: listeners that come and go put off no revocation. */
static void other_listeners_put_nothing_off(void **state) {
    (void)state;
    slabby_allocator *pool = make_pool(64, 1, NULL);
    slabby_listener *listener = listen_to(pool);
    CHECK_STATUS(slabby_listener_set_timeout(listener, 3600 * SECOND), SLABBY_OK);
    uint64_t next = atomic_load(&pool->ticking.revoke_next_ns);
    CHECK_STATUS(slabby_listener_destroy(listen_to(pool)), SLABBY_OK);
    CHECK_STATUS(slabby_listener_set_timeout(listener, 3600 * SECOND), SLABBY_OK);
    assert_int_equal(atomic_load(&pool->ticking.revoke_next_ns), next);
    CHECK_STATUS(slabby_listener_set_timeout(listener, 1800 * SECOND), SLABBY_OK);
    assert_in_range(atomic_load(&pool->ticking.revoke_next_ns), 1, next - 600 * SECOND);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    finish(pool);
}

/* What another thread does to `other` while this one is between noting a timeout and switching the ticks. */
static slabby_listener *other;
static uint64_t timeout_of_other;

static void set_the_other(int point) {
    if (point != SLB_POINT_TIMEOUT_SET)
        return;
    slb_test_point = NULL;
    CHECK_STATUS(slabby_listener_set_timeout(other, timeout_of_other), SLABBY_OK);
}

/* Guards: of two that set timeouts at the same time, the one that switches the ticks last knows of both. */
static void timeouts_at_the_same_time(void **state) {
    (void)state;
    for (uint64_t timeout = 0; timeout <= 3600 * SECOND; timeout += 3600 * SECOND) {
        slabby_allocator *pool = make_pool(64, 1, NULL);
        slabby_listener *listener = listen_to(pool);
        other = listen_to(pool);
        CHECK_STATUS(slabby_listener_set_timeout(other, 3600 * SECOND - timeout), SLABBY_OK);
        CHECK_STATUS(slabby_listener_set_timeout(listener, 3600 * SECOND), SLABBY_OK);
        timeout_of_other = timeout;
        slb_test_point = set_the_other;
        CHECK_STATUS(slabby_listener_set_timeout(listener, 0), SLABBY_OK);
        assert_int_equal(atomic_load(&pool->ticking.on), timeout == 0 ? 0 : SLB_TICK_REVOCATIONS);
        CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
        CHECK_STATUS(slabby_listener_destroy(other), SLABBY_OK);
        finish(pool);
    }
}

struct takers {
    slabby_allocator *pool;
    slabby_listener *listener;
    uint64_t rounds, taken, notified;
    _Atomic bool over;
};

static void *take_all(void *argument) {
    struct takers *takers = argument;
    for (uint64_t round = 0; round < takers->rounds; round++) {
        uint64_t ticket = begin(takers->listener), found, count = 0;
        slabby_ref ref = 0;
        CHECK_STATUS(slabby_listener_wait(takers->listener, 60 * SECOND), SLABBY_OK);
        if (round % 3 == 0)
            sleep_ns(20000);
        if (round % 2 == 0)
            CHECK_STATUS(slabby_wait_cancel(&ref, takers->listener, ticket), SLABBY_OK);
        else
            CHECK_STATUS(slabby_wait_take(&found, &ref, NULL, &count, takers->listener, 1), SLABBY_OK);
        takers->taken += ref != 0;
        takers->notified += ref == 0;
        if (ref != 0)
            CHECK_STATUS(slabby_release(takers->pool, ref), SLABBY_OK);
    }
    atomic_store(&takers->over, true);
    return NULL;
}

/* Guards: of a revocation and a take that meet, one has the slab. */
static void takes_and_revocations_meet(void **state) {
    (void)state;
    struct takers takers = {.pool = make_pool(64, 1, NULL), .rounds = scaled(3000)};
    pthread_t thread;
    takers.listener = listen_to(takers.pool);
    CHECK_STATUS(slabby_listener_set_timeout(takers.listener, 10000), SLABBY_OK);
    assert_int_equal(pthread_create(&thread, NULL, take_all, &takers), 0);
    while (!atomic_load(&takers.over)) {
        slabby_ref ref;
        if (slabby_try_allocate(&ref, NULL, takers.pool) == SLABBY_OK)
            CHECK_STATUS(slabby_release(takers.pool, ref), SLABBY_OK);
    }
    pthread_join(thread, NULL);
    assert_int_equal(takers.taken + takers.notified, takers.rounds);
    CHECK_STATUS(slabby_listener_destroy(takers.listener), SLABBY_OK);
    finish(takers.pool);
}

/* ----------------------------------------------------------------------------------------- what it costs */

/* Steps under the lock for cancelling as many tickets as wait, oldest last. */
static uint64_t steps_to_cancel(uint64_t count) {
    uint64_t *tickets = calloc(count, sizeof *tickets);
    slabby_ref ref;
    slabby_allocator *pool = make_pool(64, 1, NULL);
    slabby_ref held = take(pool);
    slabby_listener *listener = listen_to(pool);
    assert_non_null(tickets);
    for (uint64_t i = 0; i < count; i++)
        tickets[i] = begin(listener);
    assert_int_equal(stats_of(pool).waiters, count);
    uint64_t before = slb_test_waiter_steps;
    for (uint64_t i = count; i-- > 0;)
        CHECK_STATUS(slabby_wait_cancel(&ref, listener, tickets[i]), SLABBY_OK);
    uint64_t steps = slb_test_waiter_steps - before;
    assert_int_equal(stats_of(pool).waiters, 0);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, held), SLABBY_OK);
    finish(pool);
    free(tickets);
    return steps;
}

/* Guards: cancelling one of many costs what cancelling one of few does. */
static void cancelling_is_constant(void **state) {
    (void)state;
    uint64_t few = steps_to_cancel(100), many = steps_to_cancel(MANY);
    assert_true(few >= 100);
    assert_true(few <= 400);
    assert_int_equal(many * 100, few * MANY);
}

static uint64_t most_steps(void) {
    uint64_t most = slb_test_waiter_steps_most;
    slb_test_waiter_steps_most = 0;
    return most;
}

/* Guards: a holder of the lock touches few waiters, however many slabs come back or tickets end at once. */
static void the_lock_is_held_briefly(void **state) {
    enum { MOST = 2 * SLB_WAITERS_AT_ONCE };
    static uint64_t tickets[MANY];
    static slabby_ref refs[MANY];
    uint64_t count, awaited;
    slabby_live live;
    (void)state;
    slabby_allocator *pool = make_pool(64, 1, WITH({SLABBY_OPTION_MAX_CAPACITY, MANY}));
    slabby_ref held = take(pool);
    slabby_listener *listener = listen_to(pool);
    for (uint64_t i = 0; i < MANY; i++)
        (void)begin(listener);
    (void)most_steps();
    CHECK_STATUS(slabby_resize(&awaited, pool, MANY, NULL), SLABBY_OK); /* grants all but one at once */
    assert_int_equal(stats_of(pool).waiters, 1);
    assert_in_range(most_steps(), 1, MOST);
    assert_int_equal(count_live(pool, SLABBY_SLAB_STATE_GRANTED, &live), MANY - 1);
    assert_in_range(most_steps(), 1, MOST);
    CHECK_STATUS(slabby_wait_take(tickets, refs, NULL, &count, listener, MANY), SLABBY_OK);
    assert_int_equal(count, MANY - 1);
    assert_in_range(most_steps(), 1, MOST);
    for (uint64_t i = 0; i < MANY; i++)
        (void)begin(listener);
    CHECK_STATUS(slabby_release_batch(&count, pool, refs, MANY - 1), SLABBY_OK);
    assert_in_range(most_steps(), 1, MOST);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK); /* all but two granted, two waiting */
    assert_in_range(most_steps(), 1, MOST);
    assert_int_equal(stats_of(pool).waiters, 0);
    CHECK_STATUS(slabby_resize(&awaited, pool, 1, NULL), SLABBY_OK);
    listener = listen_to(pool);
    for (uint64_t i = 0; i < MANY; i++)
        (void)begin(listener);
    CHECK_STATUS(slabby_close(pool), SLABBY_OK);
    assert_in_range(most_steps(), 1, MOST);
    assert_int_equal(stats_of(pool).waiters, 0);
    CHECK_STATUS(slabby_wait_take(tickets, refs, NULL, &count, listener, 1), SLABBY_CLOSED);
    CHECK_STATUS(slabby_release(pool, held), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

/* Guards: a number names one ticket, and cancelling one that is over harms nobody. */
static void a_number_names_one_ticket(void **state) {
    slabby_ref ref;
    (void)state;
    slabby_allocator *pool = make_pool(64, 1, NULL);
    slabby_ref held = take(pool);
    slabby_listener *listener = listen_to(pool);
    uint64_t first = begin(listener);
    CHECK_STATUS(slabby_wait_cancel(&ref, listener, first), SLABBY_OK);
    uint64_t second = begin(listener);
    assert_int_not_equal(first, second);
    assert_int_not_equal(second, 0);
    const uint64_t others[] = {0, second + 1, UINT64_MAX};
    for (size_t i = 0; i < COUNT_OF(others); i++)
        CHECK_STATUS(slabby_wait_cancel(&ref, listener, others[i]), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_wait_cancel(&ref, listener, first), SLABBY_OK);
    assert_int_equal(ref, 0);
    assert_int_equal(stats_of(pool).waiters, 1);
    CHECK_STATUS(slabby_release(pool, held), SLABBY_OK);
    CHECK_STATUS(slabby_wait_cancel(&ref, listener, second), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    finish(pool);
}

/* ---------------------------------------------------------------------------------------- without descriptors */

/* Guards: a refused descriptor is named, and a listener without one serves. */
static void without_descriptors(void **state) {
    struct rlimit limit, none;
    slabby_error error = fresh_error();
    slabby_listener *listener;
    uint64_t ticket, count;
    slabby_ref ref;
    int32_t fd = -7;
    (void)state;
    slabby_allocator *pool = make_pool(64, 1, NULL);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    slabby_status status = slabby_listener_create(&listener, &fd, pool, &error);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_STATUS(status, SLABBY_NO_SYSTEM_MEMORY);
    assert_int_equal(error.value, EMFILE);
    assert_non_null(strstr(error.text, "EMFILE"));
    assert_int_equal(fd, -7);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    status = slabby_listener_create(&listener, NULL, pool, &error);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_STATUS(status, SLABBY_OK);
    CHECK_STATUS(slabby_listener_wait(listener, 1), SLABBY_TIMEOUT);
    uint64_t drawn = begin(listener);
    CHECK_STATUS(slabby_listener_wait(listener, 60 * SECOND), SLABBY_OK);
    CHECK_STATUS(slabby_wait_take(&ticket, &ref, NULL, &count, listener, 1), SLABBY_OK);
    assert_int_equal(count, 1);
    assert_int_equal(ticket, drawn);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    CHECK_STATUS(slabby_listener_wait(NULL, 1), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_listener_create(&listener, NULL, (slabby_allocator *)&error, &error),
                 SLABBY_INVALID_ARGUMENT);
    assert_string_equal(error.text, "the handle is none of a pool");
    CHECK_STATUS(slabby_listener_create(NULL, NULL, pool, &error), SLABBY_INVALID_ARGUMENT);
    assert_string_equal(error.text, "the place for the listener is null");
    CHECK_STATUS(slabby_listener_set_timeout(NULL, 1), SLABBY_INVALID_ARGUMENT);
    finish(pool);
}

static int sleeper; /* the number of the thread that waits */

static void *close_over_the_sleeper(void *pool) {
    WAIT_UNTIL(thread_is_asleep(sleeper));
    CHECK_STATUS(slabby_close(pool), SLABBY_OK);
    return NULL;
}

/* Guards: a close ends the sleep of a thread that waits on a listener. */
static void a_sleeper_hears_the_end(void **state) {
    pthread_t thread;
    uint64_t ticket, count;
    slabby_ref ref;
    (void)state;
    slabby_allocator *pool = make_pool(64, 1, NULL);
    slabby_ref held = take(pool);
    slabby_listener *listener = listen_to(pool);
    (void)begin(listener);
    sleeper = thread_number();
    assert_int_equal(pthread_create(&thread, NULL, close_over_the_sleeper, pool), 0);
    CHECK_STATUS(slabby_listener_wait(listener, UINT64_MAX), SLABBY_OK);
    pthread_join(thread, NULL);
    CHECK_STATUS(slabby_wait_take(&ticket, &ref, NULL, &count, listener, 1), SLABBY_CLOSED);
    CHECK_STATUS(slabby_listener_set_timeout(listener, SECOND), SLABBY_CLOSED);
    CHECK_STATUS(slabby_release(pool, held), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

/* Guards: a try before a wait finds what there is, and is no failure where there is nothing. */
static void a_try_is_no_failure(void **state) {
    slabby_ref ref, more;
    void *data = NULL;
    (void)state;
    slabby_allocator *pool = make_pool(64, 1, WITH({SLABBY_OPTION_CIRCUIT_BREAKER_THRESHOLD, 1}));
    CHECK_STATUS(slabby_try_allocate(&ref, &data, pool), SLABBY_OK);
    memset(data, 1, 64);
    for (int i = 0; i < 10; i++)
        CHECK_STATUS(slabby_try_allocate(&more, NULL, pool), SLABBY_OUT_OF_MEMORY);
    assert_int_equal(stats_of(pool).allocation_errors, 0);
    assert_int_equal(stats_of(pool).errors[-SLABBY_OUT_OF_MEMORY], 0);
    assert_int_equal(stats_of(pool).breaker_state, SLABBY_BREAKER_STATE_CLOSED);
    CHECK_STATUS(slabby_try_allocate(NULL, NULL, pool), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_try_allocate(&more, NULL, NULL), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_allocate_timeout(&ref, &data, pool, SECOND), SLABBY_OK);
    assert_non_null(data);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_grant_is_seen, set_clock, reset_clock),
        cmocka_unit_test(every_grant_is_seen_once),
        cmocka_unit_test(a_destroyed_listener_gives_back),
        cmocka_unit_test_setup_teardown(a_late_grant_is_revoked, set_clock, reset_clock),
        cmocka_unit_test(the_thread_revokes),
        cmocka_unit_test(other_listeners_put_nothing_off),
        cmocka_unit_test(timeouts_at_the_same_time),
        cmocka_unit_test(takes_and_revocations_meet),
        cmocka_unit_test(cancelling_is_constant),
        cmocka_unit_test(the_lock_is_held_briefly),
        cmocka_unit_test(a_number_names_one_ticket),
        cmocka_unit_test(without_descriptors),
        cmocka_unit_test(a_sleeper_hears_the_end),
        cmocka_unit_test(a_try_is_no_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
