/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The option debug: who allocated, who released, and nothing at all while it is off. */
#define _GNU_SOURCE
#include "support.h"

#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAMED __attribute__((noinline, visibility("default")))

NAMED slabby_ref take_for_orders(slabby_allocator *pool);
NAMED slabby_status give_back_order(slabby_allocator *pool, slabby_ref ref);

NAMED slabby_ref take_for_orders(slabby_allocator *pool) {
    slabby_ref ref = 0;

    CHECK_STATUS(slabby_allocate(&ref, NULL, pool), SLABBY_OK);
    return ref;
}

NAMED slabby_status give_back_order(slabby_allocator *pool, slabby_ref ref) {
    slabby_status status = slabby_release(pool, ref);

    __asm__ __volatile__("" : "+r"(status)); /* no tail call: the frame must be there */
    return status;
}

static slabby_allocator *debug_pool(void) {
    return make_pool(64, 64, WITH({SLABBY_OPTION_DEBUG, 1}));
}

static void scenario(char *text, size_t size, slabby_allocator *pool, slabby_ref ref) {
    CHECK_STATUS(slabby_stack(text, size, NULL, pool, ref), SLABBY_OK);
}

static void assert_says(const char *text, const char *part) {
    if (!strstr(text, part))
        fail_msg("\"%s\" is missing in: %s", part, text);
}

static void assert_silent_about(const char *text, const char *part) {
    if (strstr(text, part))
        fail_msg("\"%s\" should not be in: %s", part, text);
}

/* Guards: a live slab's stack begins in the function that asked for it. */
static void live_slabs_report_their_allocation(void **state) {
    slabby_allocator *pool = debug_pool();
    char text[4096];
    char thread[48];

    (void)state;
    for (int i = 0; i < 40; i++) { /* from the CPU cache, by refill, from never-used slabs */
        slabby_ref ref = take_for_orders(pool);
        scenario(text, sizeof text, pool, ref);
        assert_says(text, "allocated by thread");
        assert_says(text, "#0 0x");
        assert_says(text, "take_for_orders+0x");
        assert_silent_about(text, "released by");
        if (!TEST_UNDER_TSAN) /* which makes no tail calls, so that the entrance stays on the stack */
            assert_silent_about(text, "slabby_allocate");
        if (i % 2 == 0)
            CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    }
    (void)snprintf(thread, sizeof thread, "thread %ld,", (long)syscall(SYS_gettid));
    assert_says(text, thread);
    CHECK_STATUS(slabby_reset(pool), SLABBY_OK);
    finish(pool);
}

/* "... by thread 17, 4 ms ago": the age in ns behind the first place where the text has the verb. */
static double age_of(const char *text, const char *verb) {
    const char *at = strstr(text, verb);
    char unit[4] = "";
    double age = -1;
    at = at == NULL ? NULL : strchr(at, ',');
    assert_non_null(at);
    assert_int_equal(sscanf(at, ", %lf %3[a-z] ago", &age, unit), 2);
    return age * (!strcmp(unit, "s") ? 1e9 : !strcmp(unit, "ms") ? 1e6 : !strcmp(unit, "us") ? 1e3 : 1);
}

/* Guards: both ages are those of one moment: who released later did so more recently. */
static void ages_are_in_order(void **state) {
    slabby_allocator *pool = debug_pool();
    char text[8192];

    (void)state;
    for (int i = 0; i < 40; i++) {
        slabby_ref ref = take_for_orders(pool);
        CHECK_STATUS(give_back_order(pool, ref), SLABBY_OK);
        scenario(text, sizeof text, pool, ref);
        assert_true(age_of(text, "released by") <= age_of(text, "allocated by"));
    }
    finish(pool);
}

/* Guards: a stale reference is told both ends of its life, also after the slab's next allocation. */
static void stale_references_report_both_ends(void **state) {
    slabby_allocator *pool = make_pool(64, 1, WITH({SLABBY_OPTION_DEBUG, 1}));
    slabby_ref ref = take_for_orders(pool);
    slabby_ref next;
    char text[8192];

    (void)state;
    CHECK_STATUS(give_back_order(pool, ref), SLABBY_OK);
    scenario(text, sizeof text, pool, ref);
    assert_says(text, "take_for_orders");
    assert_says(text, "released by thread");
    assert_says(text, "give_back_order");
    CHECK_STATUS(slabby_explain(text, sizeof text, NULL, pool, ref, SLABBY_USE_AFTER_FREE), SLABBY_OK);
    assert_says(text, "UseAfterFree");
    assert_says(text, "give_back_order");

    next = take(pool);
    scenario(text, sizeof text, pool, ref);
    assert_says(text, "give_back_order");
    assert_silent_about(text, "allocated by");
    scenario(text, sizeof text, pool, next);
    assert_silent_about(text, "give_back_order");
    CHECK_STATUS(slabby_release(pool, next), SLABBY_OK);
    scenario(text, sizeof text, pool, ref);
    assert_string_equal(text, "");
    finish(pool);
}

/* Guards: off, nothing is captured; the option works in a running pool, for what comes after. */
static void the_option_is_hot(void **state) {
    slabby_allocator *pool = make_pool(64, 1000, NULL);
    slabby_ref before = take_for_orders(pool);
    slabby_ref during;
    slabby_ref after;
    int64_t value = -1;
    char text[4096];

    (void)state;
    scenario(text, sizeof text, pool, before);
    assert_string_equal(text, "");
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_DEBUG, 1, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_get_option(&value, pool, SLABBY_OPTION_DEBUG), SLABBY_OK);
    assert_int_equal(value, 1);
    during = take_for_orders(pool);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_DEBUG, 0, NULL), SLABBY_OK);
    after = take_for_orders(pool);
    CHECK_STATUS(slabby_get_option(&value, pool, SLABBY_OPTION_DEBUG), SLABBY_OK);
    assert_int_equal(value, 0);
    scenario(text, sizeof text, pool, during);
    assert_says(text, "take_for_orders");
    scenario(text, sizeof text, pool, before);
    assert_string_equal(text, "");
    scenario(text, sizeof text, pool, after);
    assert_string_equal(text, "");
    CHECK_STATUS(slabby_reset(pool), SLABBY_OK);
    finish(pool);
}

/* Guards: outstanding slabs carry thread and age, those by id and heap slabs as well. */
static void live_slabs_carry_thread_and_age(void **state) {
    slabby_allocator *pool =
        make_pool(64, 2, WITH({SLABBY_OPTION_DEBUG, 1}, {SLABBY_OPTION_HEAP_FALLBACK, 1}));
    slabby_live live = {.struct_size = sizeof live};
    uint64_t cursor = 0;
    uint64_t count = 0;
    uint32_t id;
    void *data;

    (void)state;
    (void)take(pool);
    CHECK_STATUS(slabby_allocate_fast(&data, &id, pool), SLABBY_OK);
    (void)take(pool);
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(slabby_live_next(&live, &count, &cursor, pool), SLABBY_OK);
        assert_int_equal(count, 1);
        assert_int_equal(live.thread, syscall(SYS_gettid));
        assert_true(live.age_ns > 0 && live.age_ns < 600000000000u);
    }
    CHECK_STATUS(slabby_reset(pool), SLABBY_OK);
    finish(pool);
}

/* Guards: forged and foreign references get no story, nor do small buffers overflow. */
static void bad_references_and_small_buffers(void **state) {
    slabby_allocator *pool = debug_pool();
    slabby_allocator *other = debug_pool();
    slabby_ref ref = take(pool);
    slabby_ref foreign = take(other);
    uint64_t needed = 0;
    uint64_t again = 0;
    char text[64];

    (void)state;
    CHECK_STATUS(slabby_stack(text, sizeof text, NULL, pool, foreign), SLABBY_INVALID_REFERENCE);
    CHECK_STATUS(slabby_stack(text, sizeof text, NULL, pool, 0), SLABBY_INVALID_REFERENCE);
    CHECK_STATUS(slabby_stack(text, sizeof text, NULL, pool, ref + 1024), SLABBY_INVALID_REFERENCE);
    CHECK_STATUS(slabby_stack(NULL, 1, NULL, pool, ref), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_stack(NULL, 0, &needed, pool, ref), SLABBY_BUFFER_TOO_SMALL);
    assert_true(needed > sizeof text);
    memset(text, 'x', sizeof text);
    CHECK_STATUS(slabby_stack(text, 32, &again, pool, ref), SLABBY_BUFFER_TOO_SMALL);
    assert_int_equal(strlen(text), 31);
    assert_int_equal(text[32], 'x');
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_release(other, foreign), SLABBY_OK);
    finish(pool);
    finish(other);
}

/* Guards: the story of an overwritten slab says where it was allocated. */
static void corruption_tells_the_allocation(void **state) {
    slabby_allocator *pool = make_pool(64, 4, WITH({SLABBY_OPTION_DEBUG, 1}, {SLABBY_OPTION_BIT_GUARD, 1}));
    slabby_ref ref = take_for_orders(pool);
    uint64_t count = 0;
    void *data = NULL;
    char text[8192];

    (void)state;
    CHECK_STATUS(slabby_data(&data, pool, ref), SLABBY_OK);
    ((volatile char *)data)[64] ^= 1;
    CHECK_STATUS(give_back_order(pool, ref), SLABBY_MEMORY_CORRUPTION);
    CHECK_STATUS(slabby_explain(text, sizeof text, NULL, pool, ref, SLABBY_MEMORY_CORRUPTION), SLABBY_OK);
    assert_says(text, "the byte at offset 64");
    assert_says(text, "take_for_orders");
    assert_says(text, "give_back_order");
    CHECK_STATUS(slabby_reclaim(&count, pool), SLABBY_OK);
    assert_int_equal(count, 1);
    finish(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live_slabs_report_their_allocation),
        cmocka_unit_test(ages_are_in_order),
        cmocka_unit_test(stale_references_report_both_ends),
        cmocka_unit_test(the_option_is_hot),
        cmocka_unit_test(live_slabs_carry_thread_and_age),
        cmocka_unit_test(bad_references_and_small_buffers),
        cmocka_unit_test(corruption_tells_the_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
