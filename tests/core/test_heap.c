/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The heap tier: bounded, counted, as safe as the pool; and memory given back by trim. */
#define _GNU_SOURCE
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Guards: exactly the limit is served from the heap, its slabs are numbered from capacity up and
 * counted apart. */
static void heap_is_bounded_and_counted(void **state) {
    slabby_allocator *pool =
        make_pool(200, 2, WITH({SLABBY_OPTION_HEAP_FALLBACK, 1}, {SLABBY_OPTION_HEAP_FALLBACK_LIMIT, 3}));
    slabby_ref refs[5];
    slabby_ref other = 0;
    slabby_stats stats;
    void *data = NULL;
    uint32_t id = 0;

    (void)state;
    for (uint32_t i = 0; i < 5; i++) {
        CHECK_STATUS(slabby_allocate(&refs[i], &data, pool), SLABBY_OK);
        assert_int_equal((uintptr_t)data % 64, 0);
        memset(data, (int)i, 200);
        CHECK_STATUS(slabby_id(&id, pool, refs[i]), SLABBY_OK);
        assert_int_equal(id >= 2, i >= 2);
        assert_true(id < 5);
    }
    CHECK_STATUS(slabby_allocate(&other, NULL, pool), SLABBY_OUT_OF_MEMORY);
    stats = stats_of(pool);
    assert_int_equal(stats.used_slabs, 2);
    assert_int_equal(stats.heap_slabs, 3);
    assert_int_equal(stats.heap_fallbacks, 3);
    assert_true(stats.heap_bytes >= 600);
    check_sound(pool, 2);
    for (int i = 0; i < 5; i++) {
        CHECK_STATUS(slabby_data(&data, pool, refs[i]), SLABBY_OK);
        assert_int_equal(((unsigned char *)data)[199], i);
    }
    CHECK_STATUS(slabby_release(pool, refs[0]), SLABBY_OK);
    other = take(pool);
    assert_int_equal(stats_of(pool).heap_fallbacks, 3);
    CHECK_STATUS(slabby_release(pool, other), SLABBY_OK);
    CHECK_STATUS(slabby_release_batch(NULL, pool, refs + 1, 4), SLABBY_OK);
    assert_int_equal(stats_of(pool).heap_bytes, 0);
    finish(pool);
}

/* Guards: beside CPU caches a slab of the heap goes back to the heap, however it is released. */
static void heap_slabs_enter_no_cache(void **state) {
    enum { SLABS = 1000, BACK = 500 };
    static slabby_ref own[SLABS];
    slabby_allocator *pool =
        make_pool(64, SLABS, WITH({SLABBY_OPTION_HEAP_FALLBACK, 1}, {SLABBY_OPTION_HEAP_FALLBACK_LIMIT, 3}));

    (void)state;
    for (int way = 0; way < 3; way++) {
        slabby_ref heap;
        uint32_t id = 0;
        CHECK_STATUS(slabby_allocate_batch(own, NULL, pool, SLABS), SLABBY_OK);
        heap = take(pool);
        CHECK_STATUS(slabby_id(&id, pool, heap), SLABBY_OK);
        assert_int_equal(id, SLABS);
        for (int i = 0; i < BACK; i++) /* with enough free slabs the caches take what comes back */
            CHECK_STATUS(slabby_release(pool, own[i]), SLABBY_OK);
        CHECK_STATUS(way == 0   ? slabby_release(pool, heap)
                     : way == 1 ? slabby_release_deferred(pool, heap)
                                : slabby_release_batch(NULL, pool, &heap, 1),
                     SLABBY_OK);
        assert_int_equal(stats_of(pool).heap_slabs, 0);
        assert_int_equal(stats_of(pool).heap_bytes, 0);
        CHECK_STATUS(slabby_release(pool, heap), SLABBY_DOUBLE_DEALLOCATION);
        CHECK_STATUS(slabby_release_batch(NULL, pool, own + BACK, SLABS - BACK), SLABBY_OK);
        check_sound(pool, 0);
    }
    finish(pool);
}

/* Guards: law 2 on the heap: stale, doubly released and pinned heap references meet the same
 * answers. */
static void heap_references_are_checked(void **state) {
    slabby_allocator *pool = make_pool(64, 1, WITH({SLABBY_OPTION_HEAP_FALLBACK, 1}));
    slabby_ref own = take(pool);
    slabby_ref old = 0;
    void *data = NULL;

    (void)state;
    for (int i = 0; i < 50; i++) {
        slabby_ref ref = take(pool);

        assert_true(ref != old);
        if (old) {
            CHECK_STATUS(slabby_release(pool, old), SLABBY_DOUBLE_DEALLOCATION);
            CHECK_STATUS(slabby_data(&data, pool, old), SLABBY_USE_AFTER_FREE);
        }
        CHECK_STATUS(slabby_pin(pool, ref), SLABBY_OK);
        CHECK_STATUS(slabby_release(pool, ref), SLABBY_PINNED);
        CHECK_STATUS(slabby_release_deferred(pool, ref), SLABBY_OK);
        CHECK_STATUS(slabby_unpin(pool, ref), SLABBY_OK);
        old = ref;
    }
    CHECK_STATUS(slabby_release(pool, own), SLABBY_OK);
    finish(pool);
}

/* Guards: fast ids work on the heap, and a live heap slab keeps its pool. */
static void heap_serves_the_fast_path(void **state) {
    slabby_allocator *pool = make_pool(64, 1, WITH({SLABBY_OPTION_HEAP_FALLBACK, 1}));
    slabby_ref own = take(pool);
    void *data = NULL;
    uint32_t id = 0;

    (void)state;
    CHECK_STATUS(slabby_allocate_fast(&data, &id, pool), SLABBY_OK);
    assert_int_equal(id, 1);
    memset(data, 1, 64);
    CHECK_STATUS(slabby_release(pool, own), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_IN_USE);
    CHECK_STATUS(slabby_deallocate_fast(pool, id), SLABBY_OK);
    CHECK_STATUS(slabby_deallocate_fast(pool, id), SLABBY_DOUBLE_DEALLOCATION);
    finish(pool);
}

/* Guards: the fallback switches on and off while the pool runs; live heap slabs stay what they
 * are. */
static void heap_fallback_is_hot(void **state) {
    slabby_allocator *pool = make_pool(64, 1, NULL);
    slabby_ref own = take(pool);
    slabby_ref other = 0;
    slabby_ref heap;

    (void)state;
    CHECK_STATUS(slabby_allocate(&other, NULL, pool), SLABBY_OUT_OF_MEMORY);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_HEAP_FALLBACK, 1, NULL), SLABBY_OK);
    heap = take(pool);
    CHECK_STATUS(slabby_allocate(&other, NULL, pool), SLABBY_OUT_OF_MEMORY);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_HEAP_FALLBACK, 0, NULL), SLABBY_OK);
    assert_int_equal(slabby_is_valid(pool, heap), 1);
    CHECK_STATUS(slabby_release(pool, heap), SLABBY_OK);
    CHECK_STATUS(slabby_allocate(&other, NULL, pool), SLABBY_OUT_OF_MEMORY);
    CHECK_STATUS(slabby_release(pool, own), SLABBY_OK);
    finish(pool);
}

/* Takes both slabs of the pool, which must be zeros, and fills them. */
static void take_zeros(slabby_allocator *pool, size_t size, slabby_ref *refs) {
    unsigned char *data = NULL;

    for (int i = 0; i < 2; i++) {
        CHECK_STATUS(slabby_allocate(&refs[i], (void **)&data, pool), SLABBY_OK);
        for (size_t at = 0; at < size; at++)
            assert_int_equal(data[at], 0);
        memset(data, 0xDD, size);
    }
}

/* Guards: with secure a slab of the heap begins as zeros, whatever malloc's memory held. */
static void secure_hides_what_malloc_had(void **state) {
    enum { SIZE = 3000 };
    static const unsigned char zeros[SIZE];
    slabby_allocator *pool =
        make_pool(SIZE, 1, WITH({SLABBY_OPTION_HEAP_FALLBACK, 1}, {SLABBY_OPTION_HEAP_FALLBACK_LIMIT, 1}));
    slabby_ref own = take(pool), ref;
    void *data;

    (void)state;
    CHECK_STATUS(slabby_allocate(&ref, &data, pool), SLABBY_OK);
    memset(data, 0xAA, SIZE); /* malloc has these bytes next */
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_SECURE, 1, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_allocate(&ref, &data, pool), SLABBY_OK);
    assert_memory_equal(data, zeros, SIZE);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, own), SLABBY_OK);
    finish(pool);
}

/*
 * Guards: secure zeroes at release, one slab or a batch; switched on later, it also hides what was freed before. The
 * sizes are on both sides of the one up to which the zeroing is inline.
 */
static void secure_hides_old_content(void **state) {
    static const size_t sizes[] = {16, 64, 200, 256, 257, 500, 5000};

    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        slabby_allocator *pool = make_pool(sizes[s], 2, NULL);
        slabby_ref refs[2];

        take_zeros(pool, sizes[s], refs);
        CHECK_STATUS(slabby_release_batch(NULL, pool, refs, 2), SLABBY_OK);
        CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_SECURE, 1, NULL), SLABBY_OK);
        take_zeros(pool, sizes[s], refs);
        CHECK_STATUS(slabby_release_batch(NULL, pool, refs, 2), SLABBY_OK);
        take_zeros(pool, sizes[s], refs);
        for (int i = 0; i < 2; i++)
            CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
        take_zeros(pool, sizes[s], refs);
        CHECK_STATUS(slabby_release_batch(NULL, pool, refs, 2), SLABBY_OK);
        finish(pool);
    }
}

static uint64_t resident_pages(slabby_allocator *pool, uint64_t slabs) {
    slabby_view_info view = view_of(pool);
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t first = view.slabs_address / page;
    uint64_t pages = (view.slabs_address + slabs * view.stride - 1) / page - first + 1;
    unsigned char *map = malloc(pages);
    uint64_t resident = 0;

    assert_non_null(map);
    assert_int_equal(mincore((void *)(uintptr_t)(first * page), pages * page, map), 0);
    for (uint64_t i = 0; i < pages; i++)
        resident += map[i] & 1;
    free(map);
    return resident;
}

/* Guards: trim returns the pages of free slabs and only those; live content stays, trimmed slabs
 * read zero. */
static void trim_returns_free_pages(void **state) {
    enum { SLABS = 48, SIZE = 65536 };
    slabby_allocator *pool = make_pool(SIZE, SLABS, NULL);
    slabby_ref refs[SLABS];
    unsigned char *datas[SLABS];
    uint64_t bytes = 0;
    uint64_t before;

    (void)state;
    CHECK_STATUS(slabby_allocate_batch(refs, (void **)datas, pool, SLABS), SLABBY_OK);
    for (int i = 0; i < SLABS; i++)
        memset(datas[i], 0x77, SIZE);
    for (int i = 0; i < SLABS; i++)
        if (i % 3)
            CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
    before = resident_pages(pool, SLABS);
    CHECK_STATUS(slabby_trim(&bytes, pool), SLABBY_OK);
    assert_true(bytes >= (uint64_t)SLABS * 2 / 3 * (SIZE - 2 * 4096) * 3 / 4);
    assert_true(resident_pages(pool, SLABS) < before / 2);
    check_sound(pool, SLABS / 3);
    for (int i = 0; i < SLABS; i += 3) {
        for (int j = 0; j < SIZE; j++)
            assert_int_equal(datas[i][j], 0x77);
        CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
    }
    CHECK_STATUS(slabby_trim(NULL, pool), SLABBY_OK);
    assert_true(resident_pages(pool, SLABS) <= before / 10);
    finish(pool);
}

/* Guards: trim looks at the slabs that were used, and with prefault at all, and does not count what had no memory. */
static void trim_counts_what_had_memory(void **state) {
    enum { SIZE = 4096, SPACE = 1 << 20 };
    slabby_allocator *pool = make_pool(SIZE, 8, WITH({SLABBY_OPTION_MAX_CAPACITY, SPACE}));
    uint64_t bytes = 1;

    (void)state;
    CHECK_STATUS(slabby_trim(&bytes, pool), SLABBY_OK);
    assert_int_equal(bytes, 0);
    CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    CHECK_STATUS(slabby_trim(&bytes, pool), SLABBY_OK);
    assert_in_range(bytes, 1, (uint64_t)SPACE * SIZE / 4);
    finish(pool);
    pool = make_pool(SIZE, 64, WITH({SLABBY_OPTION_PREFAULT, 1}));
    CHECK_STATUS(slabby_trim(&bytes, pool), SLABBY_OK);
    assert_in_range(bytes, 32 * SIZE, 65 * SIZE);
    finish(pool);
}

/* Guards: closing gives the pages back with the last slab, and reclaim has nothing to do in a
 * sound pool. */
static void close_returns_pages(void **state) {
    slabby_allocator *pool = make_pool(65536, 16, NULL);
    slabby_ref refs[16];
    unsigned char *datas[16];
    uint64_t count = 9;

    (void)state;
    CHECK_STATUS(slabby_reclaim(&count, pool), SLABBY_OK);
    assert_int_equal(count, 0);
    CHECK_STATUS(slabby_allocate_batch(refs, (void **)datas, pool, 16), SLABBY_OK);
    for (int i = 0; i < 16; i++)
        memset(datas[i], 1, 65536);
    CHECK_STATUS(slabby_close(pool), SLABBY_OK);
    assert_true(resident_pages(pool, 16) >= 16 * 15);
    CHECK_STATUS(slabby_release_batch(NULL, pool, refs, 16), SLABBY_OK);
    assert_true(resident_pages(pool, 16) <= 16);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heap_is_bounded_and_counted),  cmocka_unit_test(heap_references_are_checked),
        cmocka_unit_test(heap_serves_the_fast_path),    cmocka_unit_test(heap_fallback_is_hot),
        cmocka_unit_test(secure_hides_what_malloc_had), cmocka_unit_test(secure_hides_old_content),
        cmocka_unit_test(trim_returns_free_pages),      cmocka_unit_test(close_returns_pages),
        cmocka_unit_test(heap_slabs_enter_no_cache),    cmocka_unit_test(trim_counts_what_had_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
