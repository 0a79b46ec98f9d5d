/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Built with six generation bits: what happens when a slab's generations are spent. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

enum { GENERATIONS = 64 };

/* Takes and gives back until the pool is exhausted; every reference must be new and stays
 * refused. */
static uint64_t exhaust(slabby_allocator *pool, uint64_t limit) {
    slabby_ref *seen = calloc(limit + 1, sizeof *seen);
    slabby_status status = SLABBY_OK;
    uint64_t count = 0;
    slabby_ref ref = 0;

    assert_non_null(seen);
    while (count <= limit) {
        status = slabby_allocate(&ref, NULL, pool);
        if (status != SLABBY_OK)
            break;
        for (uint64_t i = 0; i < count; i++) {
            assert_true(seen[i] != ref);
            assert_int_equal(slabby_is_valid(pool, seen[i]), 0);
        }
        seen[count++] = ref;
        CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    }
    CHECK_STATUS(status, SLABBY_OUT_OF_MEMORY);
    for (uint64_t i = 0; i < count; i++)
        CHECK_STATUS(slabby_release(pool, seen[i]), SLABBY_DOUBLE_DEALLOCATION);
    free(seen);
    return count;
}

/* Guards: laws 2 and 5: a spent slab is retired and counted, never reissued; exhaustion stays
 * truthful. */
static void spent_slabs_retire(void **state) {
    const uint64_t capacities[] = {1, 2, 3, 7};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(capacities); i++)
        for (int cache = 0; cache < 2; cache++) {
            uint64_t capacity = capacities[i];
            slabby_allocator *pool = make_pool(64, capacity, WITH({SLABBY_OPTION_PER_CPU_CACHE, cache}));
            uint64_t count = exhaust(pool, GENERATIONS * capacity);
            slabby_stats stats = stats_of(pool);

            assert_true(count >= (GENERATIONS - 4) * capacity);
            assert_int_equal(stats.retired_slabs, capacity);
            assert_int_equal(stats.available_slabs, 0);
            assert_int_equal(stats.used_slabs, 0);
            assert_int_equal(stats.total_allocations, count);
            CHECK_STATUS(slabby_reclaim(&count, pool), SLABBY_OK);
            assert_int_equal(count, 0);
            finish(pool);
        }
}

/* Guards: a retired slab is a warning that names the options, and a pool without others is not healthy. */
static void retirement_is_reported(void **state) {
    slabby_allocator *pool = make_pool(64, 1, WITH({SLABBY_OPTION_MAX_CAPACITY, 2}));
    slabby_event event = {.struct_size = sizeof event};
    slabby_health health = {.struct_size = sizeof health};
    uint64_t cursor = 0, count = 1;
    int reported = 0;

    (void)state;
    (void)exhaust(pool, 2 * GENERATIONS);
    while (count != 0) {
        CHECK_STATUS(slabby_events_read(&event, &count, NULL, &cursor, pool, 1), SLABBY_OK);
        if (count == 0 || event.code != SLABBY_EVENT_CODE_SLAB_RETIRED || event.ref == 0)
            continue;
        assert_int_equal(event.level, reported == 0 ? SLABBY_EVENT_LEVEL_INFO : SLABBY_EVENT_LEVEL_WARNING);
        assert_non_null(strstr(event.text, reported == 0 ? "another one serves" : "no other is left"));
        reported++;
    }
    assert_int_equal(reported, 2);
    CHECK_STATUS(slabby_get_health(&health, pool), SLABBY_OK);
    assert_true(health.use_factor < 0.21);
    finish(pool);
}

/* Guards: retirement takes the one spent slab, its neighbours go on. */
static void one_spent_slab_leaves_the_rest(void **state) {
    enum { SLABS = 6 };
    slabby_allocator *pool = make_pool(64, SLABS, NULL);
    slabby_ref held[SLABS - 1];
    slabby_ref ref = 0;
    slabby_ref other = 0;

    (void)state;
    CHECK_STATUS(slabby_allocate_batch(held, NULL, pool, SLABS - 1), SLABBY_OK);
    while (slabby_allocate(&ref, NULL, pool) == SLABBY_OK)
        CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    assert_int_equal(stats_of(pool).retired_slabs, 1);
    check_sound(pool, SLABS - 1);
    CHECK_STATUS(slabby_release(pool, held[0]), SLABBY_OK);
    CHECK_STATUS(slabby_allocate_batch(held, NULL, pool, 2), SLABBY_OUT_OF_MEMORY);
    other = take(pool);
    CHECK_STATUS(slabby_release(pool, other), SLABBY_OK);
    CHECK_STATUS(slabby_release_batch(NULL, pool, held + 1, SLABS - 2), SLABBY_OK);
    finish(pool);
}

/* Guards: as long as slabs above the capacity are left, they serve for retired ones: the pool keeps its capacity. */
static void reserved_slabs_serve_for_spent_ones(void **state) {
    enum { CAPACITY = 2, MOST = 9 };

    (void)state;
    for (int cache = 0; cache < 2; cache++) {
        slabby_allocator *pool = make_pool(
            64, CAPACITY, WITH({SLABBY_OPTION_PER_CPU_CACHE, cache}, {SLABBY_OPTION_MAX_CAPACITY, MOST}));
        uint64_t count = 0, served = 0;
        while (stats_of(pool).retired_slabs == 0) {
            slabby_ref refs[CAPACITY];
            CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, CAPACITY), SLABBY_OK);
            CHECK_STATUS(slabby_release_batch(NULL, pool, refs, CAPACITY), SLABBY_OK);
            count += CAPACITY;
            assert_true(count <= GENERATIONS * MOST);
            assert_int_equal(stats_of(pool).total_slabs, CAPACITY);
            check_sound(pool, 0);
        }
        assert_true(count >= (GENERATIONS - 4) * (MOST - CAPACITY));
        served = exhaust(pool, GENERATIONS * CAPACITY);
        assert_true(count + served >= (GENERATIONS - 4) * MOST);
        assert_int_equal(stats_of(pool).retired_slabs, CAPACITY);
        assert_int_equal(stats_of(pool).available_slabs, 0);
        finish(pool);
    }
}

/* Guards: retired slabs are the first that a smaller capacity gives up, and no larger one has them back. */
static void spent_slabs_are_given_up_first(void **state) {
    enum { SLABS = 4 };
    slabby_allocator *pool = make_pool(64, SLABS, NULL);
    slabby_ref held[2], ref;
    uint64_t awaited = 9;

    (void)state;
    CHECK_STATUS(slabby_allocate_batch(held, NULL, pool, 2), SLABBY_OK);
    while (slabby_allocate(&ref, NULL, pool) == SLABBY_OK)
        CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    assert_int_equal(stats_of(pool).retired_slabs, 2);
    CHECK_STATUS(slabby_resize(&awaited, pool, 2, NULL), SLABBY_OK);
    assert_int_equal(awaited, 0);
    assert_int_equal(stats_of(pool).retired_slabs, 0);
    assert_int_equal(stats_of(pool).used_slabs, 2);
    CHECK_STATUS(slabby_release(pool, held[0]), SLABBY_OK);
    assert_int_equal(stats_of(pool).available_slabs, 1);
    check_sound(pool, 1);
    CHECK_STATUS(slabby_resize(&awaited, pool, SLABS, NULL), SLABBY_OK);
    assert_int_equal(stats_of(pool).retired_slabs, 2);
    assert_int_equal(stats_of(pool).available_slabs, 1);
    check_sound(pool, 1);
    CHECK_STATUS(slabby_release(pool, held[1]), SLABBY_OK);
    finish(pool);
}

/* Guards: a slab whose last release finds an overrun is retired like any other, and not in quarantine, where it would
 * stay. */
static void overrun_slabs_retire(void **state) {
    slabby_allocator *pool = make_pool(64, 1, WITH({SLABBY_OPTION_BIT_GUARD, 1}));
    slabby_ref ref;
    unsigned char *data;
    uint64_t back = 1, rounds = 0;

    (void)state;
    for (; slabby_allocate(&ref, (void **)&data, pool) == SLABBY_OK; rounds++) {
        assert_int_equal(back, 1);
        data[64] ^= 1;
        CHECK_STATUS(slabby_release(pool, ref), SLABBY_MEMORY_CORRUPTION);
        CHECK_STATUS(slabby_reclaim(&back, pool), SLABBY_OK);
    }
    assert_true(rounds >= GENERATIONS - 4);
    assert_int_equal(back, 0);
    assert_int_equal(stats_of(pool).retired_slabs, 1);
    assert_int_equal(stats_of(pool).quarantined_slabs, 0);
    assert_int_equal(stats_of(pool).corruptions, rounds);
    finish(pool);
}

/* Guards: deferred releases, reset and the fast path count generations like any release. */
static void every_way_back_spends_a_generation(void **state) {
    slabby_allocator *pool = make_pool(64, 1, NULL);
    slabby_ref ref = 0;
    void *data = NULL;
    uint32_t id = 0;
    uint64_t count = 0;

    (void)state;
    for (;; count++) {
        if (count % 2 && slabby_allocate_fast(&data, &id, pool) != SLABBY_OK)
            break;
        if (count % 2 == 0 && slabby_allocate(&ref, NULL, pool) != SLABBY_OK)
            break;
        if (count % 3 == 2) {
            CHECK_STATUS(slabby_reset(pool), SLABBY_OK);
        } else if (count % 2) {
            CHECK_STATUS(slabby_deallocate_fast(pool, id), SLABBY_OK);
        } else {
            CHECK_STATUS(slabby_pin(pool, ref), SLABBY_OK);
            CHECK_STATUS(slabby_release_deferred(pool, ref), SLABBY_OK);
            CHECK_STATUS(slabby_unpin(pool, ref), SLABBY_OK);
        }
        assert_true(count <= GENERATIONS);
    }
    assert_true(count >= GENERATIONS - 4);
    assert_int_equal(stats_of(pool).retired_slabs, 1);
    finish(pool);
}

/* Guards: a slab whose last generation is released by id retires: with caches, whose words are biased, and without. */
static void spent_by_id_retires(void **state) {
    (void)state;
    for (int cache = 0; cache < 2; cache++) {
        slabby_allocator *pool = make_pool(64, 1, WITH({SLABBY_OPTION_PER_CPU_CACHE, cache}));
        uint64_t count = 0;
        void *data;
        uint32_t id;

        for (; slabby_allocate_fast(&data, &id, pool) == SLABBY_OK; count++) {
            assert_true(count <= GENERATIONS);
            CHECK_STATUS(slabby_deallocate_fast(pool, id), SLABBY_OK);
        }
        assert_true(count >= GENERATIONS - 4);
        assert_int_equal(stats_of(pool).retired_slabs, 1);
        CHECK_STATUS(slabby_deallocate_fast(pool, 0), SLABBY_DOUBLE_DEALLOCATION);
        finish(pool);
    }
}

/* Guards: heap slabs retire too: their places run out instead of coming round. */
static void heap_entries_retire(void **state) {
    slabby_allocator *pool =
        make_pool(64, 1, WITH({SLABBY_OPTION_HEAP_FALLBACK, 1}, {SLABBY_OPTION_HEAP_FALLBACK_LIMIT, 1}));
    slabby_ref own = take(pool);

    (void)state;
    assert_true(exhaust(pool, GENERATIONS) >= GENERATIONS - 4);
    assert_int_equal(slabby_is_valid(pool, own), 1);
    CHECK_STATUS(slabby_release(pool, own), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

/* Guards: a slot of a listener's table whose numbers are spent is used no more: no ticket is ever issued twice, and
 * none reaches the bits where references have their tag. */
static void spent_tickets_are_not_issued_again(void **state) {
    enum { TICKETS = 200, LIMIT = 1 << SLABBY_TICKET_BITS };
    slabby_allocator *pool = make_pool(64, 1, NULL);
    slabby_listener *listener;
    uint64_t tickets[TICKETS];
    slabby_ref ref;

    (void)state;
    CHECK_STATUS(slabby_listener_create(&listener, NULL, pool, NULL), SLABBY_OK);
    for (size_t i = 0; i < TICKETS; i++) {
        CHECK_STATUS(slabby_wait_begin(&tickets[i], listener, i), SLABBY_OK);
        assert_true(tickets[i] != 0 && tickets[i] < LIMIT);
        for (size_t j = 0; j < i; j++)
            assert_true(tickets[j] != tickets[i]);
        CHECK_STATUS(slabby_wait_cancel(&ref, listener, tickets[i]), SLABBY_OK);
        if (ref != 0)
            CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    }
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spent_tickets_are_not_issued_again),
        cmocka_unit_test(spent_slabs_retire),
        cmocka_unit_test(one_spent_slab_leaves_the_rest),
        cmocka_unit_test(reserved_slabs_serve_for_spent_ones),
        cmocka_unit_test(spent_slabs_are_given_up_first),
        cmocka_unit_test(retirement_is_reported),
        cmocka_unit_test(every_way_back_spends_a_generation),
        cmocka_unit_test(overrun_slabs_retire),
        cmocka_unit_test(spent_by_id_retires),
        cmocka_unit_test(heap_entries_retire),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
