/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An observer sees what the next caller would meet, and changes nothing: states that time alone moves,
 * a pool that was closed, its name, its peak. */
#include "support.h"

#include "os/os.h"
#include "test_hooks.h"

#include <stdio.h>
#include <string.h>

#define SECOND 1000000000ull

static uint64_t clock_ns;

static uint64_t our_clock(void) {
    return clock_ns;
}

static int set_clock(void **state) {
    (void)state;
    clock_ns = 1000 * SECOND;
    slb_test_clock = our_clock;
    return 0;
}

static int reset_clock(void **state) {
    (void)state;
    slb_test_clock = NULL;
    return 0;
}

static slabby_health health_of(slabby_allocator *pool) {
    slabby_health health;
    memset(&health, 0, sizeof health);
    health.struct_size = sizeof health;
    CHECK_STATUS(slabby_get_health(&health, pool), SLABBY_OK);
    return health;
}

static uint64_t events_of(slabby_allocator *pool) {
    slabby_event events[64];
    uint64_t cursor = 0, count = 0, lost = 0;
    events[0].struct_size = sizeof events[0];
    CHECK_STATUS(slabby_events_read(events, &count, &lost, &cursor, pool, COUNT_OF(events)), SLABBY_OK);
    return count;
}

static const char *json_of(slabby_status (*function)(char *, uint64_t, uint64_t *, slabby_allocator *),
                           slabby_allocator *pool) {
    static char text[16384];
    CHECK_STATUS(function(text, sizeof text, NULL, pool), SLABBY_OK);
    return text;
}

static void check_breaker(slabby_allocator *pool, int32_t breaker, int refuses) {
    uint64_t events = events_of(pool);
    slabby_health health = health_of(pool);
    assert_int_equal(stats_of(pool).breaker_state, breaker);
    assert_int_equal(health.breaker_state, breaker);
    assert_int_equal(health.circuit_breaker_open, refuses);
    const char *spelled[] = {"\"breaker_state\":\"closed\"", "\"breaker_state\":\"open\"",
                             "\"breaker_state\":\"half_open\""};
    assert_non_null(strstr(json_of(slabby_stats_json, pool), spelled[breaker]));
    assert_non_null(strstr(json_of(slabby_health_json, pool), spelled[breaker]));
    assert_non_null(strstr(json_of(slabby_health_json, pool),
                           refuses ? "\"circuit_breaker_open\":true" : "\"circuit_breaker_open\":false"));
    assert_int_equal(events_of(pool), events);
}

static slabby_allocator *breaker_pool(int64_t probes) {
    return make_pool(64, 1,
                     WITH({SLABBY_OPTION_CIRCUIT_BREAKER_THRESHOLD, 1},
                          {SLABBY_OPTION_CIRCUIT_BREAKER_TIMEOUT, 10 * (int64_t)SECOND},
                          {SLABBY_OPTION_CIRCUIT_BREAKER_PROBES, probes}));
}

/* Guards: a breaker whose timeout is over reads half open and ready, for every observer, a tick included, and looking
 * raises no event: the next allocation does. */
static void an_expired_breaker_reads_half_open(void **state) {
    (void)state;
    slabby_allocator *pool = breaker_pool(1);
    slabby_ref ref = take(pool), other;
    CHECK_STATUS(slabby_allocate(&other, NULL, pool), SLABBY_OUT_OF_MEMORY);
    check_breaker(pool, SLABBY_BREAKER_STATE_OPEN, 1);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    assert_true(health_of(pool).health_score == 0.0);
    clock_ns += 13 * SECOND;
    check_breaker(pool, SLABBY_BREAKER_STATE_HALF_OPEN, 0);
    assert_true(health_of(pool).health_score > 0.0);
    uint64_t events = events_of(pool);
    CHECK_STATUS(slabby_health_tick(pool), SLABBY_OK);
    assert_int_equal(events_of(pool), events);
    ref = take(pool);
    assert_int_equal(events_of(pool), events + 2); /* half open, closed */
    check_breaker(pool, SLABBY_BREAKER_STATE_CLOSED, 0);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

/* Guards: half open with every probe out, the next allocation would be refused, and who looks is told so, until the
 * probes' time is over. */
static void half_open_without_probes_refuses(void **state) {
    (void)state;
    slabby_allocator *pool = breaker_pool(1);
    slabby_listener *listener;
    slabby_ref ref = take(pool), other;
    uint64_t ticket;
    int32_t fd;
    CHECK_STATUS(slabby_allocate(&other, NULL, pool), SLABBY_OUT_OF_MEMORY);
    clock_ns += 13 * SECOND;
    CHECK_STATUS(slabby_listener_create(&listener, &fd, pool, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_OK); /* a probe that is still waiting */
    check_breaker(pool, SLABBY_BREAKER_STATE_HALF_OPEN, 1);
    CHECK_STATUS(slabby_allocate(&other, NULL, pool), SLABBY_CIRCUIT_BREAKER_OPEN);
    clock_ns += 13 * SECOND;
    check_breaker(pool, SLABBY_BREAKER_STATE_HALF_OPEN, 0);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

/* Guards: forced open never expires. */
static void forced_open_stays(void **state) {
    (void)state;
    slabby_allocator *pool = breaker_pool(1);
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_FORCED_OPEN), SLABBY_OK);
    clock_ns += 1000 * SECOND;
    check_breaker(pool, SLABBY_BREAKER_STATE_OPEN, 1);
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_NORMAL), SLABBY_OK);
    finish(pool);
}

/* Guards: with metrics_only looking shows half open, then closed once an allocation succeeded; the events come with
 * the tick. */
static void metrics_only_moves_without_events(void **state) {
    (void)state;
    slabby_allocator *pool = breaker_pool(1);
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_METRICS_ONLY), SLABBY_OK);
    slabby_ref ref = take(pool), other;
    CHECK_STATUS(slabby_allocate(&other, NULL, pool), SLABBY_OUT_OF_MEMORY);
    check_breaker(pool, SLABBY_BREAKER_STATE_OPEN, 0);
    clock_ns += 13 * SECOND;
    check_breaker(pool, SLABBY_BREAKER_STATE_HALF_OPEN, 0);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    ref = take(pool);
    check_breaker(pool, SLABBY_BREAKER_STATE_CLOSED, 0);
    uint64_t events = events_of(pool);
    CHECK_STATUS(slabby_health_tick(pool), SLABBY_OK);
    assert_int_equal(events_of(pool), events + 2);
    check_breaker(pool, SLABBY_BREAKER_STATE_CLOSED, 0);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

/* Guards: a second after the use fell, who looks sees the pool healthy although nobody allocates or ticks; no step is
 * taken and no event raised by looking. */
static void degradation_passes_while_no_call_comes(void **state) {
    (void)state;
    slabby_allocator *pool = make_pool(64, 10, WITH({SLABBY_OPTION_DEGRADE_AT, 80}));
    slabby_ref refs[9];
    for (int i = 0; i < 9; i++)
        refs[i] = take(pool);
    CHECK_STATUS(slabby_health_tick(pool), SLABBY_OK);
    assert_int_equal(stats_of(pool).degradation_state, SLABBY_DEGRADATION_STATE_DEGRADED);
    for (int i = 0; i < 9; i++)
        CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
    uint64_t events = events_of(pool);
    assert_int_equal(health_of(pool).degradation_state, SLABBY_DEGRADATION_STATE_DEGRADED);
    clock_ns += 2 * SECOND;
    assert_int_equal(health_of(pool).degradation_state, SLABBY_DEGRADATION_STATE_HEALTHY);
    assert_int_equal(stats_of(pool).degradation_state, SLABBY_DEGRADATION_STATE_HEALTHY);
    assert_non_null(strstr(json_of(slabby_stats_json, pool), "\"degradation_state\":\"healthy\""));
    assert_int_equal(events_of(pool), events);
    CHECK_STATUS(slabby_health_tick(pool), SLABBY_OK);
    assert_int_equal(events_of(pool), events + 1);
    finish(pool);
}

/* Guards: a closed pool says so and has no health; with its last slab it is drained. */
static void a_closed_pool_says_so(void **state) {
    (void)state;
    slabby_allocator *pool = make_pool(64, 10, NULL);
    slabby_ref ref = take(pool);
    assert_int_equal(stats_of(pool).pool_state, SLABBY_POOL_STATE_OPEN);
    assert_int_equal(health_of(pool).pool_state, SLABBY_POOL_STATE_OPEN);
    assert_true(health_of(pool).health_score > 0.5);
    CHECK_STATUS(slabby_close(pool), SLABBY_OK);
    assert_int_equal(stats_of(pool).pool_state, SLABBY_POOL_STATE_CLOSED);
    assert_int_equal(health_of(pool).pool_state, SLABBY_POOL_STATE_CLOSED);
    assert_true(health_of(pool).health_score == 0.0);
    assert_non_null(strstr(json_of(slabby_health_json, pool), "\"pool_state\":\"closed\""));
    assert_non_null(strstr(json_of(slabby_stats_json, pool), "\"pool_state\":\"closed\""));
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    assert_int_equal(stats_of(pool).pool_state, SLABBY_POOL_STATE_DRAINED);
    assert_true(health_of(pool).health_score == 0.0);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

static slabby_allocator *named_pool(const char *name) {
    slabby_options *options;
    slabby_allocator *pool;
    CHECK_STATUS(slabby_options_create(&options), SLABBY_OK);
    CHECK_STATUS(slabby_options_set_text(options, "name", name, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_options_set_text(options, "circuit_breaker_timeout", "1.5s", NULL), SLABBY_OK);
    CHECK_STATUS(slabby_create(&pool, 64, 10, options, NULL), SLABBY_OK);
    slabby_options_destroy(options);
    return pool;
}

/* Guards: name and capacity are in every snapshot and its JSON, escaped where they must be. */
static void snapshots_carry_the_name(void **state) {
    (void)state;
    slabby_allocator *pool = named_pool("or\"der\xC3\xA9\xFF");
    slabby_memory memory = {.struct_size = sizeof memory};
    assert_string_equal(stats_of(pool).name, "or\"der\xC3\xA9\xFF");
    assert_string_equal(health_of(pool).name, "or\"der\xC3\xA9\xFF");
    assert_int_equal(health_of(pool).capacity, 10);
    CHECK_STATUS(slabby_get_memory(&memory, pool), SLABBY_OK);
    assert_string_equal(memory.name, "or\"der\xC3\xA9\xFF");
    assert_int_equal(memory.capacity, 10);
    const char *spelled = "\"name\":\"or\\u0022der\xC3\xA9\\ufffd\"";
    assert_non_null(strstr(json_of(slabby_stats_json, pool), spelled));
    assert_non_null(strstr(json_of(slabby_health_json, pool), spelled));
    assert_non_null(strstr(json_of(slabby_memory_json, pool), spelled));
    assert_non_null(strstr(json_of(slabby_health_json, pool), "\"capacity\":10"));
    assert_non_null(strstr(json_of(slabby_memory_json, pool), "\"capacity\":10"));
    finish(pool);
}

/* Guards: each option reads back as text that sets it again; a text too long says how long it is. */
static void options_read_back_as_text(void **state) {
    static const struct {
        const char *name, *text;
    } cases[] = {{"name", "orders"},       {"circuit_breaker_timeout", "1500ms"},
                 {"secure", "off"},        {"shards", NULL},
                 {"alignment", "64B"},     {"latency_tracking", "sampled"},
                 {"degrade_at", "0%"},     {"heap_fallback_limit", "10"},
                 {"health_interval", "1s"}};
    slabby_allocator *pool = named_pool("orders");
    char text[64];
    uint64_t length;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CHECK_STATUS(slabby_get_option_text(text, sizeof text, &length, pool, cases[i].name), SLABBY_OK);
        if (cases[i].text != NULL)
            assert_string_equal(text, cases[i].text);
        assert_int_equal(length, strlen(text));
        slabby_options *options;
        CHECK_STATUS(slabby_options_create(&options), SLABBY_OK);
        CHECK_STATUS(slabby_options_set_text(options, cases[i].name, text, NULL), SLABBY_OK);
        slabby_options_destroy(options);
    }
    CHECK_STATUS(slabby_get_option_text(text, 3, &length, pool, "name"), SLABBY_BUFFER_TOO_SMALL);
    assert_string_equal(text, "or");
    assert_int_equal(length, 6);
    CHECK_STATUS(slabby_get_option_text(text, sizeof text, NULL, pool, "nmae"), SLABBY_INVALID_OPTION);
    CHECK_STATUS(slabby_get_option_text(text, sizeof text, NULL, pool, NULL), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_get_option_text(NULL, 1, NULL, pool, "name"), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_close(pool), SLABBY_OK);
    slabby_allocator *destroyed = pool;
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    CHECK_STATUS(slabby_get_option_text(text, sizeof text, NULL, destroyed, "name"), SLABBY_CLOSED);
}

/* A run whose use stays at `used`, far below what the caches hold, seen by nobody meanwhile. */
static uint64_t peak_of_a_quiet_run(uint64_t used, uint64_t capacity, int64_t tracking) {
    slabby_allocator *pool = make_pool(64, capacity, WITH({SLABBY_OPTION_LATENCY_TRACKING, tracking}));
    slabby_ref refs[64];
    for (int round = 0; round < 20000; round++) {
        for (uint64_t i = 0; i < used; i++)
            refs[i] = take(pool);
        CHECK_STATUS(slabby_release_batch(NULL, pool, refs, used), SLABBY_OK);
    }
    uint64_t peak = stats_of(pool).peak_used;
    assert_true(health_of(pool).memory_pressure * (double)capacity >= (double)peak - 0.5);
    finish(pool);
    return peak;
}

/* Guards: sampled allocations find a peak below the caches' size, within a slab or two; without them the refill of an
 * empty cache still finds the first. */
static void a_small_peak_is_found(void **state) {
    (void)state;
    assert_in_range(peak_of_a_quiet_run(20, 10000, SLABBY_LATENCY_TRACKING_SAMPLED), 17, 20);
    assert_in_range(peak_of_a_quiet_run(20, 10000, SLABBY_LATENCY_TRACKING_OFF), 1, 20);
}

/* Guards: a large peak that came once and went is found within a batch a CPU, by refills alone. */
static void a_large_peak_is_found(void **state) {
    static slabby_ref refs[6000];
    (void)state;
    slabby_allocator *pool = make_pool(64, 10000, WITH({SLABBY_OPTION_LATENCY_TRACKING, 0}));
    uint64_t batch = 120 * (slb_os_cpu_count() / 8 + 1);
    for (uint64_t i = 0; i < COUNT_OF(refs); i++)
        refs[i] = take(pool);
    CHECK_STATUS(slabby_release_batch(NULL, pool, refs, COUNT_OF(refs)), SLABBY_OK);
    assert_in_range(stats_of(pool).peak_used, COUNT_OF(refs) - batch, COUNT_OF(refs));
    finish(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_expired_breaker_reads_half_open, set_clock, reset_clock),
        cmocka_unit_test_setup_teardown(half_open_without_probes_refuses, set_clock, reset_clock),
        cmocka_unit_test_setup_teardown(forced_open_stays, set_clock, reset_clock),
        cmocka_unit_test_setup_teardown(metrics_only_moves_without_events, set_clock, reset_clock),
        cmocka_unit_test_setup_teardown(degradation_passes_while_no_call_comes, set_clock, reset_clock),
        cmocka_unit_test(a_closed_pool_says_so),
        cmocka_unit_test(snapshots_carry_the_name),
        cmocka_unit_test(options_read_back_as_text),
        /* A clock that stands still: the window of health lasts as long as the run. */
        cmocka_unit_test_setup_teardown(a_small_peak_is_found, set_clock, reset_clock),
        cmocka_unit_test(a_large_peak_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
