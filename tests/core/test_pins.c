/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pins forbid release, deferred releases wait for the last of them; labels live and die with a
 * slab. */
#include "support.h"

#include <string.h>

/* Guards: 4,095 pins are held, the 4,096th is refused, and each needs its own unpin. */
static void pins_are_counted(void **state) {
    enum { LIMIT = 4095 };
    slabby_allocator *pool = make_pool(64, 2, NULL);
    slabby_ref ref = take(pool);

    (void)state;
    for (int i = 0; i < LIMIT; i++)
        CHECK_STATUS(slabby_pin(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_pin(pool, ref), SLABBY_TOO_MANY_PINS);
    for (int i = 0; i < LIMIT; i++) {
        if (i % 1000 == 0)
            CHECK_STATUS(slabby_release(pool, ref), SLABBY_PINNED);
        CHECK_STATUS(slabby_unpin(pool, ref), SLABBY_OK);
    }
    CHECK_STATUS(slabby_unpin(pool, ref), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

/* Guards: a refused release of a pinned slab changes nothing, in a batch neither. */
static void pinned_slabs_are_not_released(void **state) {
    slabby_allocator *pool = make_pool(64, 2, NULL);
    unsigned char *data = NULL;
    uint64_t released = 9;
    slabby_ref ref = 0;

    (void)state;
    CHECK_STATUS(slabby_allocate(&ref, (void **)&data, pool), SLABBY_OK);
    memset(data, 0x5A, 64);
    CHECK_STATUS(slabby_set_label(pool, ref, 99), SLABBY_OK);
    CHECK_STATUS(slabby_pin(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_PINNED);
    CHECK_STATUS(slabby_release_batch(&released, pool, &ref, 1), SLABBY_PINNED);
    assert_int_equal(released, 0);
    assert_int_equal(slabby_is_valid(pool, ref), 1);
    assert_int_equal(data[0], 0x5A);
    assert_int_equal(stats_of(pool).total_deallocations, 0);
    assert_int_equal(stats_of(pool).errors[-SLABBY_PINNED], 2);
    CHECK_STATUS(slabby_unpin(pool, ref), SLABBY_OK);
    assert_int_equal(slabby_is_valid(pool, ref), 1);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

/* Guards: deferred without pins is a release. */
static void deferred_without_pins_releases(void **state) {
    slabby_allocator *pool = make_pool(64, 1, NULL);
    slabby_ref ref = take(pool);

    (void)state;
    CHECK_STATUS(slabby_release_deferred(pool, ref), SLABBY_OK);
    assert_int_equal(stats_of(pool).used_slabs, 0);
    CHECK_STATUS(slabby_release_deferred(pool, ref), SLABBY_DOUBLE_DEALLOCATION);
    finish(pool);
}

/* Guards: while dying, everything but unpin is refused as stale and the slab is nobody else's. */
static void dying_slabs_refuse_all_but_unpin(void **state) {
    slabby_allocator *pool = make_pool(64, 1, NULL);
    void *data = NULL;
    uint64_t label = 0;
    slabby_ref ref = take(pool);
    slabby_ref other = 0;

    (void)state;
    CHECK_STATUS(slabby_pin(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_pin(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_release_deferred(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_data(&data, pool, ref), SLABBY_USE_AFTER_FREE);
    assert_int_equal(slabby_is_valid(pool, ref), 0);
    CHECK_STATUS(slabby_pin(pool, ref), SLABBY_USE_AFTER_FREE);
    CHECK_STATUS(slabby_set_label(pool, ref, 1), SLABBY_USE_AFTER_FREE);
    CHECK_STATUS(slabby_get_label(&label, pool, ref), SLABBY_USE_AFTER_FREE);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_DOUBLE_DEALLOCATION);
    CHECK_STATUS(slabby_release_deferred(pool, ref), SLABBY_DOUBLE_DEALLOCATION);
    CHECK_STATUS(slabby_allocate(&other, NULL, pool), SLABBY_OUT_OF_MEMORY);
    CHECK_STATUS(slabby_reset(pool), SLABBY_PINNED);
    CHECK_STATUS(slabby_unpin(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_allocate(&other, NULL, pool), SLABBY_OUT_OF_MEMORY);
    check_sound(pool, 1);
    CHECK_STATUS(slabby_unpin(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_unpin(pool, ref), SLABBY_USE_AFTER_FREE);
    assert_int_equal(stats_of(pool).total_deallocations, 1);
    other = take(pool);
    assert_true(other != ref);
    CHECK_STATUS(slabby_release(pool, other), SLABBY_OK);
    finish(pool);
}

/* Guards: a deferred release zeroes the slab in a secure pool, as any release does. */
static void deferred_release_is_secure(void **state) {
    slabby_allocator *pool = make_pool(300, 1, WITH({SLABBY_OPTION_SECURE, 1}));
    unsigned char *data = NULL;
    slabby_ref ref = 0;

    (void)state;
    CHECK_STATUS(slabby_allocate(&ref, (void **)&data, pool), SLABBY_OK);
    memset(data, 0xEE, 300);
    CHECK_STATUS(slabby_pin(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_release_deferred(pool, ref), SLABBY_OK);
    assert_int_equal(data[0], 0xEE);
    CHECK_STATUS(slabby_unpin(pool, ref), SLABBY_OK);
    for (int i = 0; i < 300; i++)
        assert_int_equal(data[i], 0);
    finish(pool);
}

/* Guards: a label is 0 at birth, kept while live, forgotten on release, and each slab's own. */
static void labels_live_with_their_slab(void **state) {
    slabby_allocator *pool = make_pool(64, 3, WITH({SLABBY_OPTION_HEAP_FALLBACK, 1}));
    slabby_ref refs[5];
    uint64_t label = 9;

    (void)state;
    CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, 5), SLABBY_OK);
    for (int i = 0; i < 5; i++) {
        CHECK_STATUS(slabby_get_label(&label, pool, refs[i]), SLABBY_OK);
        assert_int_equal(label, 0);
    }
    for (int i = 0; i < 5; i++)
        CHECK_STATUS(slabby_set_label(pool, refs[i], UINT64_MAX - (uint64_t)i), SLABBY_OK);
    for (int i = 0; i < 5; i++) {
        CHECK_STATUS(slabby_get_label(&label, pool, refs[i]), SLABBY_OK);
        assert_true(label == UINT64_MAX - (uint64_t)i);
        CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
    }
    CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, 5), SLABBY_OK);
    for (int i = 0; i < 5; i++) {
        CHECK_STATUS(slabby_get_label(&label, pool, refs[i]), SLABBY_OK);
        assert_int_equal(label, 0);
    }
    CHECK_STATUS(slabby_release_batch(NULL, pool, refs, 5), SLABBY_OK);
    finish(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pins_are_counted),
        cmocka_unit_test(pinned_slabs_are_not_released),
        cmocka_unit_test(deferred_without_pins_releases),
        cmocka_unit_test(dying_slabs_refuse_all_but_unpin),
        cmocka_unit_test(deferred_release_is_secure),
        cmocka_unit_test(labels_live_with_their_slab),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
