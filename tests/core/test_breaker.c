/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The circuit breaker under a clock of our own: every transition, and random events against a model. */
#define _GNU_SOURCE
#include "manual_clock.h"
#include "support.h"
#include "waiting.h"

#include "test_hooks.h"

#include <stdbool.h>

static slabby_allocator *breaker_pool(int64_t threshold, int64_t probes) {
    return make_pool(64, 1,
                     WITH({SLABBY_OPTION_CIRCUIT_BREAKER_THRESHOLD, threshold},
                          {SLABBY_OPTION_CIRCUIT_BREAKER_TIMEOUT, 10 * (int64_t)SECOND},
                          {SLABBY_OPTION_CIRCUIT_BREAKER_PROBES, probes}));
}

static void fail_times(slabby_allocator *pool, int times) {
    slabby_ref ref;
    for (int i = 0; i < times; i++)
        CHECK_STATUS(slabby_allocate(&ref, NULL, pool), SLABBY_OUT_OF_MEMORY);
}

static void check_state(slabby_allocator *pool, int32_t expected) {
    assert_int_equal(stats_of(pool).breaker_state, expected);
}

/* Guards: `threshold` failures in a row open, a success in between starts the count anew. */
static void failures_in_a_row_open(void **state) {
    (void)state;
    slabby_allocator *pool = breaker_pool(3, 1);
    slabby_ref ref = take(pool), other;
    fail_times(pool, 2);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    ref = take(pool);
    fail_times(pool, 2);
    check_state(pool, SLABBY_BREAKER_STATE_CLOSED);
    fail_times(pool, 1);
    check_state(pool, SLABBY_BREAKER_STATE_OPEN);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_allocate(&other, NULL, pool), SLABBY_CIRCUIT_BREAKER_OPEN);
    CHECK_STATUS(slabby_allocate_batch(&other, NULL, pool, 1), SLABBY_CIRCUIT_BREAKER_OPEN);
    assert_int_equal(stats_of(pool).errors[-SLABBY_CIRCUIT_BREAKER_OPEN], 2);
    finish(breaker_pool(0, 1));
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_DISABLED), SLABBY_OK);
    finish(pool);
}

/* Guards: the timeout, within a tenth either way, then a probe whose success closes. */
static void a_probe_closes(void **state) {
    (void)state;
    slabby_allocator *pool = breaker_pool(1, 1);
    slabby_ref ref = take(pool), other;
    fail_times(pool, 1);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    clock_ns += 9 * SECOND - 1;
    CHECK_STATUS(slabby_allocate(&other, NULL, pool), SLABBY_CIRCUIT_BREAKER_OPEN);
    clock_ns += 2 * SECOND + 1;
    ref = take(pool);
    check_state(pool, SLABBY_BREAKER_STATE_CLOSED);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

/* Guards: a probe that fails opens again, for another timeout. */
static void a_failed_probe_opens_again(void **state) {
    (void)state;
    slabby_allocator *pool = breaker_pool(1, 1);
    slabby_ref ref = take(pool), other;
    fail_times(pool, 1);
    clock_ns += 12 * SECOND;
    fail_times(pool, 1);
    check_state(pool, SLABBY_BREAKER_STATE_OPEN);
    CHECK_STATUS(slabby_allocate(&other, NULL, pool), SLABBY_CIRCUIT_BREAKER_OPEN);
    clock_ns += 12 * SECOND;
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    ref = take(pool);
    check_state(pool, SLABBY_BREAKER_STATE_CLOSED);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

/* Guards: more than half of a window's calls failing opens too, though never in a row. */
static void a_high_rate_opens(void **state) {
    (void)state;
    slabby_allocator *pool = breaker_pool(10, 1);
    int rounds = 0;
    while (stats_of(pool).breaker_state == SLABBY_BREAKER_STATE_CLOSED && rounds < 100) {
        slabby_ref ref = take(pool);
        fail_times(pool, 2);
        CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
        rounds++;
    }
    assert_in_range(rounds, 6, 8); /* 20 calls, two of three failing */
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_DISABLED), SLABBY_OK);
    finish(pool);
}

/* Guards: what an operator forces, and the way back. */
static void operators_have_the_last_word(void **state) {
    (void)state;
    slabby_allocator *pool = breaker_pool(1, 1);
    slabby_ref ref;
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_FORCED_OPEN), SLABBY_OK);
    CHECK_STATUS(slabby_allocate(&ref, NULL, pool), SLABBY_CIRCUIT_BREAKER_OPEN);
    clock_ns += 1000 * SECOND;
    CHECK_STATUS(slabby_allocate(&ref, NULL, pool), SLABBY_CIRCUIT_BREAKER_OPEN);
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_NORMAL), SLABBY_OK);
    ref = take(pool);
    fail_times(pool, 1);
    check_state(pool, SLABBY_BREAKER_STATE_OPEN);
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_METRICS_ONLY), SLABBY_OK);
    fail_times(pool, 3); /* refused for lack of slabs, not by the breaker */
    check_state(pool, SLABBY_BREAKER_STATE_OPEN);
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_DISABLED), SLABBY_OK);
    check_state(pool, SLABBY_BREAKER_STATE_CLOSED);
    fail_times(pool, 3);
    check_state(pool, SLABBY_BREAKER_STATE_CLOSED);
    CHECK_STATUS(slabby_breaker_force(pool, 4), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

/* Guards: waiting is no failure, however often it looks (capacity 1, threshold 5). */
static void waiting_never_trips(void **state) {
    (void)state;
    slabby_allocator *pool = breaker_pool(5, 1);
    struct awaited_release release;
    slabby_ref held = take(pool);
    slabby_ref ref;
    for (int i = 0; i < 10; i++)
        CHECK_STATUS(slabby_allocate_timeout(&ref, NULL, pool, 1000), SLABBY_TIMEOUT);
    begin_awaited_release(&release, pool, held);
    CHECK_STATUS(slabby_allocate_timeout(&ref, NULL, pool, 60 * SECOND), SLABBY_OK);
    end_awaited_release(&release);
    check_state(pool, SLABBY_BREAKER_STATE_CLOSED);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

/* Guards: a probe that has to wait for its slab, and gets it, closes like any other. */
static void a_probe_that_waits_closes(void **state) {
    (void)state;
    slabby_allocator *pool = breaker_pool(1, 1);
    struct awaited_release release;
    slabby_ref held = take(pool);
    slabby_ref ref;
    fail_times(pool, 1);
    clock_ns += 12 * SECOND;
    begin_awaited_release(&release, pool, held);
    CHECK_STATUS(slabby_allocate_timeout(&ref, NULL, pool, 60 * SECOND), SLABBY_OK);
    end_awaited_release(&release);
    check_state(pool, SLABBY_BREAKER_STATE_CLOSED);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

/* Guards: a try or a wait in vain, and a cancelled ticket, are neither success nor failure, so the next one may probe;
 * while one waits, nobody else may. */
static void a_probe_in_vain_admits_the_next(void **state) {
    (void)state;
    slabby_allocator *pool = breaker_pool(1, 1);
    slabby_listener *listener;
    uint64_t ticket, refused;
    slabby_ref held = take(pool), ref;
    fail_times(pool, 1);
    clock_ns += 12 * SECOND;
    CHECK_STATUS(slabby_listener_create(&listener, NULL, pool, NULL), SLABBY_OK);
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(slabby_try_allocate(&ref, NULL, pool), SLABBY_OUT_OF_MEMORY);
        CHECK_STATUS(slabby_allocate_timeout(&ref, NULL, pool, 1), SLABBY_TIMEOUT);
        CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_OK);
        CHECK_STATUS(slabby_try_allocate(&ref, NULL, pool), SLABBY_CIRCUIT_BREAKER_OPEN);
        CHECK_STATUS(slabby_wait_begin(&refused, listener, 0), SLABBY_CIRCUIT_BREAKER_OPEN);
        CHECK_STATUS(slabby_wait_cancel(&ref, listener, ticket), SLABBY_OK);
        check_state(pool, SLABBY_BREAKER_STATE_HALF_OPEN);
    }
    CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    fail_times(pool, 1); /* what a probe of this round left behind does not count in the next */
    check_state(pool, SLABBY_BREAKER_STATE_OPEN);
    clock_ns += 12 * SECOND;
    CHECK_STATUS(slabby_release(pool, held), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    check_state(pool, SLABBY_BREAKER_STATE_CLOSED);
    finish(pool);
}

/* Guards: a wait of an earlier round makes no room in a later one. */
static void a_late_probe_admits_none(void **state) {
    (void)state;
    slabby_allocator *pool = breaker_pool(1, 1);
    slabby_listener *listener;
    uint64_t early, late;
    slabby_ref held = take(pool), ref;
    fail_times(pool, 1);
    CHECK_STATUS(slabby_listener_create(&listener, NULL, pool, NULL), SLABBY_OK);
    clock_ns += 12 * SECOND;
    CHECK_STATUS(slabby_wait_begin(&early, listener, 0), SLABBY_OK);
    clock_ns += 12 * SECOND; /* the first has not ended in time, so another is admitted */
    CHECK_STATUS(slabby_wait_begin(&late, listener, 0), SLABBY_OK);
    CHECK_STATUS(slabby_wait_cancel(&ref, listener, early), SLABBY_OK);
    CHECK_STATUS(slabby_try_allocate(&ref, NULL, pool), SLABBY_CIRCUIT_BREAKER_OPEN);
    CHECK_STATUS(slabby_wait_cancel(&ref, listener, late), SLABBY_OK);
    CHECK_STATUS(slabby_try_allocate(&ref, NULL, pool), SLABBY_OUT_OF_MEMORY);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, held), SLABBY_OK);
    finish(pool);
}

/* The breaker as the header describes it, for one thread and a pool of one slab. */
struct model {
    int32_t state;
    int in_a_row;
    uint64_t earliest, latest; /* when it may half open: the timeout is spread */
    uint64_t allocations;
    uint64_t window, window_allocations, window_failures; /* the rate rule's ten seconds */
};

static bool model_trips(struct model *model) {
    if (clock_ns - model->window > 10 * SECOND) {
        model->window = clock_ns;
        model->window_allocations = model->allocations;
        model->window_failures = 0;
    }
    uint64_t failed = ++model->window_failures;
    uint64_t calls = model->allocations - model->window_allocations + failed;
    return ++model->in_a_row >= 4 || (calls >= 20 && 2 * failed > calls);
}

static slabby_status model_allocate(struct model *model, bool taken, bool *out_uncertain) {
    *out_uncertain = false;
    if (model->state == SLABBY_BREAKER_STATE_OPEN) {
        if (clock_ns < model->earliest)
            return SLABBY_CIRCUIT_BREAKER_OPEN;
        *out_uncertain = clock_ns < model->latest;
    }
    bool probe = model->state == SLABBY_BREAKER_STATE_OPEN;
    if (!taken) {
        model->state = SLABBY_BREAKER_STATE_CLOSED;
        model->in_a_row = 0;
        model->allocations++;
        return SLABBY_OK;
    }
    if (probe || model_trips(model)) {
        model->state = SLABBY_BREAKER_STATE_OPEN;
        model->in_a_row = 0;
        model->earliest = clock_ns + 9 * SECOND;
        model->latest = clock_ns + 11 * SECOND;
    }
    return SLABBY_OUT_OF_MEMORY;
}

/* Guards: random successes, failures and pauses move the breaker as the model says. */
static void random_events_follow_the_model(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    struct model model = {.state = SLABBY_BREAKER_STATE_CLOSED};
    slabby_allocator *pool = breaker_pool(4, 1);
    slabby_ref held = 0, ref;
    for (uint64_t i = 0; i < scaled(100000); i++) {
        uint64_t dice = random_next(&seed) % 16;
        if (dice < 2)
            clock_ns += random_next(&seed) % 2 ? 12 * SECOND : 3 * SECOND;
        bool uncertain;
        struct model before = model;
        slabby_status expected = model_allocate(&model, held != 0, &uncertain);
        if (uncertain) { /* inside the spread either answer is right: step out of it */
            model = before;
            clock_ns = model.latest;
            continue;
        }
        CHECK_STATUS(slabby_allocate(&ref, NULL, pool), expected);
        assert_int_equal(stats_of(pool).breaker_state, model.state);
        if (expected == SLABBY_OK)
            held = ref;
        if (held != 0 && dice >= 8) {
            CHECK_STATUS(slabby_release(pool, held), SLABBY_OK);
            held = 0;
        }
    }
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_DISABLED), SLABBY_OK);
    if (held != 0)
        CHECK_STATUS(slabby_release(pool, held), SLABBY_OK);
    finish(pool);
}

/* Guards: an allocation over the limit is counted and feeds the breaker; the slow path gives up when its time is over.
 */
static void a_latency_limit_is_enforced(void **state) {
    (void)state;
    slabby_ref ref;
    slabby_allocator *pool = make_pool(64, 64,
                                       WITH({SLABBY_OPTION_MAX_ALLOC_LATENCY, 1},
                                            {SLABBY_OPTION_LATENCY_TRACKING, SLABBY_LATENCY_TRACKING_ALL},
                                            {SLABBY_OPTION_CIRCUIT_BREAKER_THRESHOLD, 1000000}));
    CHECK_STATUS(slabby_allocate(&ref, NULL, pool), SLABBY_OK);
    assert_true(stats_of(pool).latency_violations > 0);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    slabby_status status = SLABBY_OK;
    for (int i = 0; i < 65 && status == SLABBY_OK; i++)
        status = slabby_allocate(&ref, NULL, pool);
    CHECK_STATUS(status, SLABBY_LATENCY_EXCEEDED);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_MAX_ALLOC_LATENCY, 0, NULL), SLABBY_OK);
    while ((status = slabby_allocate(&ref, NULL, pool)) == SLABBY_OK)
        ;
    CHECK_STATUS(status, SLABBY_OUT_OF_MEMORY);
    CHECK_STATUS(slabby_reset(pool), SLABBY_OK);
    finish(pool);
}

static slabby_status allocate_as(int way, slabby_allocator *pool, slabby_listener *listener) {
    slabby_ref ref;
    uint64_t ticket;
    switch (way) {
    case 0:
        return slabby_allocate(&ref, NULL, pool);
    case 1:
        return slabby_allocate_timeout(&ref, NULL, pool, SECOND);
    case 2:
        return slabby_try_allocate(&ref, NULL, pool);
    case 3:
        return slabby_allocate_batch(&ref, NULL, pool, 1);
    default:
        return slabby_wait_begin(&ticket, listener, 0);
    }
}

/* Guards: whichever call gives up over the limit, that is a failure to the breaker, and one that fails as a probe ends
 * its round. */
static void giving_up_is_a_failure_in_every_call(void **state) {
    (void)state;
    for (int way = 0; way < 5; way++) {
        slabby_allocator *pool = breaker_pool(1, 1);
        slabby_listener *listener;
        slabby_ref ref = take(pool);
        CHECK_STATUS(slabby_listener_create(&listener, NULL, pool, NULL), SLABBY_OK);
        CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_MAX_ALLOC_LATENCY, 1, NULL), SLABBY_OK);
        for (int i = 0; i < 2; i++) { /* closed, then half open */
            CHECK_STATUS(allocate_as(way, pool, listener), SLABBY_LATENCY_EXCEEDED);
            check_state(pool, SLABBY_BREAKER_STATE_OPEN);
            clock_ns += 12 * SECOND;
        }
        CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_MAX_ALLOC_LATENCY, 0, NULL), SLABBY_OK);
        CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
        check_state(pool, SLABBY_BREAKER_STATE_CLOSED);
        CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
        finish(pool);
    }
}

#define BREAKER_TEST(name) cmocka_unit_test_setup_teardown(name, set_clock, reset_clock)

/* Codes of the breaker's events since *cursor, each a digit. */
static int events_of(slabby_allocator *pool, uint64_t *cursor) {
    slabby_event event = {.struct_size = sizeof event};
    uint64_t count = 1;
    int codes = 0;
    while (count != 0) {
        CHECK_STATUS(slabby_events_read(&event, &count, NULL, cursor, pool, 1), SLABBY_OK);
        int from_first = event.code - SLABBY_EVENT_CODE_BREAKER_OPENED;
        if (count != 0 && from_first >= 0 && event.code <= SLABBY_EVENT_CODE_BREAKER_FORCED)
            codes = 10 * codes + from_first + 1;
    }
    return codes;
}

static void count_breaker_events(void *context, const slabby_event *event) {
    int *codes = context;
    if (event->code >= SLABBY_EVENT_CODE_BREAKER_OPENED && event->code <= SLABBY_EVENT_CODE_BREAKER_FORCED)
        *codes = 10 * *codes + event->code - SLABBY_EVENT_CODE_BREAKER_OPENED + 1;
}

/* Guards: each change of state is told once, in order, to the cursor and to the logger. */
static void changes_are_reported(void **state) {
    enum { OPENED = 1, HALF_OPEN, CLOSED, FORCED };
    slabby_options *options;
    slabby_allocator *pool;
    uint64_t cursor = 0;
    int logged = 0;
    slabby_ref other;
    (void)state;
    CHECK_STATUS(slabby_options_create(&options), SLABBY_OK);
    CHECK_STATUS(slabby_options_set(options, SLABBY_OPTION_CIRCUIT_BREAKER_THRESHOLD, 1, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_options_set_text(options, "circuit_breaker_timeout", "10s", NULL), SLABBY_OK);
    CHECK_STATUS(slabby_options_set_logger(options, count_breaker_events, &logged, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_create(&pool, 64, 1, options, NULL), SLABBY_OK);
    slabby_options_destroy(options);
    slabby_ref ref = take(pool);
    fail_times(pool, 1);
    CHECK_STATUS(slabby_allocate(&other, NULL, pool), SLABBY_CIRCUIT_BREAKER_OPEN);
    assert_int_equal(events_of(pool, &cursor), OPENED);
    clock_ns += 12 * SECOND;
    fail_times(pool, 1); /* the probe */
    assert_int_equal(events_of(pool, &cursor), 10 * HALF_OPEN + OPENED);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    clock_ns += 12 * SECOND;
    CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    assert_int_equal(events_of(pool, &cursor), 10 * HALF_OPEN + CLOSED);
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_FORCED_OPEN), SLABBY_OK);
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_FORCED_OPEN), SLABBY_OK);
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_NORMAL), SLABBY_OK);
    assert_int_equal(events_of(pool, &cursor), 100 * FORCED + 10 * CLOSED + FORCED);
    assert_int_equal(logged, 12123434);
    finish(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BREAKER_TEST(failures_in_a_row_open),
        BREAKER_TEST(a_probe_closes),
        BREAKER_TEST(a_failed_probe_opens_again),
        BREAKER_TEST(a_high_rate_opens),
        BREAKER_TEST(operators_have_the_last_word),
        BREAKER_TEST(waiting_never_trips),
        BREAKER_TEST(a_probe_that_waits_closes),
        BREAKER_TEST(random_events_follow_the_model),
        BREAKER_TEST(a_latency_limit_is_enforced),
        BREAKER_TEST(changes_are_reported),
        BREAKER_TEST(a_probe_in_vain_admits_the_next),
        BREAKER_TEST(a_late_probe_admits_none),
        BREAKER_TEST(giving_up_is_a_failure_in_every_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
