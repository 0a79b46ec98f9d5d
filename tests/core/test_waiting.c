/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Waiting for a slab: in a thread, through a listener, first come first served, losing nothing. */
#define _GNU_SOURCE
#include "support.h"
#include "threads.h"
#include "waiting.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* A slab that comes back while somebody waits is theirs. */
static void a_release_ends_the_wait(void **state) {
    (void)state;
    slabby_allocator *pool = make_pool(64, 1, NULL);
    struct awaited_release release;
    slabby_ref ref;
    begin_awaited_release(&release, pool, take(pool));
    CHECK_STATUS(slabby_allocate_timeout(&ref, NULL, pool, 60 * SECOND), SLABBY_OK);
    end_awaited_release(&release);
    assert_int_equal(stats_of(pool).gate_hits, 1);
    assert_int_equal(stats_of(pool).allocation_errors, 0); /* a wait that ends well is no failure */
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

/* Without a release the wait ends with Timeout, not before its time; 0 tries once. */
static void time_runs_out(void **state) {
    (void)state;
    slabby_allocator *pool = make_pool(64, 3, NULL);
    slabby_ref refs[3], ref = 77;
    CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, 3), SLABBY_OK);
    uint64_t before = now_ns();
    CHECK_STATUS(slabby_allocate_timeout(&ref, NULL, pool, 30000000), SLABBY_TIMEOUT);
    assert_true(now_ns() - before >= 30000000);
    CHECK_STATUS(slabby_allocate_timeout(&ref, NULL, pool, 0), SLABBY_OUT_OF_MEMORY);
    assert_int_equal(ref, 77);
    assert_int_equal(stats_of(pool).waiters, 0);
    CHECK_STATUS(slabby_allocate_timeout(NULL, NULL, pool, 1), SLABBY_INVALID_ARGUMENT);
    for (int i = 0; i < 3; i++)
        CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
    finish(pool);
}

static void *wait_and_release(void *argument) {
    slabby_allocator *pool = argument;
    slabby_ref ref;
    slabby_status status = slabby_allocate_timeout(&ref, NULL, pool, UINT64_MAX);
    if (status == SLABBY_OK)
        status = slabby_release(pool, ref);
    return (void *)(intptr_t)status;
}

/* Guards: a slab of the heap that comes back is for who waits, and so is the heap where it is switched on meanwhile. */
static void the_heap_ends_a_wait(void **state) {
    (void)state;
    slabby_allocator *pool =
        make_pool(64, 1, WITH({SLABBY_OPTION_HEAP_FALLBACK, 1}, {SLABBY_OPTION_HEAP_FALLBACK_LIMIT, 1}));
    slabby_ref own = take(pool), heap = take(pool), ref, other;
    struct awaited_release release;
    pthread_t waiter;
    void *status;
    begin_awaited_release(&release, pool, heap);
    CHECK_STATUS(slabby_allocate_timeout(&ref, NULL, pool, 60 * SECOND), SLABBY_OK);
    end_awaited_release(&release);
    assert_int_equal(stats_of(pool).heap_slabs, 1);
    CHECK_STATUS(slabby_allocate(&other, NULL, pool), SLABBY_OUT_OF_MEMORY);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);

    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_HEAP_FALLBACK, 0, NULL), SLABBY_OK);
    assert_int_equal(pthread_create(&waiter, NULL, wait_and_release, pool), 0);
    until_waiting(pool, 1);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_HEAP_FALLBACK, 1, NULL), SLABBY_OK);
    assert_int_equal(pthread_join(waiter, &status), 0);
    assert_int_equal((intptr_t)status, SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, own), SLABBY_OK);
    finish(pool);
}

/* Guards: while the pool shrinks and keeps what comes back, the heap serves who waits, and nobody overtakes them. */
static void the_heap_ends_a_wait_while_the_pool_shrinks(void **state) {
    (void)state;
    slabby_allocator *pool =
        make_pool(64, 4, WITH({SLABBY_OPTION_HEAP_FALLBACK, 1}, {SLABBY_OPTION_HEAP_FALLBACK_LIMIT, 1}));
    slabby_listener *listener;
    slabby_ref refs[4], heap, ref;
    uint64_t awaited, ticket, count;
    for (int i = 0; i < 4; i++)
        refs[i] = take(pool);
    heap = take(pool);
    CHECK_STATUS(slabby_listener_create(&listener, NULL, pool, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_resize(&awaited, pool, 2, NULL), SLABBY_OK);
    assert_int_equal(awaited, 2);
    CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, refs[0]), SLABBY_OK);
    assert_int_equal(stats_of(pool).waiters, 1);
    CHECK_STATUS(slabby_release(pool, heap), SLABBY_OK);
    CHECK_STATUS(slabby_allocate(&ref, NULL, pool), SLABBY_OUT_OF_MEMORY);
    CHECK_STATUS(slabby_wait_take(&ticket, &ref, NULL, &count, listener, 1), SLABBY_OK);
    assert_int_equal(count, 1);
    assert_int_equal(stats_of(pool).heap_slabs, 1);
    assert_int_equal(stats_of(pool).awaited_slabs, 1);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    for (int i = 1; i < 4; i++)
        CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    finish(pool);
}

/* A thousand waiters, one slab: each gets it in turn, none is forgotten. */
static void a_thousand_wait_for_one_slab(void **state) {
    enum { MOST = 1000 };
    static pthread_t threads[MOST];
    uint64_t count = scaled(MOST) < MOST ? scaled(MOST) : MOST;
    (void)state;
    slabby_allocator *pool = make_pool(64, 1, NULL);
    slabby_ref ref = take(pool);
    for (uint64_t i = 0; i < count; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_and_release, pool), 0);
    until_waiting(pool, count);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    for (uint64_t i = 0; i < count; i++) {
        void *status;
        pthread_join(threads[i], &status);
        assert_int_equal((intptr_t)status, SLABBY_OK);
    }
    finish(pool);
}

/* Close tells everybody who waits. */
static void close_ends_every_wait(void **state) {
    pthread_t threads[4];
    (void)state;
    slabby_allocator *pool = make_pool(64, 1, NULL);
    slabby_ref ref = take(pool);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_and_release, pool), 0);
    until_waiting(pool, 4);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_IN_USE);
    CHECK_STATUS(slabby_close(pool), SLABBY_OK);
    for (int i = 0; i < 4; i++) {
        void *status;
        pthread_join(threads[i], &status);
        assert_int_equal((intptr_t)status, SLABBY_CLOSED);
    }
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

/* Tickets are granted in the order they were drawn, and a plain allocate does not overtake them. */
static void first_come_first_served(void **state) {
    slabby_listener *listener;
    uint64_t tickets[3], granted[3], count;
    slabby_ref refs[3], held[2], ref;
    int32_t fd;
    (void)state;
    slabby_allocator *pool = make_pool(64, 2, NULL);
    CHECK_STATUS(slabby_allocate_batch(held, NULL, pool, 2), SLABBY_OK);
    CHECK_STATUS(slabby_listener_create(&listener, &fd, pool, NULL), SLABBY_OK);
    for (int i = 0; i < 3; i++)
        CHECK_STATUS(slabby_wait_begin(&tickets[i], listener, 0), SLABBY_OK);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 0), 0);
    CHECK_STATUS(slabby_release(pool, held[0]), SLABBY_OK);
    CHECK_STATUS(slabby_allocate(&ref, NULL, pool), SLABBY_OUT_OF_MEMORY);
    CHECK_STATUS(slabby_release(pool, held[1]), SLABBY_OK);
    assert_int_equal(poll(&ready, 1, 0), 1);
    CHECK_STATUS(slabby_wait_take(granted, refs, NULL, &count, listener, 3), SLABBY_OK);
    assert_int_equal(count, 2);
    assert_int_equal(granted[0], tickets[0]);
    assert_int_equal(granted[1], tickets[1]);
    assert_int_equal(poll(&ready, 1, 0), 0);
    CHECK_STATUS(slabby_wait_take(granted, refs + 2, NULL, &count, listener, 1), SLABBY_OK);
    assert_int_equal(count, 0);
    CHECK_STATUS(slabby_release(pool, refs[0]), SLABBY_OK);
    CHECK_STATUS(slabby_wait_take(granted, refs, NULL, &count, listener, 1), SLABBY_OK);
    assert_int_equal(granted[0], tickets[2]);
    CHECK_STATUS(slabby_release(pool, refs[0]), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, refs[1]), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    finish(pool);
}

/* A cancelled ticket yields nothing, or the slab that it had been granted. */
static void cancelling_loses_nothing(void **state) {
    slabby_listener *listener;
    uint64_t waiting, granted;
    slabby_ref held, ref;
    int32_t fd;
    (void)state;
    slabby_allocator *pool = make_pool(64, 1, NULL);
    held = take(pool);
    CHECK_STATUS(slabby_listener_create(&listener, &fd, pool, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_wait_begin(&granted, listener, 0), SLABBY_OK);
    CHECK_STATUS(slabby_wait_begin(&waiting, listener, 0), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, held), SLABBY_OK);
    CHECK_STATUS(slabby_wait_cancel(&ref, listener, waiting), SLABBY_OK);
    assert_int_equal(ref, 0);
    CHECK_STATUS(slabby_wait_cancel(&ref, listener, granted), SLABBY_OK);
    assert_int_not_equal(ref, 0);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_wait_cancel(&ref, listener, granted), SLABBY_OK);
    assert_int_equal(ref, 0);
    CHECK_STATUS(slabby_wait_begin(&granted, listener, 0), SLABBY_OK); /* granted at once, never taken */
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    finish(pool);
}

/* Guards: a ticket whose time is over counts once, as what ended it, whatever refuses an allocation at that moment; one
 * that was granted brings its slab. */
static void what_expires_is_counted(void **state) {
    slabby_listener *listener;
    uint64_t tickets[3];
    slabby_ref held, ref = 7;
    (void)state;
    slabby_allocator *pool = make_pool(64, 1, NULL);
    held = take(pool);
    CHECK_STATUS(slabby_listener_create(&listener, NULL, pool, NULL), SLABBY_OK);
    for (int i = 0; i < 3; i++)
        CHECK_STATUS(slabby_wait_begin(&tickets[i], listener, 0), SLABBY_OK);
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_FORCED_OPEN), SLABBY_OK);
    CHECK_STATUS(slabby_wait_expire(&ref, listener, tickets[0]), SLABBY_TIMEOUT);
    assert_int_equal(ref, 7);
    CHECK_STATUS(slabby_wait_expire(&ref, listener, tickets[0] + (UINT64_C(1) << 24)),
                 SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_wait_expire(&ref, NULL, tickets[0]), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_wait_expire(NULL, listener, tickets[1]), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_release(pool, held), SLABBY_OK);
    CHECK_STATUS(slabby_wait_expire(&held, listener, tickets[1]), SLABBY_OK);
    assert_true(slabby_is_valid(pool, held));
    CHECK_STATUS(slabby_close(pool), SLABBY_OK);
    CHECK_STATUS(slabby_wait_expire(&ref, listener, tickets[2]), SLABBY_CLOSED);
    assert_int_equal(ref, 7);
    assert_int_equal(stats_of(pool).errors[-SLABBY_TIMEOUT], 1);
    assert_int_equal(stats_of(pool).errors[-SLABBY_CLOSED], 1);
    assert_int_equal(stats_of(pool).errors[-SLABBY_CIRCUIT_BREAKER_OPEN], 0);
    CHECK_STATUS(slabby_release(pool, held), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

/* Guards: a slab that was granted and not yet taken is in no list, and still neither lost nor in anybody's way. */
static void a_granted_slab_is_not_lost(void **state) {
    slabby_listener *listener;
    uint64_t ticket, count, bytes;
    slabby_ref held[3], ref;
    int32_t fd;
    (void)state;
    slabby_allocator *pool = make_pool(64, 2, WITH({SLABBY_OPTION_HEAP_FALLBACK, 1}));
    for (int i = 0; i < 2; i++)
        held[i] = take(pool);
    CHECK_STATUS(slabby_listener_create(&listener, &fd, pool, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_OK); /* of the heap */
    CHECK_STATUS(slabby_release(pool, held[1]), SLABBY_OK);
    CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_OK);
    CHECK_STATUS(slabby_verify(NULL, &count, pool, 0), SLABBY_OK);
    assert_int_equal(count, 0);
    CHECK_STATUS(slabby_trim(&bytes, pool), SLABBY_OK);
    CHECK_STATUS(slabby_reset(pool), SLABBY_OK);
    held[0] = take(pool);
    CHECK_STATUS(slabby_wait_take(&ticket, held + 1, NULL, &count, listener, 1), SLABBY_OK);
    CHECK_STATUS(slabby_verify(NULL, &count, pool, 0), SLABBY_OK);
    assert_int_equal(count, 0);
    CHECK_STATUS(slabby_wait_take(&ticket, held + 2, NULL, &count, listener, 1), SLABBY_OK);
    assert_int_equal(count, 1);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_HEAP_FALLBACK, 0, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_allocate(&ref, NULL, pool), SLABBY_OUT_OF_MEMORY);
    CHECK_STATUS(slabby_release_batch(&count, pool, held, 3), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    finish(pool);
}

/* A listener of a closed pool says so, and rings so that the loop comes and hears it. */
static void a_listener_hears_the_end(void **state) {
    slabby_listener *listener;
    uint64_t ticket, count;
    slabby_ref held, ref;
    int32_t fd;
    (void)state;
    slabby_allocator *pool = make_pool(64, 1, NULL);
    held = take(pool);
    CHECK_STATUS(slabby_listener_create(&listener, &fd, pool, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_OK);
    CHECK_STATUS(slabby_close(pool), SLABBY_OK);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 0), 1);
    CHECK_STATUS(slabby_wait_take(&ticket, &ref, NULL, &count, listener, 1), SLABBY_CLOSED);
    CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_CLOSED);
    CHECK_STATUS(slabby_release(pool, held), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

/* Guards: a ticket asks the breaker first, and gets a slab of the heap where that serves. */
static void tickets_are_allocations(void **state) {
    slabby_listener *listener;
    uint64_t ticket, count;
    slabby_ref held, ref;
    int32_t fd;
    (void)state;
    slabby_allocator *pool = make_pool(64, 1, WITH({SLABBY_OPTION_HEAP_FALLBACK, 1}));
    held = take(pool);
    CHECK_STATUS(slabby_listener_create(&listener, &fd, pool, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_FORCED_OPEN), SLABBY_OK);
    CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_CIRCUIT_BREAKER_OPEN);
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_NORMAL), SLABBY_OK);
    CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_OK);
    CHECK_STATUS(slabby_wait_take(&ticket, &ref, NULL, &count, listener, 1), SLABBY_OK);
    assert_int_equal(count, 1);
    assert_int_equal(stats_of(pool).heap_slabs, 1);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, held), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    finish(pool);
}

/* Guards: a ticket behind others asks the breaker, gets a slab of the heap behind them, and hears of the end, as the
 * first one does. */
static void tickets_behind_others_are_allocations(void **state) {
    slabby_listener *listener;
    uint64_t first, ticket, tickets[2], count;
    slabby_ref held, ref, refs[2];
    int32_t fd;
    (void)state;
    slabby_allocator *pool = make_pool(64, 1, WITH({SLABBY_OPTION_HEAP_FALLBACK_LIMIT, 2}));
    held = take(pool);
    CHECK_STATUS(slabby_listener_create(&listener, &fd, pool, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_wait_begin(&first, listener, 0), SLABBY_OK);
    CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_OK);
    assert_int_equal(stats_of(pool).waiters, 2);
    CHECK_STATUS(slabby_wait_cancel(&ref, listener, ticket), SLABBY_OK);
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_FORCED_OPEN), SLABBY_OK);
    CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_CIRCUIT_BREAKER_OPEN);
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_NORMAL), SLABBY_OK);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_HEAP_FALLBACK, 1, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_OK);
    CHECK_STATUS(slabby_wait_take(tickets, refs, NULL, &count, listener, 2), SLABBY_OK);
    assert_true(count == 2 && tickets[0] == first && tickets[1] == ticket);
    assert_int_equal(stats_of(pool).heap_slabs, 2);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_HEAP_FALLBACK, 0, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_release_batch(NULL, pool, refs, 2), SLABBY_OK);
    CHECK_STATUS(slabby_wait_begin(&first, listener, 0), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, held), SLABBY_OK);
    CHECK_STATUS(slabby_wait_take(&ticket, &ref, NULL, &count, listener, 1), SLABBY_OK);
    assert_true(count == 1 && ticket == first);
    CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_OK);
    CHECK_STATUS(slabby_close(pool), SLABBY_OK);
    CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_CLOSED);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

/* Guards: the slabs that a larger capacity brings to those who wait count in the peak, although nobody asks anew. */
static void growth_for_a_queue_counts_in_the_peak(void **state) {
    enum { FEW = 10, MANY = 110 };
    slabby_listener *listener;
    uint64_t tickets[MANY], count;
    slabby_ref held[FEW], refs[MANY];
    (void)state;
    slabby_allocator *pool = make_pool(64, FEW, WITH({SLABBY_OPTION_MAX_CAPACITY, 4000}));
    CHECK_STATUS(slabby_allocate_batch(held, NULL, pool, FEW), SLABBY_OK);
    CHECK_STATUS(slabby_listener_create(&listener, NULL, pool, NULL), SLABBY_OK);
    for (int i = 0; i < MANY - FEW; i++)
        CHECK_STATUS(slabby_wait_begin(&tickets[i], listener, 0), SLABBY_OK);
    assert_int_equal(stats_of(pool).peak_used, FEW);
    CHECK_STATUS(slabby_resize(NULL, pool, MANY, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_wait_take(tickets, refs, NULL, &count, listener, MANY), SLABBY_OK);
    assert_int_equal(count, MANY - FEW);
    CHECK_STATUS(slabby_release_batch(NULL, pool, refs, count), SLABBY_OK);
    CHECK_STATUS(slabby_release_batch(NULL, pool, held, FEW), SLABBY_OK);
    assert_int_equal(stats_of(pool).peak_used, MANY);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    finish(pool);
}

/* Guards: the descriptor rings for the end also where no ticket is out. */
static void an_idle_listener_hears_the_end(void **state) {
    slabby_listener *listener;
    uint64_t ticket, count;
    slabby_ref ref;
    int32_t fd;
    (void)state;
    slabby_allocator *pool = make_pool(64, 1, NULL);
    CHECK_STATUS(slabby_listener_create(&listener, &fd, pool, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_close(pool), SLABBY_OK);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 0), 1);
    CHECK_STATUS(slabby_wait_take(&ticket, &ref, NULL, &count, listener, 1), SLABBY_CLOSED);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

struct short_waits {
    slabby_allocator *pool;
    uint64_t rounds;
    _Atomic uint64_t served, timed_out;
};

static void wait_shortly(struct worker *worker) {
    struct short_waits *waits = worker->shared;
    for (uint64_t i = 0; i < waits->rounds && !threads_failed(); i++) {
        slabby_ref ref;
        slabby_status status = slabby_allocate_timeout(&ref, NULL, waits->pool, 1 + i % 7 * 20000);
        if (status == SLABBY_TIMEOUT) {
            atomic_fetch_add(&waits->timed_out, 1);
            continue;
        }
        if (status == SLABBY_OK)
            status = slabby_release(waits->pool, ref);
        if (status != SLABBY_OK)
            complain("wait or release: %s", slabby_status_name(status));
        atomic_fetch_add(&waits->served, 1);
    }
}

/* Grants and timeouts at the same instant: every slab is accounted for, and nobody sleeps on. */
static void short_waits_lose_nothing(void **state) {
    static const uint64_t capacities[] = {1, 2, 3, 64};
    (void)state;
    for (size_t c = 0; c < COUNT_OF(capacities); c++) {
        struct short_waits waits = {.pool = make_pool(64, capacities[c], NULL), .rounds = scaled(3000)};
        run_threads(8, wait_shortly, &waits, 0);
        assert_no_thread_failed();
        assert_int_equal(waits.served + waits.timed_out, 8 * waits.rounds);
        assert_int_equal(stats_of(waits.pool).total_allocations, waits.served);
        assert_int_equal(stats_of(waits.pool).waiters, 0);
        finish(waits.pool);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_release_ends_the_wait),
        cmocka_unit_test(the_heap_ends_a_wait),
        cmocka_unit_test(the_heap_ends_a_wait_while_the_pool_shrinks),
        cmocka_unit_test(time_runs_out),
        cmocka_unit_test(a_thousand_wait_for_one_slab),
        cmocka_unit_test(close_ends_every_wait),
        cmocka_unit_test(first_come_first_served),
        cmocka_unit_test(cancelling_loses_nothing),
        cmocka_unit_test(what_expires_is_counted),
        cmocka_unit_test(a_listener_hears_the_end),
        cmocka_unit_test(short_waits_lose_nothing),
        cmocka_unit_test(a_granted_slab_is_not_lost),
        cmocka_unit_test(tickets_are_allocations),
        cmocka_unit_test(an_idle_listener_hears_the_end),
        cmocka_unit_test(tickets_behind_others_are_allocations),
        cmocka_unit_test(growth_for_a_queue_counts_in_the_peak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
