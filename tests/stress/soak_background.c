/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "soak_background.h"

#include <pthread.h>
#include <string.h>

#include "support.h"

enum { CAPACITY = 200, HEAP = 8 };

static slabby_allocator *make_kind(uint64_t number) {
    switch (number % 4) {
    case 0:
        return make_pool(100, CAPACITY, WITH({SLABBY_OPTION_HEAP_FALLBACK, 1}, {SLABBY_OPTION_SECURE, 1}));
    case 1:
        return make_pool(4000, CAPACITY,
                         WITH({SLABBY_OPTION_HEAP_FALLBACK, 1}, {SLABBY_OPTION_GUARD_SAMPLE_RATE, 20},
                              {SLABBY_OPTION_DEBUG, 1}, {SLABBY_OPTION_AUDIT, 256}));
    case 2:
        return make_pool(64, CAPACITY,
                         WITH({SLABBY_OPTION_HEAP_FALLBACK, 1}, {SLABBY_OPTION_BIT_GUARD, 1},
                              {SLABBY_OPTION_REUSE_DELAY, 10}, {SLABBY_OPTION_SHUFFLE, 1}));
    default:
        return make_pool(
            64, CAPACITY,
            WITH({SLABBY_OPTION_HEAP_FALLBACK, 1}, {SLABBY_OPTION_CIRCUIT_BREAKER_THRESHOLD, 1000}));
    }
}

/* More than the pool has: the heap serves the rest. */
static void *take_all_and_more(void *argument) {
    slabby_allocator *pool = argument;
    slabby_ref refs[CAPACITY + HEAP];
    uint64_t count = 0, released = 0;
    while (count < CAPACITY + HEAP && slabby_allocate(&refs[count], NULL, pool) == SLABBY_OK)
        count++;
    CHECK_STATUS(slabby_set_label(pool, refs[0], count), SLABBY_OK);
    CHECK_STATUS(slabby_release_batch(&released, pool, refs, count), SLABBY_OK);
    return NULL;
}

static void wait_through_a_listener(slabby_allocator *pool) {
    slabby_listener *listener;
    uint64_t ticket, count;
    slabby_ref ref;
    int32_t fd;
    CHECK_STATUS(slabby_listener_create(&listener, &fd, pool, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_OK);
    CHECK_STATUS(slabby_wait_take(&ticket, &ref, NULL, &count, listener, 1), SLABBY_OK);
    assert_int_equal(count, 1);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
}

static void check_after(slabby_allocator *pool) {
    char text[8192];
    uint64_t number;
    CHECK_STATUS(slabby_stats_json(text, sizeof text, &number, pool), SLABBY_OK);
    CHECK_STATUS(slabby_health_json(text, sizeof text, &number, pool), SLABBY_OK);
    CHECK_STATUS(slabby_health_tick(pool), SLABBY_OK);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_SECURE, 1, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_trim(&number, pool), SLABBY_OK);
    CHECK_STATUS(slabby_reclaim(&number, pool), SLABBY_OK);
}

void soak_live(uint64_t number) {
    slabby_allocator *pool = make_kind(number);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_all_and_more, pool), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    wait_through_a_listener(pool);
    check_after(pool);
    finish(pool);
}
