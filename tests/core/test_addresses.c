/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From an address back to its slab and pool: only the starts of live slabs are accepted. */
#include "support.h"

#include <stdbool.h>
#include <stdlib.h>

#define SLABS 2000

/* Each with another stride, or with slabs that lie elsewhere: see layout.h. */
static const struct kind {
    const char *name;
    uint64_t slab_size;
    const struct setting settings[4];
} kinds[] = {
    {"64 bytes", 64, {{0, 0}}},
    {"4 KiB", 4096, {{0, 0}}},
    {"odd size", 777, {{SLABBY_OPTION_ALIGNMENT, 1}}},
    {"one byte", 1, {{SLABBY_OPTION_ALIGNMENT, 1}}},
    {"page aligned", 4096, {{SLABBY_OPTION_ALIGNMENT, 4096}}},
    {"patterns", 100, {{SLABBY_OPTION_BIT_GUARD, 1}, {SLABBY_OPTION_SECURE, 1}}},
    {"guard pages", 100, {{SLABBY_OPTION_GUARD_PAGES, 1}, {SLABBY_OPTION_ALIGNMENT, 4}}},
    {"sampled guards", 256, {{SLABBY_OPTION_GUARD_SAMPLE_RATE, 7}, {SLABBY_OPTION_GUARD_SLOTS, 64}}},
    {"portable", 256, {{SLABBY_OPTION_CPU_CACHE_BACKEND, SLABBY_CPU_CACHE_BACKEND_PORTABLE}}},
};

struct slabs {
    slabby_ref refs[SLABS];
    char *datas[SLABS];
    size_t count;
};

static void fill(slabby_allocator *pool, struct slabs *slabs) {
    slabs->count = 0;
    for (size_t i = 0; i < SLABS; i++) {
        void *data;
        CHECK_STATUS(slabby_allocate(&slabs->refs[i], &data, pool), SLABBY_OK);
        slabs->datas[i] = data;
        slabs->count++;
    }
}

static void empty(slabby_allocator *pool, const struct slabs *slabs) {
    for (size_t i = 0; i < slabs->count; i++)
        CHECK_STATUS(slabby_release(pool, slabs->refs[i]), SLABBY_OK);
}

static int compare_pointers(const void *left, const void *right) {
    uintptr_t a = (uintptr_t) * (char *const *)left, b = (uintptr_t) * (char *const *)right;
    return a < b ? -1 : a > b;
}

/* Guards: the start of every live slab gives its reference, whatever the stride and wherever it lies. */
static void starts_of_live_slabs_give_their_references(void **state) {
    static struct slabs slabs;
    (void)state;
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        slabby_allocator *pool = make_pool(kinds[k].slab_size, SLABS, kinds[k].settings);
        fill(pool, &slabs);
        for (size_t i = 0; i < SLABS; i++) {
            slabby_ref found = 0;
            slabby_allocator *owner = NULL;
            CHECK_STATUS(slabby_ref_of(&found, pool, slabs.datas[i]), SLABBY_OK);
            assert_int_equal(found, slabs.refs[i]);
            CHECK_STATUS(slabby_pool_of(&owner, slabs.datas[i] + kinds[k].slab_size - 1), SLABBY_OK);
            assert_ptr_equal(owner, pool);
        }
        empty(pool, &slabs);
        for (size_t i = 0; i < SLABS; i++) {
            slabby_ref found = 0;
            slabby_status status = slabby_ref_of(&found, pool, slabs.datas[i]);
            /* a guard slot that was closed belongs to nobody */
            assert_true(status == SLABBY_USE_AFTER_FREE || status == SLABBY_INVALID_REFERENCE);
            assert_int_equal(found, 0);
        }
        finish(pool);
    }
}

/* A pointer somewhere: near a slab, in the range of the pool, or anywhere. */
static uintptr_t random_pointer(uint64_t *seed, const struct slabs *slabs, uint64_t stride) {
    uint64_t draw = random_next(seed);
    uintptr_t start = (uintptr_t)slabs->datas[draw % SLABS];
    uint64_t more = random_next(seed);
    switch (draw >> 60 & 3) {
    case 0:
        return start + more % (2 * stride) - stride;
    case 1:
        return start + more % (stride * SLABS);
    case 2:
        return start ^ (1ull << more % 47);
    default:
        return (uintptr_t)more;
    }
}

/* Guards: of a million random pointers none is accepted but the starts of live slabs. */
static void random_pointers_are_refused(void **state) {
    static struct slabs slabs;
    static char *live[SLABS];
    uint64_t seed = test_seed();
    (void)state;
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        slabby_allocator *pool = make_pool(kinds[k].slab_size, SLABS + 1, kinds[k].settings);
        uint64_t stride = view_of(pool).stride;
        size_t count = 0;
        fill(pool, &slabs);
        for (size_t i = 0; i < SLABS; i++) /* every third is released */
            if (i % 3 == 0)
                CHECK_STATUS(slabby_release(pool, slabs.refs[i]), SLABBY_OK);
            else
                live[count++] = slabs.datas[i];
        qsort(live, count, sizeof live[0], compare_pointers);
        for (uint64_t i = 0; i < scaled(1000000 / COUNT_OF(kinds)); i++) {
            uintptr_t pointer = random_pointer(&seed, &slabs, stride);
            char *key = (char *)pointer; /* NOLINT: a pointer that may point nowhere is the point */
            slabby_ref found = 0;
            bool is_live = bsearch(&key, live, count, sizeof live[0], compare_pointers) != NULL;
            slabby_status status = slabby_ref_of(&found, pool, key);
            if ((status == SLABBY_OK) != is_live)
                print_error("%s: %p answered %s\n", kinds[k].name, (void *)key, slabby_status_name(status));
            assert_true((status == SLABBY_OK) == is_live);
            if (!is_live)
                assert_true(slabby_release_data(pool, key) != SLABBY_OK);
        }
        for (size_t i = 0; i < count; i++) /* each start of a live slab is accepted */
            CHECK_STATUS(slabby_release_data(pool, live[i]), SLABBY_OK);
        finish(pool);
    }
}

/* Guards: a slab is released by its address once, whether it was allocated by reference or by id. */
static void slabs_are_released_by_address(void **state) {
    slabby_allocator *pool = make_pool(64, 10, NULL);
    slabby_ref ref;
    uint32_t id;
    void *data, *fast, *inside;

    (void)state;
    CHECK_STATUS(slabby_allocate(&ref, &data, pool), SLABBY_OK);
    inside = (char *)data + 8;
    CHECK_STATUS(slabby_release_data(pool, inside), SLABBY_INVALID_REFERENCE);
    CHECK_STATUS(slabby_pin(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_release_data(pool, data), SLABBY_PINNED);
    CHECK_STATUS(slabby_unpin(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_release_data(pool, data), SLABBY_OK);
    CHECK_STATUS(slabby_release_data(pool, data), SLABBY_DOUBLE_DEALLOCATION);
    CHECK_STATUS(slabby_ref_of(&ref, pool, data), SLABBY_USE_AFTER_FREE);
    CHECK_STATUS(slabby_allocate_fast(&fast, &id, pool), SLABBY_OK);
    CHECK_STATUS(slabby_ref_of(&ref, pool, fast), SLABBY_INVALID_REFERENCE);
    CHECK_STATUS(slabby_release_data(pool, fast), SLABBY_OK);
    CHECK_STATUS(slabby_deallocate_fast(pool, id), SLABBY_DOUBLE_DEALLOCATION);
    finish(pool);
}

/* Guards: slabs of the heap are found too, and are nobody's once they were released. */
static void heap_slabs_are_found(void **state) {
    slabby_allocator *pool =
        make_pool(100, 2, WITH({SLABBY_OPTION_HEAP_FALLBACK, 1}, {SLABBY_OPTION_HEAP_FALLBACK_LIMIT, 3}));
    slabby_allocator *owner = NULL;
    slabby_ref refs[5], found = 0;
    void *datas[5];

    (void)state;
    for (int i = 0; i < 5; i++)
        CHECK_STATUS(slabby_allocate(&refs[i], &datas[i], pool), SLABBY_OK);
    for (int i = 0; i < 5; i++) {
        CHECK_STATUS(slabby_ref_of(&found, pool, datas[i]), SLABBY_OK);
        assert_int_equal(found, refs[i]);
        CHECK_STATUS(slabby_ref_of(&found, pool, (char *)datas[i] + 1), SLABBY_INVALID_REFERENCE);
        CHECK_STATUS(slabby_pool_of(&owner, (char *)datas[i] + 99), SLABBY_OK);
        assert_ptr_equal(owner, pool);
    }
    for (int i = 0; i < 5; i++)
        CHECK_STATUS(slabby_release_data(pool, datas[i]), SLABBY_OK);
    CHECK_STATUS(slabby_release_data(pool, datas[4]), SLABBY_INVALID_REFERENCE);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

/* Guards: null, other pools' slabs, destroyed pools; and which of several pools an address is of. */
static void bad_arguments_are_refused(void **state) {
    slabby_allocator *mine = make_pool(64, 3, NULL), *other = make_pool(64, 3, NULL), *owner = NULL;
    slabby_ref ref, found = 0;
    void *data;
    int outside = 0;

    (void)state;
    CHECK_STATUS(slabby_allocate(&ref, &data, mine), SLABBY_OK);
    CHECK_STATUS(slabby_ref_of(&found, other, data), SLABBY_INVALID_REFERENCE);
    CHECK_STATUS(slabby_release_data(other, data), SLABBY_INVALID_REFERENCE);
    CHECK_STATUS(slabby_ref_of(&found, mine, NULL), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_ref_of(NULL, mine, data), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_ref_of(&found, NULL, data), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_release_data(mine, NULL), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_release_data(NULL, data), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_pool_of(&owner, NULL), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_pool_of(NULL, data), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_pool_of(&owner, &outside), SLABBY_INVALID_REFERENCE);
    CHECK_STATUS(slabby_pool_of(&owner, data), SLABBY_OK);
    assert_ptr_equal(owner, mine);
    CHECK_STATUS(slabby_release(mine, ref), SLABBY_OK);
    finish(mine);
    CHECK_STATUS(slabby_ref_of(&found, mine, data), SLABBY_CLOSED);
    CHECK_STATUS(slabby_release_data(mine, data), SLABBY_CLOSED);
    CHECK_STATUS(slabby_pool_of(&owner, data), SLABBY_INVALID_REFERENCE);
    assert_int_equal(found, 0);
    finish(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_of_live_slabs_give_their_references),
        cmocka_unit_test(random_pointers_are_refused),
        cmocka_unit_test(slabs_are_released_by_address),
        cmocka_unit_test(heap_slabs_are_found),
        cmocka_unit_test(bad_arguments_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
