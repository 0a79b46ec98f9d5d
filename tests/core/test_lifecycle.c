/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Close, destroy, abandon, retain, handle, adopt and reset: who owns a pool and when it ends. */
#include "resident.h"
#include "support.h"

#include "observe/counters.h"
#include "pool.h"

#include <stdio.h>
#include <string.h>

#ifdef __has_include
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif

/* Everything that takes a handle answers Closed once the pool is destroyed. */
static void check_closed(slabby_allocator *pool, slabby_ref ref) {
    slabby_stats stats = {.struct_size = sizeof stats};
    slabby_memory memory = {.struct_size = sizeof memory};
    slabby_view_info view = {.struct_size = sizeof view};
    slabby_live live = {.struct_size = sizeof live};
    uint64_t number = 0;
    uint64_t cursor = 0;
    int64_t value = 0;
    uint32_t id = 0;
    void *data = NULL;
    char text[4096];
    slabby_ref other = 0;

    CHECK_STATUS(slabby_allocate(&other, &data, pool), SLABBY_CLOSED);
    CHECK_STATUS(slabby_allocate_timeout(&other, &data, pool, 0), SLABBY_CLOSED);
    CHECK_STATUS(slabby_allocate_batch(&other, NULL, pool, 1), SLABBY_CLOSED);
    CHECK_STATUS(slabby_allocate_fast(&data, &id, pool), SLABBY_CLOSED);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_CLOSED);
    CHECK_STATUS(slabby_release_deferred(pool, ref), SLABBY_CLOSED);
    CHECK_STATUS(slabby_release_batch(&number, pool, &ref, 1), SLABBY_CLOSED);
    CHECK_STATUS(slabby_deallocate_fast(pool, 0), SLABBY_CLOSED);
    assert_true(slabby_data(&data, pool, ref) != SLABBY_OK);
    assert_int_equal(slabby_is_valid(pool, ref), 0);
    assert_true(slabby_pin(pool, ref) != SLABBY_OK);
    CHECK_STATUS(slabby_size(&number, pool), SLABBY_CLOSED);
    CHECK_STATUS(slabby_get_stats(&stats, pool), SLABBY_CLOSED);
    CHECK_STATUS(slabby_get_memory(&memory, pool), SLABBY_CLOSED);
    CHECK_STATUS(slabby_view(&view, pool), SLABBY_CLOSED);
    CHECK_STATUS(slabby_stats_json(text, sizeof text, NULL, pool), SLABBY_CLOSED);
    CHECK_STATUS(slabby_live_next(&live, &number, &cursor, pool), SLABBY_CLOSED);
    CHECK_STATUS(slabby_verify(NULL, &number, pool, 0), SLABBY_CLOSED);
    CHECK_STATUS(slabby_reset(pool), SLABBY_CLOSED);
    CHECK_STATUS(slabby_trim(NULL, pool), SLABBY_CLOSED);
    CHECK_STATUS(slabby_reclaim(NULL, pool), SLABBY_CLOSED);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_SECURE, 1, NULL), SLABBY_CLOSED);
    CHECK_STATUS(slabby_get_option(&value, pool, SLABBY_OPTION_SECURE), SLABBY_CLOSED);
    CHECK_STATUS(slabby_retain(pool), SLABBY_CLOSED);
    CHECK_STATUS(slabby_handle(&number, &cursor, pool), SLABBY_CLOSED);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_CLOSED);
    CHECK_STATUS(slabby_abandon(pool), SLABBY_CLOSED);
    CHECK_STATUS(slabby_close(pool), SLABBY_OK);
}

/* Guards: after destroy every call answers Closed, and touches nothing. */
static void destroyed_pools_answer_closed(void **state) {
    slabby_allocator *pool = make_pool(64, 4, NULL);
    slabby_ref ref = take(pool);

    (void)state;
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    check_closed(pool, ref);
}

/* Guards: law 9: a live reference keeps its pool; the refused destroy changes nothing. */
static void destroy_waits_for_references(void **state) {
    slabby_allocator *pool = make_pool(64, 4, NULL);
    slabby_ref ref = take(pool);
    uint32_t id = 0;
    void *data = NULL;

    (void)state;
    CHECK_STATUS(slabby_destroy(pool), SLABBY_IN_USE);
    assert_int_equal(slabby_is_valid(pool, ref), 1);
    CHECK_STATUS(slabby_allocate_fast(&data, &id, pool), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_IN_USE);
    CHECK_STATUS(slabby_deallocate_fast(pool, id), SLABBY_OK);
    ref = take(pool);
    CHECK_STATUS(slabby_pin(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_release_deferred(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_IN_USE);
    CHECK_STATUS(slabby_unpin(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

/* Guards: a closed pool allocates no more, serves what is live, closes twice, and counts the
 * refusals. */
static void closed_pools_serve_what_is_live(void **state) {
    slabby_allocator *pool = make_pool(64, 4, NULL);
    unsigned char *data = NULL;
    void *again = NULL;
    slabby_ref ref = 0;
    slabby_ref other = 0;
    uint32_t id = 0;

    (void)state;
    CHECK_STATUS(slabby_allocate(&ref, (void **)&data, pool), SLABBY_OK);
    data[63] = 7;
    CHECK_STATUS(slabby_close(pool), SLABBY_OK);
    CHECK_STATUS(slabby_close(pool), SLABBY_OK);
    CHECK_STATUS(slabby_allocate(&other, NULL, pool), SLABBY_CLOSED);
    CHECK_STATUS(slabby_allocate_batch(&other, NULL, pool, 1), SLABBY_CLOSED);
    CHECK_STATUS(slabby_allocate_fast(&again, &id, pool), SLABBY_CLOSED);
    assert_int_equal(stats_of(pool).allocation_errors, 3);
    CHECK_STATUS(slabby_data(&again, pool, ref), SLABBY_OK);
    assert_ptr_equal(again, data);
    assert_int_equal(data[63], 7);
    CHECK_STATUS(slabby_pin(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_PINNED);
    CHECK_STATUS(slabby_unpin(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_retain(pool), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_IN_USE);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_DOUBLE_DEALLOCATION);
    CHECK_STATUS(slabby_allocate(&other, NULL, pool), SLABBY_CLOSED);
    check_sound(pool, 0);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    check_closed(pool, ref);
}

/* Guards: an abandoned pool lives exactly as long as its last reference and pin. */
static void abandoned_pools_end_with_their_last_slab(void **state) {
    slabby_allocator *pool = make_pool(64, 4, NULL);
    slabby_ref first = take(pool);
    slabby_ref second = take(pool);
    slabby_ref other = 0;
    void *data = NULL;

    (void)state;
    CHECK_STATUS(slabby_abandon(pool), SLABBY_OK);
    CHECK_STATUS(slabby_retain(pool), SLABBY_CLOSED);
    CHECK_STATUS(slabby_allocate(&other, NULL, pool), SLABBY_CLOSED);
    CHECK_STATUS(slabby_data(&data, pool, first), SLABBY_OK);
    memset(data, 1, 64);
    CHECK_STATUS(slabby_release(pool, first), SLABBY_OK);
    CHECK_STATUS(slabby_pin(pool, second), SLABBY_OK);
    CHECK_STATUS(slabby_release_deferred(pool, second), SLABBY_OK);
    CHECK_STATUS(slabby_size(&other, pool), SLABBY_OK);
    CHECK_STATUS(slabby_unpin(pool, second), SLABBY_OK);
    check_closed(pool, second);
    pool = make_pool(64, 4, NULL);
    CHECK_STATUS(slabby_abandon(pool), SLABBY_OK);
    check_closed(pool, second);
}

/* Guards: every owner counts once, whether it destroys or abandons. */
static void owners_are_counted(void **state) {
    slabby_allocator *pool = make_pool(64, 4, NULL);
    slabby_ref ref = take(pool);
    slabby_ref other;

    (void)state;
    for (int i = 0; i < 100; i++)
        CHECK_STATUS(slabby_retain(pool), SLABBY_OK);
    for (int i = 0; i < 100; i++)
        CHECK_STATUS(i % 2 ? slabby_destroy(pool) : slabby_abandon(pool), SLABBY_OK);
    other = take(pool);
    CHECK_STATUS(slabby_release(pool, other), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_IN_USE);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

/* Guards: two numbers carry a pool to another language, and wrong numbers carry nothing. */
static void handles_are_adopted(void **state) {
    slabby_allocator *pool = make_pool(64, 4, NULL);
    slabby_allocator *adopted = NULL;
    slabby_error error = fresh_error();
    uint64_t address = 0;
    uint64_t instance = 0;
    slabby_ref ref = take(pool);

    (void)state;
    CHECK_STATUS(slabby_handle(&address, &instance, pool), SLABBY_OK);
    assert_true(instance == slabby_instance_id());
    CHECK_STATUS(slabby_adopt(&adopted, address, instance + 1, &error), SLABBY_ABI_MISMATCH);
    assert_true(strlen(error.text) > 0);
    CHECK_STATUS(slabby_adopt(&adopted, (uintptr_t)&error, instance, NULL), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_adopt(&adopted, address + 8, instance, NULL), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_adopt(&adopted, 0, instance, NULL), SLABBY_INVALID_ARGUMENT);
    assert_null(adopted);
    CHECK_STATUS(slabby_adopt(&adopted, address, instance, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_release(adopted, ref), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    ref = take(adopted);
    CHECK_STATUS(slabby_release(adopted, ref), SLABBY_OK);
    finish(adopted);
    CHECK_STATUS(slabby_adopt(&adopted, address, instance, NULL), SLABBY_CLOSED);
}

/* Guards: options may go before their pool, and null is accepted by every destroy. */
/* Guards: what a batch of another thread may take, counted ahead, hides no slab that is out: not from destroy, nor from
 * the end of a closed pool, nor in the statistics. One that was refused leaves nothing behind. */
static void a_batch_under_way_hides_nothing(void **state) {
    enum { MAY_TAKE = 5, CAPACITY = 2000 };
    slabby_allocator *pool = make_pool(64, CAPACITY, NULL);
    slabby_ref ref = take(pool), refs[CAPACITY];

    (void)state;
    CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, CAPACITY), SLABBY_OUT_OF_MEMORY);
    assert_int_equal(stats_of(pool).used_slabs, 1);
    assert_int_equal(stats_of(pool).total_allocations, 1);
    atomic_fetch_add(&pool->stripes[0].tentative, MAY_TAKE);
    assert_int_equal(slb_count_live(pool), 1);
    assert_int_equal(stats_of(pool).used_slabs, 1);
    CHECK_STATUS(slabby_close(pool), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_IN_USE);
    assert_int_equal(slabby_is_valid(pool, ref), 1);
    atomic_fetch_add(&pool->stripes[0].confirmed, MAY_TAKE);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

static void null_is_accepted_by_destroy(void **state) {
    (void)state;
    CHECK_STATUS(slabby_destroy(NULL), SLABBY_OK);
    CHECK_STATUS(slabby_abandon(NULL), SLABBY_OK);
    slabby_options_destroy(NULL);
}

/* Guards: reset makes every reference and fast id stale, and all capacity comes back at once. */
static void reset_releases_everything(void **state) {
    slabby_allocator *pool =
        make_pool(64, 8, WITH({SLABBY_OPTION_HEAP_FALLBACK, 1}, {SLABBY_OPTION_HEAP_FALLBACK_LIMIT, 2}));
    slabby_ref refs[9];
    void *data = NULL;
    uint32_t id = 0;

    (void)state;
    for (int round = 0; round < 20; round++) {
        CHECK_STATUS(slabby_allocate_fast(&data, &id, pool), SLABBY_OK);
        CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, 9), SLABBY_OK);
        assert_int_equal(stats_of(pool).heap_slabs, 2);
        CHECK_STATUS(slabby_reset(pool), SLABBY_OK);
        for (int i = 0; i < 9; i++) {
            assert_int_equal(slabby_is_valid(pool, refs[i]), 0);
            CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_DOUBLE_DEALLOCATION);
        }
        CHECK_STATUS(slabby_deallocate_fast(pool, id), SLABBY_DOUBLE_DEALLOCATION);
        check_sound(pool, 0);
        assert_int_equal(stats_of(pool).heap_slabs, 0);
    }
    finish(pool);
}

/* Guards: one pin anywhere refuses the whole reset and nothing was released. */
static void reset_respects_pins(void **state) {
    slabby_allocator *pool = make_pool(64, 8, NULL);
    slabby_ref refs[8];

    (void)state;
    CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, 8), SLABBY_OK);
    for (int i = 0; i < 8; i++) {
        CHECK_STATUS(slabby_pin(pool, refs[i]), SLABBY_OK);
        CHECK_STATUS(slabby_reset(pool), SLABBY_PINNED);
        CHECK_STATUS(slabby_unpin(pool, refs[i]), SLABBY_OK);
        for (int j = 0; j < 8; j++)
            assert_int_equal(slabby_is_valid(pool, refs[j]), 1);
    }
    CHECK_STATUS(slabby_reset(pool), SLABBY_OK);
    finish(pool);
}

struct resident {
    double before, filled, after;
};

/* A pool whose slabs were all used, released and labelled, from create to destroy. */
static struct resident one_life(void) {
    enum { CAPACITY = 100000 };
    static slabby_ref refs[CAPACITY];
    struct resident mib;
    uint64_t released;

    memset(refs, 1, sizeof refs);
    slabby_allocator *pool = make_pool(64, CAPACITY, WITH({SLABBY_OPTION_DEBUG, 1}));
    mib.before = resident_mib();
    CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, CAPACITY), SLABBY_OK);
    for (int i = 0; i < CAPACITY; i++)
        CHECK_STATUS(slabby_set_label(pool, refs[i], 1), SLABBY_OK);
    CHECK_STATUS(slabby_release_batch(&released, pool, refs, CAPACITY), SLABBY_OK);
    mib.filled = resident_mib();
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    mib.after = resident_mib();
    return mib;
}

/* valgrind's memory is the process's too. It keeps a record of each released slab in a queue, which is made to hold
 * none, and the records of one life serve the next. */
static void warm_up_valgrind(void) {
#ifdef VALGRIND_CLO_CHANGE
    VALGRIND_CLO_CHANGE("--freelist-vol=0");
    if (RUNNING_ON_VALGRIND)
        (void)one_life();
#endif
}

/* Guards: with a pool its memory goes, the tables of debug and labels too; what stays is address
 * space. */
static void a_destroyed_pool_keeps_no_memory(void **state) {
    (void)state;
    if (TEST_UNDER_TSAN)
        skip(); /* it keeps notes on every word that was ever touched */
    resident_pages_stay_small();
    warm_up_valgrind();
    struct resident mib = one_life();
    if (mib.after - mib.before > 1)
        print_error("%.1f MiB before, %.1f with every slab used, %.1f after\n", mib.before, mib.filled,
                    mib.after);
    assert_true(mib.filled - mib.before > 10);
    assert_true(mib.after - mib.before <= 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(destroyed_pools_answer_closed),
        cmocka_unit_test(destroy_waits_for_references),
        cmocka_unit_test(closed_pools_serve_what_is_live),
        cmocka_unit_test(abandoned_pools_end_with_their_last_slab),
        cmocka_unit_test(owners_are_counted),
        cmocka_unit_test(handles_are_adopted),
        cmocka_unit_test(a_batch_under_way_hides_nothing),
        cmocka_unit_test(null_is_accepted_by_destroy),
        cmocka_unit_test(reset_releases_everything),
        cmocka_unit_test(reset_respects_pins),
        cmocka_unit_test(a_destroyed_pool_keeps_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
