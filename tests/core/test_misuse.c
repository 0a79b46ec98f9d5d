/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Misuse with exact answers: nulls, garbage handles, and the functions that wait for their turn. */
#include "support.h"

#include <string.h>

/* Every function that takes a pool, with all other arguments sound, must answer `expected`. */
static void check_handle(slabby_allocator *pool, slabby_status expected) {
    slabby_stats stats = {.struct_size = sizeof stats};
    slabby_memory memory = {.struct_size = sizeof memory};
    slabby_view_info view = {.struct_size = sizeof view};
    slabby_live live = {.struct_size = sizeof live};
    uint64_t number = 0;
    uint64_t cursor = 0;
    int64_t value = 0;
    uint32_t id = 0;
    void *data = NULL;
    char text[64];
    slabby_ref ref = 1;

    CHECK_STATUS(slabby_allocate(&ref, &data, pool), expected);
    CHECK_STATUS(slabby_allocate_timeout(&ref, &data, pool, 0), expected);
    CHECK_STATUS(slabby_allocate_batch(&ref, NULL, pool, 1), expected);
    CHECK_STATUS(slabby_allocate_fast(&data, &id, pool), expected);
    CHECK_STATUS(slabby_release(pool, ref), expected);
    CHECK_STATUS(slabby_release_deferred(pool, ref), expected);
    CHECK_STATUS(slabby_release_batch(&number, pool, &ref, 1), expected);
    CHECK_STATUS(slabby_deallocate_fast(pool, 0), expected);
    CHECK_STATUS(slabby_data(&data, pool, ref), expected);
    assert_int_equal(slabby_is_valid(pool, ref), 0);
    CHECK_STATUS(slabby_id(&id, pool, ref), expected);
    CHECK_STATUS(slabby_size(&number, pool), expected);
    CHECK_STATUS(slabby_ref_text(text, sizeof text, NULL, pool, ref), expected);
    CHECK_STATUS(slabby_pin(pool, ref), expected);
    CHECK_STATUS(slabby_unpin(pool, ref), expected);
    CHECK_STATUS(slabby_set_label(pool, ref, 1), expected);
    CHECK_STATUS(slabby_get_label(&number, pool, ref), expected);
    CHECK_STATUS(slabby_reset(pool), expected);
    CHECK_STATUS(slabby_get_stats(&stats, pool), expected);
    CHECK_STATUS(slabby_get_memory(&memory, pool), expected);
    CHECK_STATUS(slabby_stats_json(text, sizeof text, NULL, pool), expected);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_SECURE, 1, NULL), expected);
    CHECK_STATUS(slabby_get_option(&value, pool, SLABBY_OPTION_SECURE), expected);
    CHECK_STATUS(slabby_trim(NULL, pool), expected);
    CHECK_STATUS(slabby_reclaim(NULL, pool), expected);
    CHECK_STATUS(slabby_live_next(&live, &number, &cursor, pool), expected);
    CHECK_STATUS(slabby_verify(NULL, &number, pool, 0), expected);
    CHECK_STATUS(slabby_view(&view, pool), expected);
    CHECK_STATUS(slabby_stack(text, sizeof text, NULL, pool, ref), expected);
    CHECK_STATUS(slabby_retain(pool), expected);
    CHECK_STATUS(slabby_handle(&number, &cursor, pool), expected);
    CHECK_STATUS(slabby_close(pool), expected);
}

/* Guards: a null handle, a small number, a local's address, a heap address and a shifted handle
 * are refused. */
static void garbage_handles_are_refused(void **state) {
    slabby_allocator *pool = make_pool(64, 2, NULL);
    uint64_t local[512] = {0};
    slabby_allocator *const garbage[] = {
        NULL,
        (slabby_allocator *)(uintptr_t)1,
        (slabby_allocator *)(uintptr_t)UINTPTR_MAX,
        (slabby_allocator *)(uintptr_t)local,
        (slabby_allocator *)((uintptr_t)pool + 8),
        (slabby_allocator *)((uintptr_t)pool + 1),
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(garbage); i++) {
        check_handle(garbage[i], SLABBY_INVALID_ARGUMENT);
        if (garbage[i]) {
            CHECK_STATUS(slabby_destroy(garbage[i]), SLABBY_INVALID_ARGUMENT);
            CHECK_STATUS(slabby_abandon(garbage[i]), SLABBY_INVALID_ARGUMENT);
        }
    }
    finish(pool);
}

/* Guards: each required out-parameter that is null is refused, and the refused call changes
 * nothing. */
static void missing_out_parameters_are_refused(void **state) {
    slabby_allocator *pool = make_pool(64, 4, NULL);
    slabby_ref ref = take(pool);
    slabby_live live = {.struct_size = sizeof live};
    void *data = NULL;
    uint64_t number = 0;
    uint32_t id = 0;

    (void)state;
    CHECK_STATUS(slabby_create(NULL, 64, 4, NULL, NULL), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_options_create(NULL), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_options_set(NULL, SLABBY_OPTION_SECURE, 1, NULL), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_options_set_text(NULL, "secure", "on", NULL), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_allocate(NULL, &data, pool), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_allocate_timeout(NULL, &data, pool, 0), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_allocate_batch(NULL, &data, pool, 1), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_allocate_fast(NULL, &id, pool), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_allocate_fast(&data, NULL, pool), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_data(NULL, pool, ref), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_id(NULL, pool, ref), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_size(NULL, pool), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_ref_text(NULL, 8, NULL, pool, ref), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_get_label(NULL, pool, ref), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_get_stats(NULL, pool), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_get_memory(NULL, pool), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_stats_json(NULL, 8, NULL, pool), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_get_option(NULL, pool, SLABBY_OPTION_SECURE), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_live_next(NULL, &number, &number, pool), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_live_next(&live, NULL, &number, pool), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_live_next(&live, &number, NULL, pool), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_verify(NULL, &number, pool, 1), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_verify(NULL, NULL, pool, 0), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_view(NULL, pool), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_handle(NULL, &number, pool), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_handle(&number, NULL, pool), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_adopt(NULL, 0, 0, NULL), SLABBY_INVALID_ARGUMENT);
    check_sound(pool, 1);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

/* Guards: allocate_timeout with 0 is allocate: it tries once and never waits. */
static void zero_timeout_tries_once(void **state) {
    slabby_allocator *pool = make_pool(64, 1, NULL);
    slabby_ref ref = 0;
    slabby_ref other = 0;

    (void)state;
    CHECK_STATUS(slabby_allocate_timeout(&ref, NULL, pool, 0), SLABBY_OK);
    CHECK_STATUS(slabby_allocate_timeout(&other, NULL, pool, 0), SLABBY_OUT_OF_MEMORY);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(garbage_handles_are_refused),
        cmocka_unit_test(missing_out_parameters_are_refused),
        cmocka_unit_test(zero_timeout_tries_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
