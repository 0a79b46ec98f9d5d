/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Degradation under a clock of our own: every step up and down, what each state does, and who is told. */
#define _GNU_SOURCE
#include "manual_clock.h"
#include "support.h"

#include "test_hooks.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define HEALTHY SLABBY_DEGRADATION_STATE_HEALTHY
#define DEGRADED SLABBY_DEGRADATION_STATE_DEGRADED
#define SURVIVAL SLABBY_DEGRADATION_STATE_SURVIVAL
#define FALLBACK SLABBY_DEGRADATION_STATE_FALLBACK
#define THRESHOLDS                                                                                           \
    {SLABBY_OPTION_DEGRADE_AT, 80}, {                                                                        \
        SLABBY_OPTION_SURVIVE_AT, 95                                                                         \
    }

/* ------------------------------------------------------------------------------------- a pool at a use */

struct use {
    slabby_allocator *pool;
    slabby_ref refs[400];
    uint32_t count;
};

static void go_to(struct use *use, uint32_t count) {
    assert_in_range(count, 0, COUNT_OF(use->refs));
    while (use->count < count)
        use->refs[use->count++] = take(use->pool);
    while (use->count > count && use->count <= COUNT_OF(use->refs))
        CHECK_STATUS(slabby_release(use->pool, use->refs[--use->count]), SLABBY_OK);
}

/* The state as a tick finds it, in both snapshots. */
static int32_t state_of(slabby_allocator *pool) {
    slabby_health health = {.struct_size = sizeof health};
    CHECK_STATUS(slabby_health_tick(pool), SLABBY_OK);
    CHECK_STATUS(slabby_get_health(&health, pool), SLABBY_OK);
    assert_int_equal(health.degradation_state, stats_of(pool).degradation_state);
    return health.degradation_state;
}

/* Events about degradation since *cursor, as their values. */
static int steps_reported(slabby_allocator *pool, uint64_t *cursor, int64_t *values, int capacity) {
    slabby_event event = {.struct_size = sizeof event};
    uint64_t count;
    int reported = 0;
    for (;;) {
        CHECK_STATUS(slabby_events_read(&event, &count, NULL, cursor, pool, 1), SLABBY_OK);
        if (count == 0)
            return reported;
        if (event.code != SLABBY_EVENT_CODE_DEGRADATION)
            continue;
        assert_true(reported < capacity);
        if (event.value == HEALTHY)
            assert_int_equal(event.level, SLABBY_EVENT_LEVEL_INFO);
        if (event.value == FALLBACK)
            assert_int_equal(event.level, SLABBY_EVENT_LEVEL_WARNING);
        values[reported++] = event.value;
    }
}

static void check_reported(slabby_allocator *pool, uint64_t *cursor, int count, const int64_t *expected) {
    int64_t values[16];
    assert_int_equal(steps_reported(pool, cursor, values, 16), count);
    for (int i = 0; i < count; i++)
        assert_int_equal(values[i], expected[i]);
}

#define CHECK_REPORTED(pool, cursor, ...)                                                                    \
    check_reported((pool), (cursor), (int)(sizeof((int64_t[]){__VA_ARGS__}) / 8),                            \
                   (const int64_t[]){__VA_ARGS__})

/* ------------------------------------------------------------------------------------------- transitions */

/* Guards: up at the thresholds at once; down 10 points below and after a second, never before; each step is told. */
static void states_follow_the_use(void **state) {
    struct use use = {.pool = make_pool(64, 100, WITH(THRESHOLDS))};
    uint64_t cursor = 0;
    (void)state;
    go_to(&use, 79);
    assert_int_equal(state_of(use.pool), HEALTHY);
    go_to(&use, 80);
    assert_int_equal(state_of(use.pool), DEGRADED);
    CHECK_REPORTED(use.pool, &cursor, DEGRADED);
    go_to(&use, 94);
    assert_int_equal(state_of(use.pool), DEGRADED);
    go_to(&use, 95);
    assert_int_equal(state_of(use.pool), SURVIVAL);
    go_to(&use, 86); /* not 10 points below */
    assert_int_equal(state_of(use.pool), SURVIVAL);
    clock_ns += 100 * SECOND;
    assert_int_equal(state_of(use.pool), SURVIVAL);
    go_to(&use, 85);
    assert_int_equal(state_of(use.pool), SURVIVAL);
    clock_ns += SECOND - 1;
    assert_int_equal(state_of(use.pool), SURVIVAL);
    clock_ns += 1;
    assert_int_equal(state_of(use.pool), DEGRADED);
    go_to(&use, 71);
    clock_ns += 5 * SECOND;
    assert_int_equal(state_of(use.pool), DEGRADED);
    go_to(&use, 70);
    assert_int_equal(state_of(use.pool), DEGRADED);
    clock_ns += SECOND;
    assert_int_equal(state_of(use.pool), HEALTHY);
    CHECK_REPORTED(use.pool, &cursor, SURVIVAL, DEGRADED, HEALTHY);
    go_to(&use, 0);
    finish(use.pool);
}

/* Guards: the second begins anew whenever the use comes back in between. */
static void a_spike_starts_the_second_anew(void **state) {
    struct use use = {.pool = make_pool(64, 100, WITH(THRESHOLDS))};
    (void)state;
    go_to(&use, 90);
    assert_int_equal(state_of(use.pool), DEGRADED);
    go_to(&use, 60);
    assert_int_equal(state_of(use.pool), DEGRADED);
    clock_ns += SECOND / 2;
    go_to(&use, 75);
    assert_int_equal(state_of(use.pool), DEGRADED);
    go_to(&use, 60);
    assert_int_equal(state_of(use.pool), DEGRADED);
    clock_ns += SECOND / 2;
    assert_int_equal(state_of(use.pool), DEGRADED);
    clock_ns += SECOND / 2;
    assert_int_equal(state_of(use.pool), HEALTHY);
    go_to(&use, 0);
    finish(use.pool);
}

/* Guards: steps skip states both ways, and each way is one event. */
static void steps_may_skip_states(void **state) {
    struct use use = {.pool = make_pool(64, 100, WITH(THRESHOLDS))};
    uint64_t cursor = 0;
    (void)state;
    CHECK_STATUS(slabby_allocate_batch(use.refs, NULL, use.pool, 100), SLABBY_OK);
    use.count = 100;
    CHECK_REPORTED(use.pool, &cursor, SURVIVAL);
    go_to(&use, 0);
    assert_int_equal(state_of(use.pool), SURVIVAL);
    clock_ns += SECOND;
    assert_int_equal(state_of(use.pool), HEALTHY);
    CHECK_REPORTED(use.pool, &cursor, HEALTHY);
    finish(use.pool);
}

/* Guards: an allocation that the heap serves is fallback at once; back when no heap slab is left and 90 % are used. */
static void the_heap_is_fallback(void **state) {
    struct use use = {.pool = make_pool(64, 100, WITH(THRESHOLDS, {SLABBY_OPTION_HEAP_FALLBACK, 1}))};
    uint64_t cursor = 0;
    (void)state;
    go_to(&use, 101);
    assert_int_equal(stats_of(use.pool).degradation_state, FALLBACK);
    go_to(&use, 100);
    clock_ns += 2 * SECOND;
    assert_int_equal(state_of(use.pool), FALLBACK);
    go_to(&use, 90);
    assert_int_equal(state_of(use.pool), FALLBACK);
    clock_ns += SECOND;
    assert_int_equal(state_of(use.pool), SURVIVAL);
    go_to(&use, 60);
    assert_int_equal(state_of(use.pool), SURVIVAL);
    clock_ns += SECOND;
    assert_int_equal(state_of(use.pool), HEALTHY);
    /* the looks of allocations and releases in between see some of the lower states */
    int64_t values[16];
    int reported = steps_reported(use.pool, &cursor, values, 16);
    assert_true(reported >= 3 && reported <= 5);
    assert_int_equal(values[reported - 3], FALLBACK);
    assert_int_equal(values[reported - 2], SURVIVAL);
    assert_int_equal(values[reported - 1], HEALTHY);
    go_to(&use, 0);
    finish(use.pool);
}

/* Guards: one threshold alone works, thresholds below 10 can be left, and without any nothing happens. */
static void thresholds_work_alone(void **state) {
    static const struct {
        int64_t degrade_at, survive_at;
        uint32_t used;
        int32_t expected;
    } rows[] = {
        {0, 0, 100, HEALTHY},    {100, 0, 99, HEALTHY},    {100, 0, 100, DEGRADED}, {0, 50, 50, SURVIVAL},
        {0, 50, 49, HEALTHY},    {5, 0, 5, DEGRADED},      {1, 2, 1, DEGRADED},     {1, 2, 2, SURVIVAL},
        {50, 100, 99, DEGRADED}, {50, 100, 100, SURVIVAL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct use use = {.pool = make_pool(64, 100,
                                            WITH({SLABBY_OPTION_DEGRADE_AT, rows[i].degrade_at},
                                                 {SLABBY_OPTION_SURVIVE_AT, rows[i].survive_at}))};
        go_to(&use, rows[i].used);
        assert_int_equal(state_of(use.pool), rows[i].expected);
        go_to(&use, 0);
        (void)state_of(use.pool);
        clock_ns += SECOND;
        assert_int_equal(state_of(use.pool), HEALTHY);
        finish(use.pool);
    }
}

/* Guards: pools of 1, 2 and 3 slabs degrade and recover too. */
static void tiny_pools_degrade(void **state) {
    (void)state;
    for (uint32_t capacity = 1; capacity <= 3; capacity++) {
        struct use use = {.pool = make_pool(64, capacity, WITH(THRESHOLDS))};
        go_to(&use, capacity);
        assert_int_equal(state_of(use.pool), SURVIVAL);
        go_to(&use, 0);
        (void)state_of(use.pool);
        clock_ns += SECOND;
        assert_int_equal(state_of(use.pool), HEALTHY);
        finish(use.pool);
    }
}

/* Guards: allocations and releases notice by themselves, no later than the documentation says. */
static void slow_paths_notice(void **state) {
    enum { CAPACITY = 10000 };
    slabby_allocator *pool = make_pool(64, CAPACITY, WITH(THRESHOLDS));
    slabby_ref *refs = malloc(CAPACITY * sizeof *refs);
    uint64_t cursor = 0;
    int64_t values[16];
    int count = 0, reported;
    (void)state;
    do {
        refs[count++] = take(pool);
        reported = steps_reported(pool, &cursor, values, 16);
    } while (reported == 0 && count < CAPACITY);
    assert_int_equal(values[0], DEGRADED);
    /* an eighth of the pool and a full cache, of one CPU */
    assert_in_range(count, CAPACITY * 80 / 100, CAPACITY * 80 / 100 + CAPACITY / 8 + 254);
    while (count < CAPACITY)
        refs[count++] = take(pool);
    slabby_ref one_more;
    CHECK_STATUS(slabby_allocate(&one_more, NULL, pool), SLABBY_OUT_OF_MEMORY);
    assert_int_equal(steps_reported(pool, &cursor, values, 16), 1);
    assert_int_equal(values[0], SURVIVAL);
    while (count > 0) {
        CHECK_STATUS(slabby_release(pool, refs[--count]), SLABBY_OK);
        clock_ns += SECOND / 100;
    }
    reported = steps_reported(pool, &cursor, values, 16);
    assert_true(reported >= 1);
    assert_int_equal(values[reported - 1], HEALTHY);
    free(refs);
    finish(pool);
}

/* --------------------------------------------------------------------------------------- consequences */

/* Guards: degraded, no latency is measured; healthy again, it is as it was asked for, also meanwhile. */
static void degraded_measures_no_latency(void **state) {
    struct use use = {.pool = make_pool(64, 100, WITH(THRESHOLDS))};
    int64_t tracking = -1;
    (void)state;
    CHECK_STATUS(
        slabby_set_option(use.pool, SLABBY_OPTION_LATENCY_TRACKING, SLABBY_LATENCY_TRACKING_ALL, NULL),
        SLABBY_OK);
    go_to(&use, 85);
    assert_int_equal(state_of(use.pool), DEGRADED);
    CHECK_STATUS(slabby_get_option(&tracking, use.pool, SLABBY_OPTION_LATENCY_TRACKING), SLABBY_OK);
    assert_int_equal(tracking, SLABBY_LATENCY_TRACKING_OFF);
    uint64_t samples = stats_of(use.pool).latency_samples;
    assert_int_not_equal(samples, 0);
    for (int i = 0; i < 1000; i++)
        CHECK_STATUS(slabby_release(use.pool, take(use.pool)), SLABBY_OK);
    assert_int_equal(stats_of(use.pool).latency_samples, samples);
    CHECK_STATUS(
        slabby_set_option(use.pool, SLABBY_OPTION_LATENCY_TRACKING, SLABBY_LATENCY_TRACKING_SAMPLED, NULL),
        SLABBY_OK);
    CHECK_STATUS(
        slabby_set_option(use.pool, SLABBY_OPTION_LATENCY_TRACKING, SLABBY_LATENCY_TRACKING_ALL, NULL),
        SLABBY_OK);
    assert_int_equal(stats_of(use.pool).latency_samples, samples);
    go_to(&use, 0);
    (void)state_of(use.pool);
    clock_ns += SECOND;
    assert_int_equal(state_of(use.pool), HEALTHY);
    for (int i = 0; i < 10; i++)
        CHECK_STATUS(slabby_release(use.pool, take(use.pool)), SLABBY_OK);
    assert_true(stats_of(use.pool).latency_samples >= samples + 10);
    finish(use.pool);
}

static uint64_t records_of(slabby_allocator *pool, uint64_t *cursor, int32_t operation, bool *only_stored) {
    slabby_audit_record record = {.struct_size = sizeof record};
    slabby_view_info view = view_of(pool);
    uint64_t count, found = 0;
    for (;;) {
        CHECK_STATUS(slabby_audit_read(&record, &count, NULL, cursor, pool, 1), SLABBY_OK);
        if (count == 0)
            return found;
        if (record.operation != operation)
            continue;
        found++;
        *only_stored = *only_stored && (record.ref & ((1ull << view.id_bits) - 1)) % 16 == 0;
    }
}

/* Guards: degraded, the audit trail keeps every record of one slab in 16, all refusals, and says how many it left
 * out. */
static void degraded_thins_the_audit(void **state) {
    struct use use = {.pool = make_pool(64, 320, WITH(THRESHOLDS, {SLABBY_OPTION_AUDIT, 4096}))};
    uint64_t cursor = 0, events = 0, count;
    bool only_stored = true;
    slabby_event event = {.struct_size = sizeof event};
    (void)state;
    go_to(&use, 300);
    assert_int_equal(state_of(use.pool), DEGRADED);
    (void)records_of(use.pool, &cursor, 0, &only_stored);
    slabby_ref stale = use.refs[299];
    go_to(&use, 0);
    uint64_t stored = records_of(use.pool, &cursor, SLABBY_AUDIT_OPERATION_RELEASE, &only_stored);
    assert_in_range(stored, 300 / 16, 20); /* of 320 ids 20 are multiples of 16 */
    assert_true(only_stored);
    CHECK_STATUS(slabby_release(use.pool, stale), SLABBY_DOUBLE_DEALLOCATION);
    assert_int_equal(records_of(use.pool, &cursor, SLABBY_AUDIT_OPERATION_RELEASE, &only_stored), 1);
    (void)state_of(use.pool);
    clock_ns += SECOND;
    assert_int_equal(state_of(use.pool), HEALTHY);
    do {
        CHECK_STATUS(slabby_events_read(&event, &count, NULL, &events, use.pool, 1), SLABBY_OK);
    } while (count != 0 && !(event.code == SLABBY_EVENT_CODE_DEGRADATION && event.value == HEALTHY));
    assert_int_equal(count, 1);
    assert_non_null(strstr(event.text, "audit records left out"));
    assert_null(strstr(event.text, "; 0 audit"));
    (void)records_of(use.pool, &cursor, 0, &only_stored);
    go_to(&use, 50);
    assert_int_equal(records_of(use.pool, &cursor, SLABBY_AUDIT_OPERATION_ALLOCATE, &only_stored), 50);
    go_to(&use, 0);
    finish(use.pool);
}

/* Guards: degraded, stacks are kept of one slab in 16. */
static void degraded_thins_the_stacks(void **state) {
    struct use use = {.pool = make_pool(64, 100, WITH(THRESHOLDS, {SLABBY_OPTION_DEBUG, 1}))};
    int with_stack = 0;
    (void)state;
    go_to(&use, 90);
    assert_int_equal(state_of(use.pool), DEGRADED);
    for (int i = 0; i < 30; i++)
        CHECK_STATUS(slabby_release(use.pool, use.refs[i]), SLABBY_OK);
    for (int i = 0; i < 30; i++) {
        char text[4096];
        uint64_t length = 0;
        uint32_t id;
        use.refs[i] = take(use.pool);
        CHECK_STATUS(slabby_id(&id, use.pool, use.refs[i]), SLABBY_OK);
        CHECK_STATUS(slabby_stack(text, sizeof text, &length, use.pool, use.refs[i]), SLABBY_OK);
        assert_int_equal(length != 0, id % 16 == 0);
        with_stack += length != 0;
    }
    assert_in_range(with_stack, 1, 7);
    go_to(&use, 0);
    finish(use.pool);
}

/* Guards: on the way to survival the CPU caches are emptied and what waits for reuse goes to the shards. */
static void survival_empties_caches_and_delay(void **state) {
    struct use use = {.pool = make_pool(64, 400, WITH(THRESHOLDS, {SLABBY_OPTION_SHARDS, 1}))};
    (void)state;
    go_to(&use, 370);
    for (int i = 0; i < 8; i++)
        CHECK_STATUS(slabby_release(use.pool, use.refs[--use.count]), SLABBY_OK);
    assert_int_equal(state_of(use.pool), DEGRADED);
    assert_int_not_equal(stats_of(use.pool).cached_slabs, 0);
    CHECK_STATUS(slabby_set_option(use.pool, SLABBY_OPTION_SURVIVE_AT, 85, NULL), SLABBY_OK);
    assert_int_equal(stats_of(use.pool).degradation_state, SURVIVAL);
    assert_int_equal(stats_of(use.pool).cached_slabs, 0);
    go_to(&use, 0);
    finish(use.pool);
}

/* The slab that comes next after one was released: the same one where nothing waits. */
static bool comes_back_at_once(struct use *use) {
    slabby_ref ref = take(use->pool), next;
    uint32_t id, next_id;
    CHECK_STATUS(slabby_id(&id, use->pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_release(use->pool, ref), SLABBY_OK);
    next = take(use->pool);
    CHECK_STATUS(slabby_id(&next_id, use->pool, next), SLABBY_OK);
    CHECK_STATUS(slabby_release(use->pool, next), SLABBY_OK);
    return id == next_id;
}

static void survival_reuses_at_once(void **state) {
    struct use use = {.pool = make_pool(64, 100,
                                        WITH(THRESHOLDS, {SLABBY_OPTION_REUSE_DELAY, 50},
                                             {SLABBY_OPTION_PER_CPU_CACHE, 0}, {SLABBY_OPTION_SHARDS, 1}))};
    (void)state;
    go_to(&use, 60);
    go_to(&use, 30);
    assert_false(comes_back_at_once(&use));
    go_to(&use, 96);
    assert_int_equal(state_of(use.pool), SURVIVAL);
    assert_true(comes_back_at_once(&use));
    go_to(&use, 30);
    (void)state_of(use.pool);
    clock_ns += SECOND;
    assert_int_equal(state_of(use.pool), HEALTHY);
    assert_false(comes_back_at_once(&use));
    go_to(&use, 0);
    finish(use.pool);
}

/* ---------------------------------------------------------------------------------------------- options */

/* Guards: the thresholds in the wrong order are refused with both values, at the making and later, and change
 * nothing; switching both off is healthy at once. */
static void thresholds_are_checked_and_hot(void **state) {
    slabby_error error = fresh_error();
    slabby_allocator *pool = NULL;
    int64_t value;
    (void)state;
    CHECK_STATUS(
        try_pool(&pool, 64, 10, WITH({SLABBY_OPTION_DEGRADE_AT, 90}, {SLABBY_OPTION_SURVIVE_AT, 90}), &error),
        SLABBY_OPTION_CONFLICT);
    assert_non_null(strstr(error.text, "degrade_at = 90"));
    assert_non_null(strstr(error.text, "survive_at = 90"));
    struct use use = {.pool = make_pool(64, 10, NULL)};
    go_to(&use, 9);
    CHECK_STATUS(slabby_set_option(use.pool, SLABBY_OPTION_DEGRADE_AT, 80, NULL), SLABBY_OK);
    assert_int_equal(stats_of(use.pool).degradation_state, DEGRADED);
    CHECK_STATUS(slabby_set_option(use.pool, SLABBY_OPTION_SURVIVE_AT, 80, &error), SLABBY_OPTION_CONFLICT);
    CHECK_STATUS(slabby_get_option(&value, use.pool, SLABBY_OPTION_SURVIVE_AT), SLABBY_OK);
    assert_int_equal(value, 0);
    CHECK_STATUS(slabby_set_option(use.pool, SLABBY_OPTION_SURVIVE_AT, 101, &error), SLABBY_INVALID_OPTION);
    CHECK_STATUS(slabby_set_option(use.pool, SLABBY_OPTION_SURVIVE_AT, 90, NULL), SLABBY_OK);
    assert_int_equal(stats_of(use.pool).degradation_state, SURVIVAL);
    CHECK_STATUS(slabby_set_option(use.pool, SLABBY_OPTION_SURVIVE_AT, 0, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_set_option(use.pool, SLABBY_OPTION_DEGRADE_AT, 0, NULL), SLABBY_OK);
    assert_int_equal(stats_of(use.pool).degradation_state, HEALTHY);
    go_to(&use, 0);
    finish(use.pool);
}

/* Guards: the logger is told on a thread that is outside the pool, so that it may use it. */
static void use_the_pool(void *context, const slabby_event *event) {
    struct use *use = context;
    if (event->code != SLABBY_EVENT_CODE_DEGRADATION)
        return;
    slabby_ref ref;
    slabby_status status = slabby_allocate(&ref, NULL, use->pool);
    assert_true(status == SLABBY_OK || status == SLABBY_OUT_OF_MEMORY);
    if (status == SLABBY_OK)
        CHECK_STATUS(slabby_release(use->pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_set_option(use->pool, SLABBY_OPTION_SECURE, 0, NULL), SLABBY_OK);
    use->refs[399]++;
}

static void loggers_run_outside(void **state) {
    struct use use = {.count = 0};
    slabby_options *options;
    (void)state;
    CHECK_STATUS(slabby_options_create(&options), SLABBY_OK);
    CHECK_STATUS(slabby_options_set(options, SLABBY_OPTION_DEGRADE_AT, 50, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_options_set_logger(options, use_the_pool, &use, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_create(&use.pool, 64, 100, options, NULL), SLABBY_OK);
    slabby_options_destroy(options);
    go_to(&use, 100);
    (void)stats_of(use.pool);
    assert_int_equal(use.refs[399], 1);
    go_to(&use, 0);
    (void)state_of(use.pool);
    clock_ns += SECOND;
    (void)state_of(use.pool);
    assert_int_equal(use.refs[399], 2);
    finish(use.pool);
}

/* ---------------------------------------------------------------------------------------------- threads */

struct background {
    slabby_allocator *pool;
    _Atomic int stop;
};

static void *churn(void *context) {
    struct background *background = context;
    slabby_ref refs[120];
    uint64_t seed = (uint64_t)(uintptr_t)&refs;
    while (!background->stop) {
        int count = 0, wanted = 1 + (int)(random_next(&seed) % 120);
        while (count < wanted && slabby_allocate(&refs[count], NULL, background->pool) == SLABBY_OK)
            count++;
        while (count > 0)
            CHECK_STATUS(slabby_release(background->pool, refs[--count]), SLABBY_OK);
    }
    return NULL;
}

/* One look at the clock's next half second; now and then another threshold. */
static void step(slabby_allocator *pool, uint64_t turn) {
    clock_ns += SECOND / 2;
    CHECK_STATUS(slabby_health_tick(pool), SLABBY_OK);
    if (turn % 50 == 0)
        CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_SURVIVE_AT, 50 + (int64_t)(turn % 30), NULL),
                     SLABBY_OK);
}

/* Guards: steps under load lose nothing: every slab is there at the end, whatever was emptied on the way. It goes on
 * until a step was seen: the threads may have had no CPU before. */
static void steps_under_load_lose_nothing(void **state) {
    struct background background = {
        .pool = make_pool(64, 300,
                          WITH({SLABBY_OPTION_DEGRADE_AT, 40}, {SLABBY_OPTION_SURVIVE_AT, 60},
                               {SLABBY_OPTION_REUSE_DELAY, 32}, {SLABBY_OPTION_HEAP_FALLBACK, 1}))};
    pthread_t threads[4];
    uint64_t cursor = 0;
    int64_t values[256];
    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, &background), 0);
    for (uint64_t turn = 0; turn < scaled(3000); turn++)
        step(background.pool, turn);
    uint64_t give_up_ns = now_ns() + 60 * SECOND;
    int reported = 0;
    for (uint64_t turn = 0; reported == 0 && now_ns() < give_up_ns; turn++) {
        step(background.pool, turn);
        sched_yield();
        reported = steps_reported(background.pool, &cursor, values, 256);
    }
    assert_true(reported >= 1);
    background.stop = 1;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    check_sound(background.pool, 0);
    CHECK_STATUS(slabby_set_option(background.pool, SLABBY_OPTION_HEAP_FALLBACK, 0, NULL), SLABBY_OK);
    finish(background.pool);
}

/* Guards: a pool that shrinks is looked at as often as one of its new size. */
static void small_pools_that_were_large_notice(void **state) {
    const int64_t degraded[] = {DEGRADED};
    uint64_t cursor = 0, awaited;
    slabby_ref refs[11];
    (void)state;
    slabby_allocator *pool =
        make_pool(64, 20000, WITH({SLABBY_OPTION_PER_CPU_CACHE, 0}, {SLABBY_OPTION_DEGRADE_AT, 50}));
    CHECK_STATUS(slabby_resize(&awaited, pool, 20, NULL), SLABBY_OK);
    for (int i = 0; i < 11; i++)
        refs[i] = take(pool);
    check_reported(pool, &cursor, 1, degraded);
    for (int i = 0; i < 11; i++)
        CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
    finish(pool);
}

#define TIMED_TEST(name) cmocka_unit_test_setup_teardown(name, set_clock, reset_clock)

int main(void) {
    const struct CMUnitTest tests[] = {
        TIMED_TEST(states_follow_the_use),
        TIMED_TEST(a_spike_starts_the_second_anew),
        TIMED_TEST(steps_may_skip_states),
        TIMED_TEST(the_heap_is_fallback),
        TIMED_TEST(thresholds_work_alone),
        TIMED_TEST(tiny_pools_degrade),
        TIMED_TEST(slow_paths_notice),
        TIMED_TEST(degraded_measures_no_latency),
        TIMED_TEST(degraded_thins_the_audit),
        TIMED_TEST(degraded_thins_the_stacks),
        TIMED_TEST(survival_empties_caches_and_delay),
        TIMED_TEST(survival_reuses_at_once),
        TIMED_TEST(thresholds_are_checked_and_hot),
        TIMED_TEST(loggers_run_outside),
        TIMED_TEST(steps_under_load_lose_nothing),
        TIMED_TEST(small_pools_that_were_large_notice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
