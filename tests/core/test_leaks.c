/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Leaks: what bindings report, and what a pool tells of slabs that are out at its end. */
#define _GNU_SOURCE
#include "support.h"

#include "os/stack.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define NAMED __attribute__((noinline, visibility("default")))

NAMED slabby_ref take_and_forget(slabby_allocator *pool);

NAMED slabby_ref take_and_forget(slabby_allocator *pool) {
    slabby_ref ref = 0;

    CHECK_STATUS(slabby_allocate(&ref, NULL, pool), SLABBY_OK);
    return ref;
}

/* Events of one code from the start on; the texts one after the other. */
static uint64_t reported(slabby_allocator *pool, int32_t code, slabby_event *out, uint64_t capacity) {
    slabby_event events[64];
    uint64_t count = 0, found = 0, cursor = 0;

    events[0].struct_size = sizeof events[0];
    CHECK_STATUS(slabby_events_read(events, &count, NULL, &cursor, pool, 64), SLABBY_OK);
    for (uint64_t i = 0; i < count; i++)
        if (events[i].code == code && found < capacity)
            out[found++] = events[i];
    return found;
}

static void assert_says(const char *text, const char *part) {
    if (!strstr(text, part))
        fail_msg("\"%s\" is missing in: %s", part, text);
}

/* The audit records of one status. */
static uint64_t audited_as(slabby_allocator *pool, slabby_status status) {
    slabby_audit_record records[32];
    uint64_t count = 0, found = 0, cursor = 0;

    records[0].struct_size = sizeof records[0];
    CHECK_STATUS(slabby_audit_read(records, &count, NULL, &cursor, pool, 32), SLABBY_OK);
    for (uint64_t i = 0; i < count; i++)
        found += records[i].status == status;
    return found;
}

/* Guards: a report with reclaim counts, tells and gives the slab back; a second one finds no leak, which is nobody's
 * mistake, so it is neither counted nor audited. */
static void reports_reclaim(void **state) {
    slabby_allocator *pool = make_pool(64, 4, WITH({SLABBY_OPTION_AUDIT, 32}));
    slabby_ref ref = take(pool);
    slabby_event event;

    (void)state;
    CHECK_STATUS(slabby_report_leak(pool, ref, "app.py:12 in load", 1), SLABBY_OK);
    assert_int_equal(stats_of(pool).leaks, 1);
    assert_int_equal(stats_of(pool).used_slabs, 0);
    assert_int_equal(reported(pool, SLABBY_EVENT_CODE_LEAK, &event, 1), 1);
    assert_true(event.ref == ref);
    assert_int_equal(event.level, SLABBY_EVENT_LEVEL_WARNING);
    assert_says(event.text, "allocated at app.py:12 in load, was dropped without release; it went back");
    CHECK_STATUS(slabby_report_leak(pool, ref, NULL, 1), SLABBY_DOUBLE_DEALLOCATION);
    CHECK_STATUS(slabby_report_leak(pool, ref, NULL, 0), SLABBY_DOUBLE_DEALLOCATION);
    CHECK_STATUS(slabby_report_leak(pool, ref + (1ull << 52), NULL, 1), SLABBY_INVALID_REFERENCE);
    CHECK_STATUS(slabby_report_leak(NULL, ref, NULL, 1), SLABBY_INVALID_ARGUMENT);
    assert_int_equal(stats_of(pool).leaks, 1);
    assert_int_equal(stats_of(pool).errors[-SLABBY_DOUBLE_DEALLOCATION], 0);
    assert_int_equal(audited_as(pool, SLABBY_DOUBLE_DEALLOCATION), 0);
    assert_int_equal(stats_of(pool).errors[-SLABBY_INVALID_REFERENCE], 1);
    assert_int_equal(audited_as(pool, SLABBY_INVALID_REFERENCE), 1);
    finish(pool);
    CHECK_STATUS(slabby_report_leak(pool, ref, NULL, 1), SLABBY_CLOSED);
}

/* Guards: a report without reclaim leaves the slab out and counts once, whatever comes after. */
static void reports_without_reclaim_count_once(void **state) {
    slabby_allocator *pool = make_pool(64, 4, NULL);
    slabby_ref ref = take(pool);
    slabby_event events[4];

    (void)state;
    CHECK_STATUS(slabby_report_leak(pool, ref, "", 0), SLABBY_OK);
    CHECK_STATUS(slabby_report_leak(pool, ref, "", 0), SLABBY_OK);
    assert_true(slabby_is_valid(pool, ref));
    assert_int_equal(stats_of(pool).leaks, 1);
    assert_int_equal(reported(pool, SLABBY_EVENT_CODE_LEAK, events, 4), 1);
    CHECK_STATUS(slabby_report_leak(pool, ref, "", 1), SLABBY_OK);
    assert_false(slabby_is_valid(pool, ref));
    assert_int_equal(stats_of(pool).leaks, 1);

    slabby_ref next = take(pool); /* the same slab again: a leak of its own */
    CHECK_STATUS(slabby_report_leak(pool, next, "", 0), SLABBY_OK);
    assert_int_equal(stats_of(pool).leaks, 2);
    CHECK_STATUS(slabby_release(pool, next), SLABBY_OK);
    finish(pool);
}

/* Guards: a reclaimed slab that is pinned goes back with its last pin, and the report says so. */
static void reports_name_what_pins_hold(void **state) {
    slabby_allocator *pool = make_pool(64, 4, NULL);
    slabby_ref ref = take(pool);
    slabby_event event;

    (void)state;
    for (int i = 0; i < 2; i++)
        CHECK_STATUS(slabby_pin(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_report_leak(pool, ref, NULL, 1), SLABBY_OK);
    assert_int_equal(reported(pool, SLABBY_EVENT_CODE_LEAK, &event, 1), 1);
    assert_says(event.text, "was dropped without release; it goes back with its last pin (2 held)");
    assert_int_equal(stats_of(pool).used_slabs, 1);
    for (int i = 0; i < 2; i++)
        CHECK_STATUS(slabby_unpin(pool, ref), SLABBY_OK);
    assert_int_equal(stats_of(pool).used_slabs, 0);
    finish(pool);
}

/* Guards: with debug the report names the function that allocated; pins postpone the reclaim. */
static void reports_carry_the_stack(void **state) {
    slabby_allocator *pool = make_pool(64, 4, WITH({SLABBY_OPTION_DEBUG, 1}));
    slabby_ref ref = take_and_forget(pool);
    slabby_event event;

    (void)state;
    if (slb_os_symbol_of((uintptr_t)take_and_forget + 1).symbol == NULL)
        skip(); /* this system's programs export no names */
    CHECK_STATUS(slabby_pin(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_report_leak(pool, ref, NULL, 1), SLABBY_OK);
    assert_int_equal(reported(pool, SLABBY_EVENT_CODE_LEAK, &event, 1), 1);
    assert_says(event.text, "allocated by thread ");
    assert_says(event.text, "take_and_forget+0x");
    assert_int_equal(stats_of(pool).used_slabs, 1);
    CHECK_STATUS(slabby_unpin(pool, ref), SLABBY_OK);
    finish(pool);
}

static slabby_allocator *reporting_pool(uint64_t capacity) {
    return make_pool(64, capacity, WITH({SLABBY_OPTION_FINALIZERS, 1}, {SLABBY_OPTION_DEBUG, 1}));
}

/* Guards: with finalizers, close and a refused destroy name what is out, with stacks, and count no leak. */
static void ends_report_what_is_out(void **state) {
    slabby_allocator *pool = reporting_pool(32);
    slabby_ref refs[12];
    slabby_event events[32];
    int named = 0;

    (void)state;
    for (int i = 0; i < 12; i++)
        refs[i] = take_and_forget(pool);
    CHECK_STATUS(slabby_close(pool), SLABBY_OK);
    CHECK_STATUS(slabby_close(pool), SLABBY_OK);
    assert_int_equal(reported(pool, SLABBY_EVENT_CODE_OUTSTANDING, events, 32), 9);
    for (int i = 0; i < 12; i++)
        named += events[0].ref == refs[i];
    assert_int_equal(named, 1);
    assert_says(events[0].text, "is still out after the close");
    assert_says(events[0].text, "allocated by thread ");
    assert_int_equal(events[8].value, 12);
    assert_says(events[8].text, "12 slabs of pool ");
    assert_int_equal(stats_of(pool).leaks, 0);
    CHECK_STATUS(slabby_release_batch(NULL, pool, refs, 12), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);

    pool = reporting_pool(4);
    refs[0] = take(pool);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_IN_USE);
    assert_int_equal(reported(pool, SLABBY_EVENT_CODE_OUTSTANDING, events, 32), 1);
    assert_says(events[0].text, "keeps the pool from being destroyed");
    CHECK_STATUS(slabby_release(pool, refs[0]), SLABBY_OK);
    finish(pool);
}

/* Guards: what is out when the last owner abandons the pool is a leak, once; another owner's end is none. */
static void abandoned_slabs_are_leaks(void **state) {
    slabby_allocator *pool = reporting_pool(8);
    slabby_event events[16];
    slabby_ref refs[3];
    uint32_t id = 0;
    void *data = NULL;

    (void)state;
    for (int i = 0; i < 3; i++)
        refs[i] = take(pool);
    CHECK_STATUS(slabby_allocate_fast(&data, &id, pool), SLABBY_OK);
    CHECK_STATUS(slabby_report_leak(pool, refs[0], NULL, 0), SLABBY_OK);
    CHECK_STATUS(slabby_retain(pool), SLABBY_OK);
    CHECK_STATUS(slabby_abandon(pool), SLABBY_OK);
    assert_int_equal(stats_of(pool).leaks, 1);
    CHECK_STATUS(slabby_abandon(pool), SLABBY_OK);
    assert_int_equal(stats_of(pool).leaks, 4);
    assert_int_equal(reported(pool, SLABBY_EVENT_CODE_LEAK, events, 16), 4);
    assert_says(events[1].text, "was dropped with its pool");
    CHECK_STATUS(slabby_release_batch(NULL, pool, refs, 3), SLABBY_OK);
    CHECK_STATUS(slabby_deallocate_fast(pool, id), SLABBY_OK);
}

/* Guards: without the option the end of a pool tells of no slab and counts none. */
static void without_the_option_nothing_is_reported(void **state) {
    slabby_allocator *pool = make_pool(64, 8, NULL);
    slabby_event event;
    slabby_ref ref = take(pool);

    (void)state;
    CHECK_STATUS(slabby_destroy(pool), SLABBY_IN_USE);
    CHECK_STATUS(slabby_abandon(pool), SLABBY_OK);
    assert_int_equal(stats_of(pool).leaks, 0);
    assert_int_equal(reported(pool, SLABBY_EVENT_CODE_LEAK, &event, 1), 0);
    assert_int_equal(reported(pool, SLABBY_EVENT_CODE_OUTSTANDING, &event, 1), 0);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
}

/* ----------------------------------------------------------------------------------------------- races */

struct race {
    slabby_allocator *pool;
    slabby_ref ref;
    pthread_barrier_t begin, end;
    uint64_t rounds;
    _Atomic uint64_t reported, released;
};

static void *release_against(void *argument) {
    struct race *race = argument;

    for (uint64_t i = 0; i < race->rounds; i++) {
        pthread_barrier_wait(&race->begin);
        race->released += slabby_release(race->pool, race->ref) == SLABBY_OK;
        pthread_barrier_wait(&race->end);
    }
    return NULL;
}

/* Guards: of a report with reclaim and a release of one reference exactly one wins, and `leaks` counts the reports
 * that did. */
static void reports_race_with_releases(void **state) {
    struct race race = {.pool = make_pool(64, 2, NULL), .rounds = scaled(2000)};
    pthread_t thread;

    (void)state;
    pthread_barrier_init(&race.begin, NULL, 2);
    pthread_barrier_init(&race.end, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, release_against, &race), 0);
    for (uint64_t i = 0; i < race.rounds; i++) {
        race.ref = take(race.pool);
        pthread_barrier_wait(&race.begin);
        race.reported += slabby_report_leak(race.pool, race.ref, NULL, 1) == SLABBY_OK;
        pthread_barrier_wait(&race.end);
    }
    pthread_join(thread, NULL);
    assert_int_equal(race.reported + race.released, race.rounds);
    assert_int_equal(stats_of(race.pool).leaks, race.reported);
    pthread_barrier_destroy(&race.begin);
    pthread_barrier_destroy(&race.end);
    finish(race.pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reports_reclaim),
        cmocka_unit_test(reports_without_reclaim_count_once),
        cmocka_unit_test(reports_name_what_pins_hold),
        cmocka_unit_test(reports_carry_the_stack),
        cmocka_unit_test(ends_report_what_is_out),
        cmocka_unit_test(abandoned_slabs_are_leaks),
        cmocka_unit_test(without_the_option_nothing_is_reported),
        cmocka_unit_test(reports_race_with_releases),
    };

    return cmocka_run_group_tests_name("leaks", tests, NULL, NULL);
}
