/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A logger that uses its pool: whatever is told, every function may be called from inside the call that tells it. An
 * event that is told under a lock of the core would make this program wait for itself. */
#define _GNU_SOURCE
#include "manual_clock.h"
#include "support.h"

#include <stdbool.h>
#include <string.h>

#include "test_hooks.h"

enum { CAPACITY = 8, MOST = 16, CODES = 32 };

struct diary {
    slabby_allocator *pool; /* null until slabby_create has returned */
    uint64_t reported[CODES], used[CODES];
    bool keeps_off_when_full; /* the logger's own failures are events and failures, too */
    const char *inside;       /* what the logger is doing, for who looks at a program that hangs */
};

/* ----------------------------------------------------------------------------------- what the logger does */

/* Any answer that a pool in whatever state may give; what counts is that there is one. */
static void expect_answer(slabby_status status) {
    static const slabby_status fine[] = {SLABBY_OK,     SLABBY_OUT_OF_MEMORY, SLABBY_CIRCUIT_BREAKER_OPEN,
                                         SLABBY_CLOSED, SLABBY_TIMEOUT,       SLABBY_BUSY,
                                         SLABBY_IN_USE};
    for (size_t i = 0; i < COUNT_OF(fine); i++)
        if (status == fine[i])
            return;
    fail_msg("inside the logger: %s", slabby_status_name(status));
}

static void take_and_give(slabby_allocator *pool) {
    slabby_ref refs[2];
    void *data;
    uint32_t id;
    if (slabby_allocate(&refs[0], &data, pool) == SLABBY_OK) {
        memset(data, 0, 64);
        CHECK_STATUS(slabby_pin(pool, refs[0]), SLABBY_OK);
        CHECK_STATUS(slabby_release_deferred(pool, refs[0]), SLABBY_OK);
        CHECK_STATUS(slabby_unpin(pool, refs[0]), SLABBY_OK);
    }
    if (slabby_allocate_batch(refs, NULL, pool, 2) == SLABBY_OK)
        CHECK_STATUS(slabby_release_batch(NULL, pool, refs, 2), SLABBY_OK);
    if (slabby_allocate_fast(&data, &id, pool) == SLABBY_OK)
        CHECK_STATUS(slabby_deallocate_fast(pool, id), SLABBY_OK);
    if (slabby_allocate_timeout(&refs[0], NULL, pool, 1000) == SLABBY_OK)
        CHECK_STATUS(slabby_release(pool, refs[0]), SLABBY_OK);
}

static void wait_and_cancel(slabby_allocator *pool) {
    slabby_listener *listener;
    uint64_t ticket;
    slabby_ref ref = 0;
    int32_t notifier;
    slabby_status status = slabby_listener_create(&listener, &notifier, pool, NULL);
    expect_answer(status);
    if (status != SLABBY_OK)
        return;
    if (slabby_wait_begin(&ticket, listener, 0) == SLABBY_OK)
        CHECK_STATUS(slabby_wait_cancel(&ref, listener, ticket), SLABBY_OK);
    if (ref != 0)
        CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
}

static void inspect(slabby_allocator *pool) {
    slabby_stats stats = {.struct_size = sizeof stats};
    slabby_health health = {.struct_size = sizeof health};
    slabby_event event = {.struct_size = sizeof event};
    char text[2048];
    uint64_t count, cursor = 0;
    expect_answer(slabby_get_stats(&stats, pool));
    expect_answer(slabby_get_health(&health, pool));
    expect_answer(slabby_health_json(text, sizeof text, NULL, pool));
    expect_answer(slabby_health_tick(pool));
    expect_answer(slabby_events_read(&event, &count, NULL, &cursor, pool, 1));
}

/* Both wait until no slab is on its way, and one that stayed on its way for as long as this call would look lost. */
static void visit_every_slab(slabby_allocator *pool) {
    slabby_finding finding = {.struct_size = sizeof finding, .kind = SLABBY_FINDING_KIND_GUARD_BYTES};
    uint64_t count = 0, bytes;
    expect_answer(slabby_verify(&finding, &count, pool, 1));
    assert_in_range(count, 0, 1); /* the corruption that is still to be found by its release */
    assert_int_equal(finding.kind, SLABBY_FINDING_KIND_GUARD_BYTES);
    slabby_status status = slabby_trim(&bytes, pool);
    assert_true(status == SLABBY_OK || status == SLABBY_CLOSED);
}

static void change_things(slabby_allocator *pool) {
    uint64_t count;
    expect_answer(slabby_set_option(pool, SLABBY_OPTION_SECURE, 1, NULL));
    expect_answer(
        slabby_set_option(pool, SLABBY_OPTION_LATENCY_TRACKING, SLABBY_LATENCY_TRACKING_SAMPLED, NULL));
    expect_answer(slabby_set_option(pool, SLABBY_OPTION_CIRCUIT_BREAKER_PROBES, 1, NULL));
    slabby_stats stats = {.struct_size = sizeof stats};
    if (slabby_get_stats(&stats, pool) == SLABBY_OK)
        expect_answer(slabby_resize(&count, pool, stats.total_slabs, NULL));
}

static bool has_space(slabby_allocator *pool) {
    slabby_stats stats = {.struct_size = sizeof stats};
    return slabby_get_stats(&stats, pool) == SLABBY_OK && stats.available_slabs != 0;
}

static void use_the_pool(void *context, const slabby_event *event) {
    struct diary *diary = context;
    assert_in_range(event->code, 1, CODES - 1);
    diary->reported[event->code]++;
    if (diary->pool == NULL)
        return;
    diary->used[event->code]++;
    bool takes = !diary->keeps_off_when_full || has_space(diary->pool);
    diary->inside = "take_and_give";
    if (takes)
        take_and_give(diary->pool);
    diary->inside = "wait_and_cancel";
    if (takes)
        wait_and_cancel(diary->pool);
    diary->inside = "inspect";
    inspect(diary->pool);
    diary->inside = "visit_every_slab";
    visit_every_slab(diary->pool);
    diary->inside = "change_things";
    change_things(diary->pool);
    diary->inside = NULL;
}

/* --------------------------------------------------------------------------------------------- what is told */

static slabby_allocator *reported_pool(struct diary *diary, const struct setting *settings) {
    slabby_options *options;
    slabby_allocator *pool;
    CHECK_STATUS(slabby_options_create(&options), SLABBY_OK);
    for (; settings->option != 0; settings++)
        CHECK_STATUS(slabby_options_set(options, settings->option, settings->value, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_options_set_logger(options, use_the_pool, diary, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_create(&pool, 64, CAPACITY, options, NULL), SLABBY_OK);
    slabby_options_destroy(options);
    diary->pool = pool;
    return pool;
}

static void expect_used(const struct diary *diary, int32_t code) {
    if (diary->used[code] == 0)
        fail_msg("event %d was told %d times and never found the pool usable", code,
                 (int)diary->reported[code]);
}

static void expect_all_used(const struct diary *diary, const int32_t *codes, size_t count) {
    for (size_t i = 0; i < count; i++)
        expect_used(diary, codes[i]);
}

/* Guards: exhaustion, degradation, the heap, a changed option. */
static void exhaustion_is_reported(void **state) {
    struct diary diary = {.pool = NULL, .keeps_off_when_full = true};
    slabby_ref refs[CAPACITY], more;
    (void)state;
    slabby_allocator *pool = reported_pool(&diary, WITH({SLABBY_OPTION_DEGRADE_AT, 50}));
    for (int i = 0; i < CAPACITY; i++)
        refs[i] = take(pool);
    CHECK_STATUS(slabby_allocate(&more, NULL, pool), SLABBY_OUT_OF_MEMORY);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_HEAP_FALLBACK, 1, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_allocate(&more, NULL, pool), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, more), SLABBY_OK);
    CHECK_STATUS(slabby_release_batch(NULL, pool, refs, CAPACITY), SLABBY_OK);
    CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, CAPACITY), SLABBY_OK);
    CHECK_STATUS(slabby_release_batch(NULL, pool, refs, CAPACITY), SLABBY_OK);
    static const int32_t codes[] = {SLABBY_EVENT_CODE_EXHAUSTED, SLABBY_EVENT_CODE_HEAP_FALLBACK,
                                    SLABBY_EVENT_CODE_OPTION_CHANGED, SLABBY_EVENT_CODE_DEGRADATION};
    expect_all_used(&diary, codes, COUNT_OF(codes));
    check_sound(pool, 0);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

/* Guards: every change of the breaker; half open is told while a probe is under way. */
static void the_breaker_is_reported(void **state) {
    struct diary diary = {.pool = NULL, .keeps_off_when_full = true};
    slabby_ref refs[CAPACITY], more;
    (void)state;
    slabby_allocator *pool = reported_pool(&diary, WITH({SLABBY_OPTION_CIRCUIT_BREAKER_THRESHOLD, 2},
                                                        {SLABBY_OPTION_CIRCUIT_BREAKER_TIMEOUT, 1000000000}));
    CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, CAPACITY), SLABBY_OK);
    for (int i = 0; i < 2; i++)
        CHECK_STATUS(slabby_allocate(&more, NULL, pool), SLABBY_OUT_OF_MEMORY);
    clock_ns += 2000000000;
    CHECK_STATUS(slabby_allocate(&more, NULL, pool), SLABBY_OUT_OF_MEMORY); /* a probe that fails */
    CHECK_STATUS(slabby_release_batch(NULL, pool, refs, CAPACITY), SLABBY_OK);
    clock_ns += 2000000000;
    CHECK_STATUS(slabby_allocate(&more, NULL, pool), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, more), SLABBY_OK);
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_DISABLED), SLABBY_OK);
    static const int32_t codes[] = {SLABBY_EVENT_CODE_BREAKER_OPENED, SLABBY_EVENT_CODE_BREAKER_HALF_OPEN,
                                    SLABBY_EVENT_CODE_BREAKER_CLOSED, SLABBY_EVENT_CODE_BREAKER_FORCED};
    expect_all_used(&diary, codes, COUNT_OF(codes));
    check_sound(pool, 0);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

/* Guards: corruption, found by a release and by a reset; a resize; a leak; the end of the pool. */
static void the_rest_is_reported(void **state) {
    struct diary diary = {.pool = NULL};
    slabby_ref refs[2], lost;
    unsigned char *data;
    uint64_t awaited;
    (void)state;
    slabby_allocator *pool =
        reported_pool(&diary, WITH({SLABBY_OPTION_BIT_GUARD, 1}, {SLABBY_OPTION_MAX_CAPACITY, MOST},
                                   {SLABBY_OPTION_FINALIZERS, 1}));
    for (int i = 0; i < 2; i++) {
        CHECK_STATUS(slabby_allocate(&refs[i], (void **)&data, pool), SLABBY_OK);
        data[64] ^= 1;
    }
    CHECK_STATUS(slabby_release(pool, refs[0]), SLABBY_MEMORY_CORRUPTION);
    CHECK_STATUS(slabby_reset(pool), SLABBY_OK);
    CHECK_STATUS(slabby_reclaim(NULL, pool), SLABBY_OK);
    CHECK_STATUS(slabby_resize(&awaited, pool, MOST, NULL), SLABBY_OK);
    lost = take(pool);
    CHECK_STATUS(slabby_report_leak(pool, lost, "a test", 1), SLABBY_OK);
    lost = take(pool);
    CHECK_STATUS(slabby_close(pool), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, lost), SLABBY_OK);
    static const int32_t codes[] = {SLABBY_EVENT_CODE_CORRUPTION, SLABBY_EVENT_CODE_RESIZING,
                                    SLABBY_EVENT_CODE_RESIZED, SLABBY_EVENT_CODE_LEAK,
                                    SLABBY_EVENT_CODE_CLOSED};
    expect_all_used(&diary, codes, COUNT_OF(codes));
    assert_true(diary.used[SLABBY_EVENT_CODE_CORRUPTION] >= 2);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(exhaustion_is_reported, set_clock, reset_clock),
        cmocka_unit_test_setup_teardown(the_breaker_is_reported, set_clock, reset_clock),
        cmocka_unit_test_setup_teardown(the_rest_is_reported, set_clock, reset_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
