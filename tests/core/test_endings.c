/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How threads end: by return, by pthread_exit, by cancellation. Whatever they did before, nothing is lost. */
#define _GNU_SOURCE
#include "support.h"
#include "thread_state.h"
#include "waiting.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "test_hooks.h"

enum { THREADS = 8, CAPACITY = 640, STORED = CAPACITY / THREADS };

static void begin(pthread_t *thread, void *(*run)(void *), void *argument) {
    assert_int_equal(pthread_create(thread, NULL, run, argument), 0);
}

static void expect_cancelled(pthread_t thread) {
    void *result;
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, PTHREAD_CANCELED);
}

/* -------------------------------------------------------------------------------------------------- deaths */

struct mortal {
    slabby_allocator *pool;
    unsigned number;
    slabby_ref heirloom; /* outlives its thread */
    pthread_t thread;
};

static void leave(struct mortal *self) {
    if (self->number % 3 == 0)
        pthread_exit(NULL);
    if (self->number % 3 == 1) {
        pthread_cancel(pthread_self());
        pthread_testcancel();
    }
}

/* Takes its share of the pool and gives all but one back, so that the caches are full when it ends. */
static void *live_and_die(void *argument) {
    struct mortal *self = argument;
    slabby_ref refs[STORED];
    uint64_t released = 0;
    CHECK_STATUS(slabby_allocate_batch(refs, NULL, self->pool, STORED / 2), SLABBY_OK);
    for (unsigned i = STORED / 2; i < STORED; i++)
        CHECK_STATUS(slabby_allocate(&refs[i], NULL, self->pool), SLABBY_OK);
    self->heirloom = refs[0];
    CHECK_STATUS(slabby_release_batch(&released, self->pool, refs + 1, STORED - 1), SLABBY_OK);
    leave(self);
    return NULL;
}

/* Generations of eight threads; each takes all slabs there are, the dead ones' too. */
static void deaths_cost_nothing(const struct setting *settings, uint64_t deaths) {
    slabby_allocator *pool = make_pool(64, CAPACITY, settings);
    struct mortal threads[THREADS];
    for (uint64_t died = 0; died < deaths; died += THREADS) {
        for (unsigned i = 0; i < THREADS; i++) {
            threads[i] = (struct mortal){.pool = pool, .number = (unsigned)died + i};
            assert_int_equal(pthread_create(&threads[i].thread, NULL, live_and_die, &threads[i]), 0);
        }
        for (unsigned i = 0; i < THREADS; i++)
            assert_int_equal(pthread_join(threads[i].thread, NULL), 0);
        for (unsigned i = 0; i < THREADS; i++)
            CHECK_STATUS(slabby_release(pool, threads[i].heirloom), SLABBY_OK);
    }
    finish(pool);
}

/* Guards: law 10, a thread may end anywhere outside a call; ids in caches belong to no thread. */
static void ten_thousand_deaths(void **state) {
    (void)state;
    deaths_cost_nothing(NULL, scaled(6000));
    deaths_cost_nothing(WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, SLABBY_CPU_CACHE_BACKEND_PORTABLE}),
                        scaled(2000));
    deaths_cost_nothing(
        WITH({SLABBY_OPTION_REUSE_DELAY, 8}, {SLABBY_OPTION_BIT_GUARD, 1}, {SLABBY_OPTION_AUDIT, 64}),
        scaled(2000));
}

/* -------------------------------------------------------------------------------------------- cancellation */

struct candidate {
    slabby_allocator *pool;
    slabby_ref ref;
    slabby_status status;
    int number; /* of its thread, once it waits */
    _Atomic bool waits, returned;
};

static void give_back(void *argument) {
    struct candidate *self = argument;
    if (self->status == SLABBY_OK)
        CHECK_STATUS(slabby_release(self->pool, self->ref), SLABBY_OK);
}

static void *wait_for_a_slab(void *argument) {
    struct candidate *self = argument;
    pthread_cleanup_push(give_back, self);
    self->status = SLABBY_TIMEOUT;
    atomic_store(&self->waits, true);
    self->status = slabby_allocate_timeout(&self->ref, NULL, self->pool, 60 * SECOND);
    atomic_store(&self->returned, true);
    pthread_testcancel();
    pthread_cleanup_pop(1);
    return NULL;
}

/* Guards: a cancelled wait goes on, is served in its turn, and ends with its slab in the caller's hands. */
static void a_wait_is_no_cancellation_point(void **state) {
    (void)state;
    slabby_allocator *pool = make_pool(64, 2, NULL);
    slabby_ref held[2] = {take(pool), take(pool)};
    struct candidate candidates[3];
    pthread_t threads[3];
    memset(candidates, 0, sizeof candidates);
    for (int i = 0; i < 3; i++) {
        candidates[i].pool = pool;
        begin(&threads[i], wait_for_a_slab, &candidates[i]);
        until_waiting(pool, (uint64_t)i + 1);
        assert_int_equal(pthread_cancel(threads[i]), 0);
    }
    sleep_ns(20 * MILLISECOND); /* time enough for a cancellation to end a wait */
    for (int i = 0; i < 3; i++)
        assert_false(atomic_load(&candidates[i].returned));
    CHECK_STATUS(slabby_release(pool, held[0]), SLABBY_OK);
    for (int i = 0; i < 3; i++) {
        expect_cancelled(threads[i]);
        CHECK_STATUS(candidates[i].status, SLABBY_OK);
    }
    CHECK_STATUS(slabby_release(pool, held[1]), SLABBY_OK);
    finish(pool);
}

static atomic_int at_rest, go_on;

static void stop_at_rest(int point) {
    if (point != SLB_POINT_AT_REST)
        return;
    atomic_store(&at_rest, 1);
    WAIT_UNTIL(atomic_load(&go_on));
}

static void *trim(void *pool) {
    CHECK_STATUS(slabby_trim(NULL, pool), SLABBY_OK);
    return NULL;
}

/* Waits for the end of maintenance, long enough to sleep, with its cancellation pending all the time. */
static void *allocate_cancelled(void *argument) {
    struct candidate *self = argument;
    pthread_cleanup_push(give_back, self);
    self->status = SLABBY_TIMEOUT;
    pthread_cancel(pthread_self());
    self->number = thread_number();
    atomic_store(&self->waits, true);
    self->status = slabby_allocate(&self->ref, NULL, self->pool);
    pthread_testcancel();
    pthread_cleanup_pop(1);
    return NULL;
}

/* Guards: the sleep of a call that waits for another thread. */
static void a_call_in_the_way_of_maintenance_is_finished(void **state) {
    struct candidate candidate = {.pool = make_pool(64, 4, NULL)};
    pthread_t trimming, thread;
    (void)state;
    atomic_store(&at_rest, 0);
    atomic_store(&go_on, 0);
    CHECK_STATUS(slabby_release(candidate.pool, take(candidate.pool)),
                 SLABBY_OK); /* a trim has something to do */
    slb_test_point = stop_at_rest;
    assert_int_equal(pthread_create(&trimming, NULL, trim, candidate.pool), 0);
    WAIT_UNTIL(atomic_load(&at_rest));
    begin(&thread, allocate_cancelled, &candidate);
    WAIT_UNTIL(atomic_load(&candidate.waits));
    WAIT_UNTIL(thread_is_asleep(candidate.number));
    atomic_store(&go_on, 1);
    expect_cancelled(thread);
    assert_int_equal(pthread_join(trimming, NULL), 0);
    slb_test_point = NULL;
    CHECK_STATUS(candidate.status, SLABBY_OK);
    finish(candidate.pool);
}

static void forgetful_logger(void *context, const slabby_event *event) {
    (void)event;
    atomic_fetch_add((atomic_int *)context, 1);
    pthread_testcancel();
}

struct errand {
    slabby_allocator *pool;
    slabby_options *options;
    slabby_listener *listener;
    slabby_ref ref;
    int out;
    atomic_int done, reported;
};

/* Everything that reaches the system or user code, with the cancellation pending: a grant that signals a notifier, a
 * file, a pool's whole life, a logger. */
static void *run_errands(void *argument) {
    struct errand *errand = argument;
    slabby_allocator *own = NULL;
    slabby_listener *listener = NULL;
    uint64_t ticket, cursor = 0;
    int32_t fd;
    pthread_cancel(pthread_self());
    CHECK_STATUS(slabby_release(errand->pool, errand->ref), SLABBY_OK);
    CHECK_STATUS(slabby_audit_write(NULL, &cursor, errand->pool, errand->out, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_create(&own, 4000, 4, errand->options, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_listener_create(&listener, &fd, own, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    CHECK_STATUS(slabby_verify(NULL, &ticket, own, 0), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(own), SLABBY_OK);
    atomic_store(&errand->done, 1);
    pthread_testcancel();
    return NULL;
}

/* Guards: no function of the core is a cancellation point, so no lock is left behind. */
static void no_call_is_a_cancellation_point(void **state) {
    struct errand errand = {.pool = make_pool(64, 1, WITH({SLABBY_OPTION_AUDIT, 64}))};
    uint64_t ticket, count;
    pthread_t thread;
    int32_t fd;
    int ends[2];
    (void)state;
    assert_int_equal(pipe(ends), 0);
    errand.out = ends[1];
    errand.ref = take(errand.pool);
    CHECK_STATUS(slabby_options_create(&errand.options), SLABBY_OK);
    CHECK_STATUS(slabby_options_set_logger(errand.options, forgetful_logger, &errand.reported, NULL),
                 SLABBY_OK);
    CHECK_STATUS(slabby_options_set(errand.options, SLABBY_OPTION_GUARD_PAGES, 1, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_listener_create(&errand.listener, &fd, errand.pool, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_wait_begin(&ticket, errand.listener, 0), SLABBY_OK);
    begin(&thread, run_errands, &errand);
    expect_cancelled(thread);
    assert_int_equal(atomic_load(&errand.done), 1);
    assert_true(atomic_load(&errand.reported) > 0);
    slabby_options_destroy(errand.options);
    CHECK_STATUS(slabby_wait_take(&ticket, &errand.ref, NULL, &count, errand.listener, 1), SLABBY_OK);
    assert_int_equal(count, 1);
    CHECK_STATUS(slabby_release(errand.pool, errand.ref), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(errand.listener), SLABBY_OK);
    finish(errand.pool);
    close(ends[0]);
    close(ends[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_thousand_deaths),
        cmocka_unit_test(a_wait_is_no_cancellation_point),
        cmocka_unit_test(a_call_in_the_way_of_maintenance_is_finished),
        cmocka_unit_test(no_call_is_a_cancellation_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
