/* SPDX-License-Identifier: GPL-3.0-or-later */
/* References: stale, forged and foreign ones are told apart by exact status, by every function. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

/* What the functions that look and the functions that release answer to one kind of bad
 * reference. */
static void check_bad(slabby_allocator *pool, slabby_ref ref, slabby_status on_access,
                      slabby_status on_release) {
    void *data = NULL;
    uint64_t label = 0;

    CHECK_STATUS(slabby_data(&data, pool, ref), on_access);
    assert_null(data);
    assert_int_equal(slabby_is_valid(pool, ref), 0);
    CHECK_STATUS(slabby_pin(pool, ref), on_access);
    CHECK_STATUS(slabby_unpin(pool, ref), on_access);
    CHECK_STATUS(slabby_set_label(pool, ref, 7), on_access);
    CHECK_STATUS(slabby_get_label(&label, pool, ref), on_access);
    CHECK_STATUS(slabby_release(pool, ref), on_release);
    CHECK_STATUS(slabby_release_deferred(pool, ref), on_release);
    CHECK_STATUS(slabby_release_batch(NULL, pool, &ref, 1), on_release);
}

static void check_stale(slabby_allocator *pool, slabby_ref ref) {
    check_bad(pool, ref, SLABBY_USE_AFTER_FREE, SLABBY_DOUBLE_DEALLOCATION);
}

static void check_forged(slabby_allocator *pool, slabby_ref ref) {
    check_bad(pool, ref, SLABBY_INVALID_REFERENCE, SLABBY_INVALID_REFERENCE);
}

/* Guards: a released reference stays stale through every later life of its slab. */
static void stale_references_stay_stale(void **state) {
    slabby_allocator *pool = make_pool(64, 1, NULL);
    slabby_ref old[200];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(old); i++) {
        old[i] = take(pool);
        assert_int_equal(slabby_is_valid(pool, old[i]), 1);
        for (size_t j = 0; j < i; j++)
            assert_true(old[j] != old[i]);
        if (i % 20 == 1)
            for (size_t j = 0; j < i; j++)
                check_stale(pool, old[j]);
        CHECK_STATUS(slabby_release(pool, old[i]), SLABBY_OK);
        check_stale(pool, old[i]);
    }
    finish(pool);
}

/* Guards: generations never issued, ids out of range and 0 are forged, whatever the slab does. */
static void forged_references_are_refused(void **state) {
    slabby_allocator *pool = make_pool(64, 5, NULL);
    slabby_view_info view = view_of(pool);
    slabby_ref ref = take(pool);
    uint32_t id = 0;

    (void)state;
    check_forged(pool, 0);
    check_forged(pool, ref + (UINT64_C(1) << view.id_bits));
    check_forged(pool, ref + (UINT64_C(1000) << view.id_bits));
    for (uint64_t bad = view.id_limit; bad < UINT64_C(1) << view.id_bits; bad++)
        check_forged(pool, (ref >> view.id_bits << view.id_bits) | bad);
    check_forged(pool, ref ^ (UINT64_C(1) << 63));
    check_forged(pool, ref ^ (UINT64_C(1) << 52));
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    check_forged(pool, ref + (UINT64_C(1) << view.id_bits));
    CHECK_STATUS(slabby_id(&id, pool, 0), SLABBY_INVALID_REFERENCE);
    CHECK_STATUS(slabby_id(&id, pool, ref ^ (UINT64_C(1) << 60)), SLABBY_INVALID_REFERENCE);
    finish(pool);
}

/* Guards: a reference of another pool is InvalidReference and harms neither pool. */
static void foreign_references_are_refused(void **state) {
    slabby_allocator *mine = make_pool(64, 5, NULL);
    slabby_allocator *other = make_pool(64, 5, NULL);
    slabby_ref ref = take(other);

    (void)state;
    check_forged(mine, ref);
    assert_int_equal(slabby_is_valid(other, ref), 1);
    CHECK_STATUS(slabby_release(other, ref), SLABBY_OK);
    check_forged(mine, ref);
    finish(mine);
    finish(other);
}

/* Guards: the id in a reference stays readable after the release and lies within the pool. */
static void ids_survive_release(void **state) {
    slabby_allocator *pool = make_pool(64, 3, NULL);
    slabby_ref refs[3];
    uint32_t seen = 0;
    uint32_t id = 0;
    uint32_t again = 0;

    (void)state;
    CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, 3), SLABBY_OK);
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(slabby_id(&id, pool, refs[i]), SLABBY_OK);
        assert_true(id < 3);
        seen |= 1u << id;
        CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
        CHECK_STATUS(slabby_id(&again, pool, refs[i]), SLABBY_OK);
        assert_int_equal(id, again);
    }
    assert_int_equal(seen, 7);
    finish(pool);
}

/* Makes and destroys pools until one carries `tag`; those in between have other tags. */
static slabby_allocator *pool_with_tag(uint64_t tag, uint64_t capacity, slabby_ref *out_ref) {
    for (int i = 0; i < 3 * 4096; i++) {
        slabby_allocator *pool = make_pool(64, capacity, NULL);

        *out_ref = take(pool);
        if (*out_ref >> 52 == tag)
            return pool;
        CHECK_STATUS(slabby_release(pool, *out_ref), SLABBY_OK);
        CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    }
    return NULL;
}

/* Guards: when a tag comes round again, the new pool's references lie above all that the old one
 * issued, whatever the two capacities, so that no old copy can ever match. */
static void recycled_tags_refuse_old_references(void **state) {
    const uint64_t capacities[][2] = {{4, 4}, {100000, 4}, {4, 100000}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(capacities); i++) {
        slabby_allocator *pool = make_pool(64, capacities[i][0], NULL);
        slabby_ref newer = 0;
        slabby_ref old = 0;
        void *data = NULL;

        for (int round = 0; round < 50; round++) {
            old = take(pool);
            CHECK_STATUS(slabby_release(pool, old), SLABBY_OK);
        }
        old = take(pool);
        CHECK_STATUS(slabby_release(pool, old), SLABBY_OK);
        CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
        pool = pool_with_tag(old >> 52, capacities[i][1], &newer);
        assert_non_null(pool);
        assert_true(newer > old);
        assert_int_equal(slabby_is_valid(pool, old), 0);
        assert_true(slabby_release(pool, old) != SLABBY_OK);
        assert_true(slabby_data(&data, pool, old) != SLABBY_OK);
        CHECK_STATUS(slabby_release(pool, newer), SLABBY_OK);
        finish(pool);
    }
}

/* Guards: out-parameters keep their value when a call is refused. */
static void refusals_write_nothing(void **state) {
    slabby_allocator *pool = make_pool(64, 1, NULL);
    slabby_ref ref = take(pool);
    slabby_ref untouched = 42;
    void *data = &untouched;
    uint64_t label = 42;
    uint32_t id = 42;

    (void)state;
    CHECK_STATUS(slabby_allocate(&untouched, &data, pool), SLABBY_OUT_OF_MEMORY);
    CHECK_STATUS(slabby_allocate_fast(&data, &id, pool), SLABBY_OUT_OF_MEMORY);
    CHECK_STATUS(slabby_data(&data, pool, ref + 1), SLABBY_INVALID_REFERENCE);
    CHECK_STATUS(slabby_get_label(&label, pool, 0), SLABBY_INVALID_REFERENCE);
    CHECK_STATUS(slabby_id(&id, pool, 0), SLABBY_INVALID_REFERENCE);
    assert_int_equal(untouched, 42);
    assert_ptr_equal(data, &untouched);
    assert_int_equal(label, 42);
    assert_int_equal(id, 42);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stale_references_stay_stale),
        cmocka_unit_test(forged_references_are_refused),
        cmocka_unit_test(foreign_references_are_refused),
        cmocka_unit_test(ids_survive_release),
        cmocka_unit_test(recycled_tags_refuse_old_references),
        cmocka_unit_test(refusals_write_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
