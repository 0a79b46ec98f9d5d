/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Events: what is raised, by cursor and to a logger; and both rings under many writers. */
#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "observe/events.h"
#include "observe/ring.h"
#include "test_hooks.h"

/* ------------------------------------------------------------------------------------ a logger */

struct log {
    slabby_allocator *pool;
    pthread_t thread;
    _Atomic int count;
    _Atomic int elsewhere; /* calls on another thread than `thread` */
    int32_t codes[64];
    char last[192];
    int uses_pool;
};

static void note(void *context, const slabby_event *event) {
    struct log *log = context;
    slabby_ref ref = 0;

    assert_int_equal(event->struct_size, sizeof *event);
    assert_true(log->count < 64);
    log->codes[log->count++] = event->code;
    memcpy(log->last, event->text, sizeof log->last);
    log->elsewhere += !pthread_equal(log->thread, pthread_self());
    if (log->uses_pool && event->code == SLABBY_EVENT_CODE_CORRUPTION) {
        CHECK_STATUS(slabby_allocate(&ref, NULL, log->pool), SLABBY_OK);
        CHECK_STATUS(slabby_release(log->pool, ref), SLABBY_OK);
        CHECK_STATUS(slabby_set_option(log->pool, SLABBY_OPTION_SECURE, 0, NULL), SLABBY_OK);
    }
}

static slabby_allocator *logged_pool(struct log *log, uint64_t capacity, const struct setting *settings) {
    slabby_options *options = NULL;
    slabby_allocator *pool = NULL;

    log->thread = pthread_self();
    CHECK_STATUS(slabby_options_create(&options), SLABBY_OK);
    CHECK_STATUS(slabby_options_set_text(options, "name", "orders", NULL), SLABBY_OK);
    for (; settings != NULL && settings->option != 0; settings++)
        CHECK_STATUS(slabby_options_set(options, settings->option, settings->value, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_options_set_logger(options, note, log, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_create(&pool, 64, capacity, options, NULL), SLABBY_OK);
    slabby_options_destroy(options);
    log->pool = pool;
    return pool;
}

static uint64_t read_events(slabby_allocator *pool, slabby_event *events, uint64_t capacity) {
    uint64_t count = 0;
    uint64_t lost = 0;
    uint64_t cursor = 0;

    events[0].struct_size = sizeof events[0];
    CHECK_STATUS(slabby_events_read(events, &count, &lost, &cursor, pool, capacity), SLABBY_OK);
    assert_int_equal(lost, 0);
    return count;
}

/* ------------------------------------------------------------------------------ what is raised */

/* Guards: each cause raises its event with level, value and a text that names the pool; cursor and
 * logger are told the same. */
static void causes_are_reported(void **state) {
    struct log log = {0};
    slabby_allocator *pool = logged_pool(&log, 1, NULL);
    slabby_event events[16];
    slabby_ref ref = take(pool);
    slabby_ref other = 0;

    (void)state;
    CHECK_STATUS(slabby_allocate(&other, NULL, pool), SLABBY_OUT_OF_MEMORY);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_SECURE, 1, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_SHARDS, 1, NULL), SLABBY_COLD_OPTION);
    CHECK_STATUS(slabby_close(pool), SLABBY_OK);
    CHECK_STATUS(slabby_close(pool), SLABBY_OK);

    static const int32_t codes[] = {SLABBY_EVENT_CODE_OPENED, SLABBY_EVENT_CODE_EXHAUSTED,
                                    SLABBY_EVENT_CODE_OPTION_CHANGED, SLABBY_EVENT_CODE_CLOSED};
    static const int32_t levels[] = {SLABBY_EVENT_LEVEL_INFO, SLABBY_EVENT_LEVEL_WARNING,
                                     SLABBY_EVENT_LEVEL_INFO, SLABBY_EVENT_LEVEL_WARNING};
    assert_int_equal(read_events(pool, events, 16), COUNT_OF(codes));
    assert_int_equal(log.count, COUNT_OF(codes));
    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        assert_int_equal(events[i].code, codes[i]);
        assert_int_equal(log.codes[i], codes[i]);
        assert_int_equal(events[i].level, levels[i]);
        assert_int_equal(events[i].sequence, i);
        assert_int_equal(events[i].value, 1);
        assert_non_null(strstr(events[i].text, "\"orders\""));
    }
    assert_string_equal(log.last, "pool \"orders\" was closed with 1 slab still out");
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    assert_int_equal(log.count, COUNT_OF(codes));
}

/* Guards: the event of an allocation that waits does not say that it was refused, and calls a pool without a name what
 * its label does. */
static void a_wait_is_no_refusal(void **state) {
    slabby_allocator *pool = NULL;
    slabby_event events[4] = {SLABBY_EVENT_INIT};
    slabby_stats stats = SLABBY_STATS_INIT;
    slabby_listener *listener = NULL;
    slabby_ref ref = 0, granted = 0;
    uint64_t ticket = 0, taken = 0, count = 0;
    char label[80], expected[192];

    (void)state;
    CHECK_STATUS(slabby_create(&pool, 64, 1, NULL, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_pool_label(label, sizeof label, NULL, pool), SLABBY_OK);
    CHECK_STATUS(slabby_allocate(&ref, NULL, pool), SLABBY_OK);
    CHECK_STATUS(slabby_listener_create(&listener, NULL, pool, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_wait_take(&taken, &granted, NULL, &count, listener, 1), SLABBY_OK);
    assert_int_equal(count, 1);
    CHECK_STATUS(slabby_get_stats(&stats, pool), SLABBY_OK);
    assert_int_equal(stats.allocation_errors, 0);

    assert_int_equal(read_events(pool, events, COUNT_OF(events)), 2);
    (void)snprintf(expected, sizeof expected, "pool \"%s\" was opened: 1 slabs of 64 bytes", label);
    assert_string_equal(events[0].text, expected);
    (void)snprintf(expected, sizeof expected,
                   "no slab of pool \"%s\" is free (capacity 1): an allocation was refused or waits", label);
    assert_int_equal(events[1].code, SLABBY_EVENT_CODE_EXHAUSTED);
    assert_string_equal(events[1].text, expected);

    CHECK_STATUS(slabby_release(pool, granted), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

/* Guards: the heap's serving is told, and the end of a pool that was never closed. */
static void heap_and_destroy_are_reported(void **state) {
    struct log log = {0};
    slabby_allocator *pool = logged_pool(&log, 1, WITH({SLABBY_OPTION_HEAP_FALLBACK, 1}));
    slabby_ref refs[2];

    (void)state;
    refs[0] = take(pool);
    refs[1] = take(pool);
    assert_int_equal(log.codes[1], SLABBY_EVENT_CODE_HEAP_FALLBACK);
    CHECK_STATUS(slabby_release_batch(NULL, pool, refs, 2), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    assert_int_equal(log.count, 3);
    assert_int_equal(log.codes[2], SLABBY_EVENT_CODE_CLOSED);
}

/* Guards: corruption is told with reference, offset and bytes, also when a reset finds it under the
 * pool's lock; the logger then hears of it on the same thread, outside the lock. */
static void corruption_is_reported_outside_locks(void **state) {
    struct log log = {.uses_pool = 1};
    slabby_allocator *pool = logged_pool(&log, 8, WITH({SLABBY_OPTION_BIT_GUARD, 1}));
    slabby_event events[16];
    slabby_ref refs[2];
    void *data = NULL;

    (void)state;
    for (int i = 0; i < 2; i++) {
        CHECK_STATUS(slabby_allocate(&refs[i], &data, pool), SLABBY_OK);
        ((unsigned char *)data)[64] ^= 0x10;
    }
    CHECK_STATUS(slabby_release(pool, refs[0]), SLABBY_MEMORY_CORRUPTION);
    assert_int_equal(log.codes[1], SLABBY_EVENT_CODE_CORRUPTION);
    CHECK_STATUS(slabby_reset(pool), SLABBY_OK);
    assert_int_equal(log.elsewhere, 0);
    uint64_t count = read_events(pool, events, 16);
    int found = 0;
    for (uint64_t i = 0; i < count; i++) {
        if (events[i].code != SLABBY_EVENT_CODE_CORRUPTION)
            continue;
        assert_int_equal(events[i].level, SLABBY_EVENT_LEVEL_ERROR);
        assert_true(events[i].ref == refs[found]);
        assert_int_equal(events[i].value, 64);
        found++;
    }
    assert_int_equal(found, 2);
    assert_int_equal(log.codes[2], SLABBY_EVENT_CODE_CORRUPTION);
    /* what the logger's own set_option raised is in the ring alone */
    assert_true(count > (uint64_t)log.count);
    assert_int_equal(log.count, 3);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    assert_int_equal(log.count, 4);
}

static void force_again(void *context, const slabby_event *event) {
    struct log *log = context;

    if (event->code != SLABBY_EVENT_CODE_BREAKER_FORCED)
        return;
    log->count++;
    CHECK_STATUS(slabby_breaker_force(log->pool, event->value == SLABBY_BREAKER_MODE_DISABLED
                                                     ? SLABBY_BREAKER_MODE_NORMAL
                                                     : SLABBY_BREAKER_MODE_DISABLED),
                 SLABBY_OK);
}

/* Guards: what a logger causes goes to the ring alone, also what is raised under the pool's lock. */
static void loggers_do_not_hear_themselves(void **state) {
    struct log log = {0};
    slabby_options *options = NULL;
    slabby_event events[16];
    slabby_ref refs[5];

    (void)state;
    CHECK_STATUS(slabby_options_create(&options), SLABBY_OK);
    CHECK_STATUS(slabby_options_set_logger(options, force_again, &log, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_create(&log.pool, 64, 4, options, NULL), SLABBY_OK);
    slabby_options_destroy(options);
    CHECK_STATUS(slabby_breaker_force(log.pool, SLABBY_BREAKER_MODE_DISABLED), SLABBY_OK);
    assert_int_equal(log.count, 1);
    assert_int_equal(read_events(log.pool, events, 16), 3); /* opened, forced by us, forced by the logger */
    CHECK_STATUS(slabby_allocate_batch(refs, NULL, log.pool, 4), SLABBY_OK);
    CHECK_STATUS(slabby_allocate(&refs[4], NULL, log.pool), SLABBY_OUT_OF_MEMORY); /* which reports, too */
    assert_int_equal(log.count, 1);
    CHECK_STATUS(slabby_reset(log.pool), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(log.pool), SLABBY_OK);
}

/* The pool has raised its last event: the logger has heard of each one, in order. Destroys the pool. */
static void expect_all_logged(struct log *log) {
    slabby_event events[16];
    uint64_t count = read_events(log->pool, events, 16);

    assert_int_equal(log->count, count);
    for (uint64_t i = 0; i < count; i++)
        assert_int_equal(log->codes[i], events[i].code);
    assert_int_equal(log->elsewhere, 0);
    CHECK_STATUS(slabby_destroy(log->pool), SLABBY_OK);
}

/* Takes all slabs of a new pool and damages the first. */
static void fill_damaged(struct log *log, slabby_ref *refs, uint64_t capacity) {
    unsigned char *data = NULL;

    logged_pool(log, capacity, WITH({SLABBY_OPTION_BIT_GUARD, 1}));
    for (uint64_t i = capacity; i-- > 0;)
        CHECK_STATUS(slabby_allocate(&refs[i], (void **)&data, log->pool), SLABBY_OK);
    data[64] ^= 0x10;
}

/* Guards: a call inside another, which runs as the outer one gives the pool's lock back, leaves no event out and
 * reports none twice: a resize with slabs out, and a reset that ends it and finds damage. */
static void calls_inside_others_report_once(void **state) {
    struct log log = {0};
    slabby_ref refs[4];

    (void)state;
    fill_damaged(&log, refs, 4);
    CHECK_STATUS(slabby_resize(NULL, log.pool, 2, NULL), SLABBY_OK);
    assert_int_equal(log.codes[log.count - 1], SLABBY_EVENT_CODE_RESIZING);
    CHECK_STATUS(slabby_reset(log.pool), SLABBY_OK);
    expect_all_logged(&log);
}

/* Guards: the same where the call inside serves somebody who waits. */
static void calls_that_serve_report_all(void **state) {
    struct log log = {0};
    slabby_listener *listener;
    slabby_ref refs[2], brought = 0;
    uint64_t ticket, count = 0;

    (void)state;
    fill_damaged(&log, refs, 2);
    CHECK_STATUS(slabby_listener_create(&listener, NULL, log.pool, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_OK);
    CHECK_STATUS(slabby_breaker_force(log.pool, SLABBY_BREAKER_MODE_DISABLED), SLABBY_OK);
    CHECK_STATUS(slabby_breaker_force(log.pool, SLABBY_BREAKER_MODE_NORMAL), SLABBY_OK);
    CHECK_STATUS(slabby_reset(log.pool), SLABBY_OK);
    CHECK_STATUS(slabby_wait_take(&ticket, &brought, NULL, &count, listener, 1), SLABBY_OK);
    assert_int_equal(count, 1);
    CHECK_STATUS(slabby_release(log.pool, brought), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    expect_all_logged(&log);
}

/* Guards: at most ten of a code a second; what was not told is counted in the next one. A second
 * may end in between, so the sum is checked, not the moment. */
static void floods_are_thinned(void **state) {
    slabby_allocator *pool = make_pool(64, 1, NULL);
    slabby_event events[256];
    uint64_t raised = 0;

    (void)state;
    for (; raised < 1000; raised++)
        CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_SECURE, 0, NULL), SLABBY_OK);
    uint64_t reported = read_events(pool, events, 256) - 1;
    assert_in_range(reported, 10, 250);
    for (uint64_t before = reported; reported == before; raised++) {
        CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_SECURE, 0, NULL), SLABBY_OK);
        reported = read_events(pool, events, 256) - 1;
    }
    uint64_t suppressed = 0;
    for (uint64_t i = 1; i <= reported; i++)
        suppressed += events[i].suppressed;
    assert_int_equal(reported + suppressed, raised);
    finish(pool);
}

/* ------------------------------------------------------------------------------- the rings */

#define WRITERS 8

struct hammer {
    struct slb_ring ring;
    uint64_t each;
    _Atomic uint64_t done;
};

struct writer {
    struct hammer *hammer;
    uint64_t number;
};

/* A record of which every word follows from the first two: a mixture is recognised. */
static void compose(uint64_t *words, uint32_t count, uint64_t number, uint64_t turn) {
    words[0] = number << 32 | turn;
    for (uint32_t i = 1; i < count; i++)
        words[i] = (words[i - 1] ^ i) * 0x2545f4914f6cdd1du;
}

static void *write_records(void *argument) {
    struct writer *writer = argument;
    struct hammer *hammer = writer->hammer;
    uint64_t words[SLB_RING_WORDS];

    for (uint64_t turn = 0; turn < hammer->each; turn++) {
        compose(words, hammer->ring.words, writer->number, turn);
        (void)slb_ring_write(&hammer->ring, words);
    }
    atomic_fetch_add(&hammer->done, 1);
    return NULL;
}

/* Reads until every writer is done and nothing is left, the last record included; answers what it saw and lost. */
static uint64_t read_records(struct hammer *hammer, uint64_t pause, uint64_t *out_lost) {
    uint64_t words[SLB_RING_WORDS];
    uint64_t expected[SLB_RING_WORDS];
    uint64_t next[WRITERS + 1] = {0};
    uint64_t cursor = 0;
    uint64_t lost = 0;
    uint64_t seen = 0;

    for (;;) {
        int over = atomic_load(&hammer->done) == WRITERS + 1;
        enum slb_ring_found found = slb_ring_read(&hammer->ring, &cursor, &lost, words);
        assert_int_not_equal(found, SLB_RING_BAD_CURSOR);
        if (found == SLB_RING_END && over)
            break;
        if (found == SLB_RING_END)
            continue;
        uint64_t number = words[0] >> 32;
        uint64_t turn = words[0] & 0xffffffff;
        compose(expected, hammer->ring.words, number, turn);
        assert_memory_equal(words, expected, hammer->ring.words * sizeof words[0]);
        assert_true(number <= WRITERS && turn >= next[number]);
        next[number] = turn + 1;
        seen++;
        for (volatile uint64_t i = 0; i < pause; i++)
            ;
    }
    *out_lost = lost;
    return seen;
}

struct reader {
    struct hammer *hammer;
    uint64_t pause, seen, lost;
};

static void *read_in_thread(void *argument) {
    struct reader *reader = argument;

    reader->seen = read_records(reader->hammer, reader->pause, &reader->lost);
    return NULL;
}

static void hammer_ring(uint64_t size, uint32_t words, uint32_t stride) {
    struct hammer hammer = {
        .ring = {.size = size, .words = words, .stride = stride},
        .each = scaled(100000),
    };
    uint64_t bytes = slb_ring_bytes(size, stride);
    unsigned char *memory = calloc(1, bytes + 64);
    struct writer writers[WRITERS];
    struct reader readers[2] = {{.hammer = &hammer}, {.hammer = &hammer, .pause = 2000}};
    pthread_t threads[WRITERS + 2];

    assert_non_null(memory);
    hammer.ring.head = (void *)(memory + (64 - (uintptr_t)memory % 64));
    for (uint64_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[WRITERS + i], NULL, read_in_thread, &readers[i]), 0);
    for (uint64_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){&hammer, i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_records, &writers[i]), 0);
    }
    for (uint64_t i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    /* a writer that came a whole lap late may have damaged the record behind which none is complete */
    (void)write_records(&(struct writer){&(struct hammer){.ring = hammer.ring, .each = 1}, WRITERS});
    atomic_fetch_add(&hammer.done, 1);
    for (uint64_t i = WRITERS; i < WRITERS + 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (uint64_t i = 0; i < 2; i++) {
        print_message("ring of %llu: %llu read, %llu lost\n", (unsigned long long)size,
                      (unsigned long long)readers[i].seen, (unsigned long long)readers[i].lost);
        assert_int_equal(readers[i].seen + readers[i].lost, WRITERS * hammer.each + 1);
        assert_true(readers[i].seen > 0);
    }
    free(memory);
}

/* Guards: eight writers, a fast and a slow reader: no record is torn, none comes twice or out of a
 * writer's order, read and lost add up to written. Rings as the audit trail and the events have. */
static void rings_survive_contention(void **state) {
    (void)state;
    hammer_ring(1024, 4, 8);
    hammer_ring(256, 30, 32);
    hammer_ring(256, 40, 44);
    hammer_ring(2, 30, 32);
    hammer_ring(1, 4, 8);
}

static _Thread_local int parks_here;
static _Atomic int parked;

static void park(int point) {
    if (point != SLB_POINT_RING_WRITE || !parks_here)
        return;
    parks_here = 0; /* in the pool's ring, not in the process's */
    atomic_store(&parked, 1);
    while (atomic_load(&parked) != 2)
        sched_yield();
}

static void *change_and_park(void *pool) {
    parks_here = 1;
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_SECURE, 0, NULL), SLABBY_OK);
    return NULL;
}

/* Guards: a writer that is stopped in the middle holds nobody up for good: younger records come
 * once it has been away for a while, and its own counts as lost. */
static void stopped_writers_are_passed_over(void **state) {
    slabby_allocator *pool = make_pool(64, 1, NULL);
    slabby_event event = {.struct_size = sizeof event};
    pthread_t thread;
    uint64_t cursor = 1;
    uint64_t count = 0;
    uint64_t lost = 0;

    (void)state;
    slb_test_point = park;
    assert_int_equal(pthread_create(&thread, NULL, change_and_park, pool), 0);
    while (atomic_load(&parked) != 1)
        sched_yield();
    CHECK_STATUS(slabby_close(pool), SLABBY_OK);
    while (count == 0)
        CHECK_STATUS(slabby_events_read(&event, &count, &lost, &cursor, pool, 1), SLABBY_OK);
    assert_int_equal(event.code, SLABBY_EVENT_CODE_CLOSED);
    assert_int_equal(event.sequence, 2);
    assert_int_equal(lost, 1);
    atomic_store(&parked, 2);
    assert_int_equal(pthread_join(thread, NULL), 0);
    slb_test_point = NULL;
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(causes_are_reported),
        cmocka_unit_test(a_wait_is_no_refusal),
        cmocka_unit_test(heap_and_destroy_are_reported),
        cmocka_unit_test(corruption_is_reported_outside_locks),
        cmocka_unit_test(loggers_do_not_hear_themselves),
        cmocka_unit_test(calls_inside_others_report_once),
        cmocka_unit_test(calls_that_serve_report_all),
        cmocka_unit_test(floods_are_thinned),
        cmocka_unit_test(rings_survive_contention),
        cmocka_unit_test(stopped_writers_are_passed_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
