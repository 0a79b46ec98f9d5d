/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Batches: all or nothing on the way out, one by one in order on the way back. The fast path's
 * bare ids. */
#include "support.h"

#include <string.h>

/* Guards: a batch that cannot be whole takes nothing, at every fill level. */
static void batches_are_all_or_nothing(void **state) {
    enum { SLABS = 40 };
    slabby_allocator *pool = make_pool(64, SLABS, NULL);
    slabby_ref held[SLABS];
    slabby_ref refs[SLABS];

    (void)state;
    for (uint64_t used = 0; used < SLABS; used++) {
        uint64_t left = SLABS - used;

        if (left < SLABS)
            CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, left + 1), SLABBY_OUT_OF_MEMORY);
        check_sound(pool, used);
        CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, left), SLABBY_OK);
        check_sound(pool, SLABS);
        CHECK_STATUS(slabby_release_batch(NULL, pool, refs, left), SLABBY_OK);
        held[used] = take(pool);
    }
    CHECK_STATUS(slabby_release_batch(NULL, pool, held, SLABS), SLABBY_OK);
    finish(pool);
}

/* Guards: a batch that one commit takes out of a CPU cache, or gives back to it, counts slab by slab. */
static void batches_of_a_cache_are_counted(void **state) {
    enum { ROUNDS = 20, BATCH = 8 };
    slabby_allocator *pool = make_pool(64, 1000, NULL);
    slabby_ref refs[BATCH];

    (void)state;
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        /* statistics alone: check_sound would empty the caches */
        CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, BATCH), SLABBY_OK);
        assert_int_equal(stats_of(pool).total_allocations, i * BATCH);
        assert_int_equal(stats_of(pool).used_slabs, BATCH);
        CHECK_STATUS(slabby_release_batch(NULL, pool, refs, BATCH), SLABBY_OK);
        assert_int_equal(stats_of(pool).total_deallocations, i * BATCH);
    }
    finish(pool);
}

/* Guards: a batch that falls back to the heap is all or nothing too. */
static void heap_batches_are_all_or_nothing(void **state) {
    slabby_allocator *pool =
        make_pool(64, 4, WITH({SLABBY_OPTION_HEAP_FALLBACK, 1}, {SLABBY_OPTION_HEAP_FALLBACK_LIMIT, 3}));
    slabby_ref refs[8];
    slabby_ref one = take(pool);

    (void)state;
    CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, 8), SLABBY_INVALID_BATCH_SIZE);
    CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, 7), SLABBY_OUT_OF_MEMORY);
    assert_int_equal(stats_of(pool).heap_slabs, 0);
    check_sound(pool, 1);
    CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, 6), SLABBY_OK);
    assert_int_equal(stats_of(pool).heap_slabs, 3);
    CHECK_STATUS(slabby_release_batch(NULL, pool, refs, 6), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, one), SLABBY_OK);
    finish(pool);
}

/* Guards: sizes 0 and above capacity are refused by name and counted, capacity itself is served. */
static void batch_sizes_have_limits(void **state) {
    slabby_allocator *pool = make_pool(64, 3, NULL);
    slabby_ref refs[4];
    void *datas[4];

    (void)state;
    CHECK_STATUS(slabby_allocate_batch(refs, datas, pool, 0), SLABBY_INVALID_BATCH_SIZE);
    CHECK_STATUS(slabby_allocate_batch(refs, datas, pool, 4), SLABBY_INVALID_BATCH_SIZE);
    CHECK_STATUS(slabby_allocate_batch(refs, datas, pool, UINT64_MAX), SLABBY_INVALID_BATCH_SIZE);
    assert_int_equal(stats_of(pool).errors[-SLABBY_INVALID_BATCH_SIZE], 3);
    assert_int_equal(stats_of(pool).allocation_errors, 0);
    CHECK_STATUS(slabby_allocate_batch(refs, datas, pool, 3), SLABBY_OK);
    for (int i = 0; i < 3; i++) {
        void *data = NULL;

        CHECK_STATUS(slabby_data(&data, pool, refs[i]), SLABBY_OK);
        assert_ptr_equal(data, datas[i]);
        for (int j = 0; j < i; j++)
            assert_true(refs[i] != refs[j] && datas[i] != datas[j]);
    }
    CHECK_STATUS(slabby_release_batch(NULL, pool, refs, 3), SLABBY_OK);
    finish(pool);
}

/* Guards: law 4: release_batch tries all, counts what succeeded, answers the first error. */
static void release_batch_tries_all(void **state) {
    slabby_allocator *pool = make_pool(64, 8, NULL);
    slabby_ref good[5];
    slabby_ref mixed[8];
    uint64_t released = 77;

    (void)state;
    CHECK_STATUS(slabby_allocate_batch(good, NULL, pool, 5), SLABBY_OK);
    CHECK_STATUS(slabby_pin(pool, good[2]), SLABBY_OK);
    mixed[0] = good[0];
    mixed[1] = good[2];
    mixed[2] = good[0];
    mixed[3] = 0;
    mixed[4] = good[1];
    mixed[5] = good[3];
    mixed[6] = good[3];
    mixed[7] = good[4];
    CHECK_STATUS(slabby_release_batch(&released, pool, mixed, 8), SLABBY_PINNED);
    assert_int_equal(released, 4);
    check_sound(pool, 1);
    CHECK_STATUS(slabby_unpin(pool, good[2]), SLABBY_OK);
    mixed[0] = good[1];
    mixed[1] = good[2];
    CHECK_STATUS(slabby_release_batch(&released, pool, mixed, 2), SLABBY_DOUBLE_DEALLOCATION);
    assert_int_equal(released, 1);
    CHECK_STATUS(slabby_release_batch(&released, pool, NULL, 0), SLABBY_OK);
    assert_int_equal(released, 0);
    released = 77;
    CHECK_STATUS(slabby_release_batch(&released, pool, NULL, 1), SLABBY_INVALID_ARGUMENT);
    assert_int_equal(released, 0);
    finish(pool);
}

/* Guards: a fast id is refused when free, out of range or a reference's; references never open
 * fast slabs. */
static void fast_ids_are_checked(void **state) {
    slabby_allocator *pool = make_pool(64, 3, NULL);
    slabby_view_info view = view_of(pool);
    void *data = NULL;
    uint32_t id = 0;
    uint32_t of_a_ref = 0;
    slabby_ref ref = take(pool);

    (void)state;
    CHECK_STATUS(slabby_id(&of_a_ref, pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_deallocate_fast(pool, of_a_ref), SLABBY_INVALID_SLAB_ID);
    assert_int_equal(slabby_is_valid(pool, ref), 1);
    CHECK_STATUS(slabby_allocate_fast(&data, &id, pool), SLABBY_OK);
    assert_int_equal((uintptr_t)data, view.slabs_address + id * view.stride);
    memset(data, 1, 64);
    CHECK_STATUS(slabby_deallocate_fast(pool, 3), SLABBY_INVALID_SLAB_ID);
    CHECK_STATUS(slabby_deallocate_fast(pool, UINT32_MAX), SLABBY_INVALID_SLAB_ID);
    check_sound(pool, 2);
    CHECK_STATUS(slabby_deallocate_fast(pool, id), SLABBY_OK);
    CHECK_STATUS(slabby_deallocate_fast(pool, id), SLABBY_DOUBLE_DEALLOCATION);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    assert_int_equal(stats_of(pool).fast_allocations, 1);
    assert_int_equal(stats_of(pool).fast_deallocations, 1);
    assert_int_equal(stats_of(pool).ref_pool_hits, 1);
    finish(pool);
}

/* Guards: a stale reference cannot free the slab that the fast path has handed to somebody else. */
static void stale_references_spare_fast_owners(void **state) {
    slabby_allocator *pool = make_pool(64, 1, NULL);
    slabby_view_info view = view_of(pool);
    slabby_ref ref = take(pool);
    void *data = NULL;
    uint32_t id = 0;

    (void)state;
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_allocate_fast(&data, &id, pool), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_DOUBLE_DEALLOCATION);
    for (uint64_t step = 1; step < 4; step++)
        CHECK_STATUS(slabby_release(pool, ref + (step << view.id_bits)), SLABBY_INVALID_REFERENCE);
    assert_int_equal(slabby_is_valid(pool, ref + (UINT64_C(1) << view.id_bits)), 0);
    CHECK_STATUS(slabby_deallocate_fast(pool, id), SLABBY_OK);
    ref = take(pool);
    CHECK_STATUS(slabby_deallocate_fast(pool, id), SLABBY_INVALID_SLAB_ID);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_are_all_or_nothing),
        cmocka_unit_test(heap_batches_are_all_or_nothing),
        cmocka_unit_test(batch_sizes_have_limits),
        cmocka_unit_test(batches_of_a_cache_are_counted),
        cmocka_unit_test(release_batch_tries_all),
        cmocka_unit_test(fast_ids_are_checked),
        cmocka_unit_test(stale_references_spare_fast_owners),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
