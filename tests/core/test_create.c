/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What slabby_create accepts, what it refuses and how it says so, and how many pools there can
 * be. */
#define _GNU_SOURCE
#include "support.h"

#include "pool.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define GIB (UINT64_C(1) << 30)

static void check_refused(uint64_t slab_size, uint64_t capacity, const struct setting *settings,
                          slabby_status expected) {
    slabby_allocator *const untouched = (slabby_allocator *)(uintptr_t)0x5AB;
    slabby_allocator *pool = untouched;
    slabby_error error = fresh_error();

    CHECK_STATUS(try_pool(&pool, slab_size, capacity, settings, &error), expected);
    assert_ptr_equal(pool, untouched);
    assert_int_equal(error.status, expected);
    assert_true(strlen(error.text) > 0);
    assert_true(error.minimum == error.maximum || error.value < error.minimum || error.value > error.maximum);
    assert_true(error.value >= 0);
    CHECK_STATUS(try_pool(&pool, slab_size, capacity, settings, NULL), expected);
}

/* Guards: slab sizes from 1 byte to 1 GiB, and the refusal's value and limits beyond. */
static void slab_size_has_limits(void **state) {
    const uint64_t good[] = {1, 2, 63, 64, 65, 511, 512, 513, 4095, 4096, 65536, GIB - 1, GIB};
    slabby_allocator *pool = NULL;
    slabby_error error = fresh_error();
    unsigned char *data = NULL;
    slabby_ref ref;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        pool = make_pool(good[i], 2, NULL);
        CHECK_STATUS(slabby_allocate(&ref, (void **)&data, pool), SLABBY_OK);
        data[0] = 1;
        data[good[i] - 1] = 2;
        CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
        finish(pool);
    }
    check_refused(0, 1, NULL, SLABBY_INVALID_SLAB_SIZE);
    check_refused(GIB + 1, 1, NULL, SLABBY_INVALID_SLAB_SIZE);
    check_refused(UINT64_MAX, 1, NULL, SLABBY_INVALID_SLAB_SIZE);
    CHECK_STATUS(slabby_create(&pool, GIB + 1, 1, NULL, &error), SLABBY_INVALID_SLAB_SIZE);
    assert_true(error.value == (int64_t)GIB + 1);
    assert_true(error.minimum == 1);
    assert_true(error.maximum == (int64_t)GIB);
}

/* Guards: capacity 0 and above 2^31 - 1 are refused, each with its own status and the limits. */
static void capacity_has_limits(void **state) {
    slabby_allocator *pool = NULL;
    slabby_error error = fresh_error();

    (void)state;
    check_refused(64, 0, NULL, SLABBY_INVALID_CAPACITY);
    check_refused(64, UINT64_C(1) << 31, NULL, SLABBY_CAPACITY_EXCEEDED);
    check_refused(64, UINT64_MAX, NULL, SLABBY_CAPACITY_EXCEEDED);
    CHECK_STATUS(slabby_create(&pool, 64, UINT64_C(1) << 31, NULL, &error), SLABBY_CAPACITY_EXCEEDED);
    assert_true(error.value == INT64_C(1) << 31);
    assert_true(error.minimum == 1);
    assert_true(error.maximum <= INT32_MAX && error.maximum > INT32_MAX - 8192);
}

/* Guards: the largest numbers are worked or refused by the system, never wrapped into a small
 * pool. */
static void totals_do_not_overflow(void **state) {
    slabby_allocator *pool = NULL;
    slabby_error error = fresh_error();
    slabby_status status = slabby_create(&pool, 1, INT32_MAX, NULL, &error);

    (void)state;
    if (status == SLABBY_OK) {
        slabby_ref ref = take(pool);

        assert_int_equal(stats_of(pool).total_slabs, INT32_MAX);
        CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
        CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    } else {
        CHECK_STATUS(status, SLABBY_NO_SYSTEM_MEMORY);
        assert_true(strlen(error.text) > 0);
    }
    pool = NULL;
    CHECK_STATUS(slabby_create(&pool, GIB, INT32_MAX, NULL, NULL), SLABBY_NO_SYSTEM_MEMORY);
    assert_null(pool);
}

/* Guards: heap slots count against the 2^31 - 1 numbers of a reference. */
static void heap_slots_take_numbers(void **state) {
    (void)state;
    check_refused(64, INT32_MAX,
                  WITH({SLABBY_OPTION_HEAP_FALLBACK, 1}, {SLABBY_OPTION_HEAP_FALLBACK_LIMIT, INT32_MAX - 1}),
                  SLABBY_CAPACITY_EXCEEDED);
    check_refused(64, INT32_MAX, WITH({SLABBY_OPTION_HEAP_FALLBACK, 1}), SLABBY_CAPACITY_EXCEEDED);
}

/* The allocations of a slab that create warns of; 0 where it does not warn. */
static int64_t warned_of(slabby_allocator *pool) {
    slabby_event event = {.struct_size = sizeof event};
    uint64_t cursor = 0, count = 1;

    while (count != 0) {
        CHECK_STATUS(slabby_events_read(&event, &count, NULL, &cursor, pool, 1), SLABBY_OK);
        if (count == 0 || event.code != SLABBY_EVENT_CODE_SLAB_RETIRED)
            continue;
        assert_int_equal(event.level, SLABBY_EVENT_LEVEL_WARNING);
        assert_non_null(strstr(event.text, "lower heap_fallback_limit"));
        return event.value;
    }
    return 0;
}

/* Guards: a pool whose slabs wear out within days says so at once; a large one does not. */
static void short_lives_are_announced(void **state) {
    static const struct {
        uint64_t capacity;
        int64_t most, heap, warned;
    } cases[] = {{64, 64, 64, 0},
                 {64, 1 << 24, 64, 0},
                 {64, 64, 100000, 0},
                 {64, 64, 1000000, INT64_C(1) << 32},
                 {64, 64, 1 << 24, 1 << 27},
                 {1 << 20, 1 << 20, 64, 0}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        slabby_allocator *pool = make_pool(8, cases[i].capacity,
                                           WITH({SLABBY_OPTION_MAX_CAPACITY, cases[i].most},
                                                {SLABBY_OPTION_HEAP_FALLBACK_LIMIT, cases[i].heap}));
        int64_t warned = warned_of(pool);

        if (warned != cases[i].warned) /* an earlier pool may have used some references of this place */
            assert_in_range(warned, cases[i].warned / 2, cases[i].warned);
        CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    }
}

/* Guards: where the references of every place are used up, the refusal says that, and a smaller pool is made. */
static void used_up_references_are_named(void **state) {
    slabby_allocator *pool = NULL;
    slabby_error error = fresh_error();

    (void)state;
    for (uint32_t entry = 1; entry < SLB_POOL_ENTRIES; entry++)
        slb_pool_table[entry].pool.tag_spent = (1ull << 52) - (1ull << 20);
    CHECK_STATUS(try_pool(&pool, 8, 64, WITH({SLABBY_OPTION_MAX_CAPACITY, 1 << 20}), &error),
                 SLABBY_TOO_MANY_POOLS);
    assert_non_null(strstr(error.text, "used up the references of 4095 of the 4095 places"));
    assert_null(strstr(error.text, "holds"));
    pool = make_pool(8, 64, NULL);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    for (uint32_t entry = 1; entry < SLB_POOL_ENTRIES; entry++)
        slb_pool_table[entry].pool.tag_spent = 0;
}

/* Guards: a refused create leaves no pool, tag or mapping behind, however often it is tried. */
static void refusals_leak_nothing(void **state) {
    slabby_allocator *pool = NULL;

    (void)state;
    for (int i = 0; i < 10000; i++) {
        CHECK_STATUS(slabby_create(&pool, 0, 1, NULL, NULL), SLABBY_INVALID_SLAB_SIZE);
        CHECK_STATUS(slabby_create(&pool, GIB, INT32_MAX, NULL, NULL), SLABBY_NO_SYSTEM_MEMORY);
    }
    pool = make_pool(64, 2, NULL);
    finish(pool);
}

/* Guards: 4,095 pools live at once, the 4,096th is refused by name, and a place frees up again. */
static void pools_are_numbered(void **state) {
    enum { LIMIT = 4095 };
    slabby_allocator **pools = calloc(LIMIT, sizeof *pools);
    slabby_ref *refs = calloc(LIMIT, sizeof *refs);
    slabby_allocator *extra = NULL;
    slabby_error error = fresh_error();

    (void)state;
    assert_non_null(pools);
    assert_non_null(refs);
    for (int i = 0; i < LIMIT; i++) {
        pools[i] = make_pool(64, 1, NULL);
        refs[i] = take(pools[i]);
    }
    CHECK_STATUS(slabby_create(&extra, 64, 1, NULL, &error), SLABBY_TOO_MANY_POOLS);
    assert_null(extra);
    assert_true(error.maximum == LIMIT);
    for (int i = 0; i < LIMIT; i++) {
        CHECK_STATUS(slabby_release(pools[(i + 1) % LIMIT], refs[i]), SLABBY_INVALID_REFERENCE);
        CHECK_STATUS(slabby_release(pools[i], refs[i]), SLABBY_OK);
    }
    CHECK_STATUS(slabby_destroy(pools[100]), SLABBY_OK);
    pools[100] = make_pool(64, 1, NULL);
    CHECK_STATUS(slabby_create(&extra, 64, 1, NULL, NULL), SLABBY_TOO_MANY_POOLS);
    for (int i = 0; i < LIMIT; i++)
        CHECK_STATUS(slabby_destroy(pools[i]), SLABBY_OK);
    free(pools);
    free(refs);
}

/* Guards: a refusal of the system says for what it was asked, its errno, and what to change. The limit holds in a child
 * alone. */
static void refused_memory_names_cause_and_remedy(void **state) {
    (void)state;
    if (TEST_UNDER_SANITIZER)
        return;
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {.rlim_cur = UINT64_C(1) << 30, .rlim_max = UINT64_C(1) << 30};
        slabby_allocator *pool = NULL;
        slabby_error error = fresh_error();
        if (setrlimit(RLIMIT_AS, &limit) != 0)
            _exit(2);
        slabby_status status = slabby_create(&pool, 1 << 20, 4096, NULL, &error);
        bool named = strstr(error.text, "bytes for the slabs' address space (errno 12, ENOMEM)") != NULL &&
                     strstr(error.text, "ulimit -v") != NULL &&
                     strstr(error.text, "lower max_capacity") != NULL;
        if (!named)
            print_error("%s\n", error.text);
        _exit(status == SLABBY_NO_SYSTEM_MEMORY && named ? 0 : 1);
    }
    int ended = 0;
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_int_equal(ended, 0);
}

/* Guards: prefaulting more than the machine has is an error at once. Nothing is touched. */
static void prefault_beyond_the_machine_is_refused(void **state) {
    slabby_allocator *pool = NULL;
    slabby_error error = fresh_error();
    (void)state;
    CHECK_STATUS(try_pool(&pool, GIB, 1 << 20, WITH({SLABBY_OPTION_PREFAULT, 1}), &error),
                 SLABBY_NO_SYSTEM_MEMORY);
    assert_int_equal(error.option, SLABBY_OPTION_PREFAULT);
    assert_non_null(strstr(error.text, "leave prefault off"));
}

/* Guards: limits of durations in the unit that people write, and the words of an enumeration. */
static void refusals_speak_the_language_of_options(void **state) {
    slabby_options *options = NULL;
    slabby_error error = fresh_error();
    (void)state;
    CHECK_STATUS(slabby_options_create(&options), SLABBY_OK);
    CHECK_STATUS(slabby_options_set(options, SLABBY_OPTION_HEALTH_INTERVAL, -5000000000, &error),
                 SLABBY_INVALID_OPTION);
    if (strstr(error.text, "health_interval cannot be -5s; choose ") == NULL ||
        strstr(error.text, "000") != NULL)
        fail_msg("%s", error.text);
    CHECK_STATUS(slabby_options_set_text(options, "latency_tracking", "yes", &error), SLABBY_INVALID_OPTION);
    assert_string_equal(
        error.text, "option latency_tracking cannot be read from \"yes\"; write one of off, sampled, all");
    CHECK_STATUS(slabby_options_set_text(options, "guard_slots", "-4", &error), SLABBY_INVALID_OPTION);
    assert_string_equal(
        error.text, "option guard_slots cannot be read from \"-4\"; write a whole number, from 1 to 4096");
    CHECK_STATUS(slabby_options_set_text(options, "max_alloc_latency", "9999999999h", &error),
                 SLABBY_INVALID_OPTION);
    assert_non_null(strstr(error.text, "write a time, such as 250us or 30s, from 0ns to 1h"));
    slabby_options_destroy(options);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_memory_names_cause_and_remedy),
        cmocka_unit_test(prefault_beyond_the_machine_is_refused),
        cmocka_unit_test(refusals_speak_the_language_of_options),
        cmocka_unit_test(slab_size_has_limits),
        cmocka_unit_test(capacity_has_limits),
        cmocka_unit_test(totals_do_not_overflow),
        cmocka_unit_test(heap_slots_take_numbers),
        cmocka_unit_test(short_lives_are_announced),
        cmocka_unit_test(used_up_references_are_named),
        cmocka_unit_test(refusals_leak_nothing),
        cmocka_unit_test(pools_are_numbered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
