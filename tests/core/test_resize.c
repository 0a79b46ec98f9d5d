/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Live capacity: grows and shrinks under live references, by every way a slab comes back, with every protection. */
#define _GNU_SOURCE
#include "support.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST 1000

static uint64_t resize(slabby_allocator *pool, uint64_t capacity) {
    uint64_t awaited = 12345;
    slabby_error error = fresh_error();
    slabby_status status = slabby_resize(&awaited, pool, capacity, &error);

    if (status != SLABBY_OK)
        print_error("resize to %llu: %s\n", (unsigned long long)capacity, error.text);
    assert_int_equal(status, SLABBY_OK);
    assert_int_equal(stats_of(pool).total_slabs, capacity);
    assert_int_equal(stats_of(pool).awaited_slabs, awaited);
    return awaited;
}

static void fill(slabby_allocator *pool, slabby_ref *refs, uint64_t count) {
    for (uint64_t i = 0; i < count; i++)
        refs[i] = take(pool);
}

static void empty(slabby_allocator *pool, const slabby_ref *refs, uint64_t count) {
    for (uint64_t i = 0; i < count; i++)
        CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
}

/* Exactly `count` more can be taken. */
static void check_space(slabby_allocator *pool, uint64_t count) {
    slabby_ref refs[MOST], one;

    fill(pool, refs, count);
    CHECK_STATUS(slabby_allocate(&one, NULL, pool), SLABBY_OUT_OF_MEMORY);
    empty(pool, refs, count);
}

static int event_seen(slabby_allocator *pool, int32_t code, int64_t value) {
    slabby_event events[64];
    uint64_t count = 0, cursor = 0;
    int seen = 0;

    events[0].struct_size = sizeof *events;
    do {
        CHECK_STATUS(slabby_events_read(events, &count, NULL, &cursor, pool, 64), SLABBY_OK);
        for (uint64_t i = 0; i < count; i++)
            seen += events[i].code == code && events[i].value == value;
    } while (count == 64);
    return seen;
}

/* Guards: a capacity out of range names the value and the limit and changes nothing. */
static void limits_are_respected(void **state) {
    slabby_allocator *pool = make_pool(64, 10, WITH({SLABBY_OPTION_MAX_CAPACITY, 20}));
    slabby_error error = fresh_error();
    slabby_allocator *none = NULL;
    uint64_t awaited = 77;
    (void)state;
    CHECK_STATUS(slabby_resize(&awaited, pool, 0, &error), SLABBY_INVALID_CAPACITY);
    assert_true(error.value == 0 && error.minimum == 1 && error.maximum == 20);
    CHECK_STATUS(slabby_resize(&awaited, pool, 21, &error), SLABBY_CAPACITY_EXCEEDED);
    assert_true(error.value == 21 && error.maximum == 20 && error.option == SLABBY_OPTION_MAX_CAPACITY);
    assert_non_null(strstr(error.text, "21"));
    assert_non_null(strstr(error.text, "max_capacity 20"));
    CHECK_STATUS(slabby_resize(&awaited, pool, UINT64_MAX, NULL), SLABBY_CAPACITY_EXCEEDED);
    CHECK_STATUS(slabby_resize(NULL, NULL, 5, NULL), SLABBY_INVALID_ARGUMENT);
    assert_int_equal(awaited, 77);
    assert_int_equal(stats_of(pool).total_slabs, 10);
    assert_int_equal(stats_of(pool).reserved_slabs, 20);
    check_space(pool, 10);
    CHECK_STATUS(try_pool(&none, 64, 10, WITH({SLABBY_OPTION_MAX_CAPACITY, 9}), &error),
                 SLABBY_INVALID_OPTION);
    assert_true(error.option == SLABBY_OPTION_MAX_CAPACITY && error.value == 9 && error.minimum == 10);
    assert_non_null(strstr(error.text, "below the capacity 10"));
    CHECK_STATUS(try_pool(&none, 64, 10,
                          WITH({SLABBY_OPTION_MAX_CAPACITY, INT32_MAX}, {SLABBY_OPTION_HEAP_FALLBACK, 1}),
                          &error),
                 SLABBY_CAPACITY_EXCEEDED);
    assert_null(none);
    finish(pool);
}

/* Guards: max_capacity is the capacity where it is not given, a cold option, and read back. */
static void the_limit_is_an_option(void **state) {
    slabby_allocator *pool = make_pool(64, 10, NULL);
    int64_t value = 0;
    (void)state;
    CHECK_STATUS(slabby_get_option(&value, pool, SLABBY_OPTION_MAX_CAPACITY), SLABBY_OK);
    assert_int_equal(value, 10);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_MAX_CAPACITY, 20, NULL), SLABBY_COLD_OPTION);
    CHECK_STATUS(slabby_resize(NULL, pool, 11, NULL), SLABBY_CAPACITY_EXCEEDED);
    assert_int_equal(resize(pool, 4), 0);
    assert_int_equal(resize(pool, 10), 0);
    finish(pool);
}

/* Guards: a closed pool answers Closed, also one that closed with slabs awaited. */
static void closed_pools_keep_their_capacity(void **state) {
    slabby_allocator *pool = make_pool(64, 4, NULL);
    slabby_ref refs[4];
    (void)state;
    fill(pool, refs, 4);
    assert_int_equal(resize(pool, 1), 3);
    CHECK_STATUS(slabby_close(pool), SLABBY_OK);
    CHECK_STATUS(slabby_resize(NULL, pool, 2, NULL), SLABBY_CLOSED);
    empty(pool, refs, 4);
    assert_int_equal(stats_of(pool).used_slabs, 0);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    CHECK_STATUS(slabby_resize(NULL, pool, 2, NULL), SLABBY_CLOSED);
}

static const uint64_t sizes[] = {1, 2, 3, 7, 64, 1000};

/* Guards: at every pair of capacities exactly the new one can be had, never-used slabs or used ones. */
static void every_capacity_is_exact(void **state) {
    (void)state;
    for (size_t used = 0; used < 2; used++)
        for (size_t i = 0; i < COUNT_OF(sizes); i++)
            for (size_t j = 0; j < COUNT_OF(sizes); j++) {
                slabby_allocator *pool = make_pool(
                    64, sizes[i], WITH({SLABBY_OPTION_MAX_CAPACITY, MOST}, {SLABBY_OPTION_SHARDS, 8}));

                if (used)
                    check_space(pool, sizes[i]);
                assert_int_equal(resize(pool, sizes[j]), 0);
                check_sound(pool, 0);
                check_space(pool, sizes[j]);
                assert_int_equal(resize(pool, sizes[i]), 0);
                check_space(pool, sizes[i]);
                assert_int_equal(stats_of(pool).reserved_slabs, MOST);
                assert_int_equal(stats_of(pool).retired_slabs, 0);
                finish(pool);
            }
}

/* Ways of bringing a slab back. */
static slabby_status by_release(slabby_allocator *pool, slabby_ref ref) {
    return slabby_release(pool, ref);
}

static slabby_status by_batch(slabby_allocator *pool, slabby_ref ref) {
    return slabby_release_batch(NULL, pool, &ref, 1);
}

static slabby_status by_last_unpin(slabby_allocator *pool, slabby_ref ref) {
    CHECK_STATUS(slabby_pin(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_release_deferred(pool, ref), SLABBY_OK);
    return slabby_unpin(pool, ref);
}

static slabby_status (*const ways[])(slabby_allocator *, slabby_ref) = {by_release, by_batch, by_last_unpin};

/* The capacity goes from `from`, all in use, to `to`: each release pays until nothing is awaited, and until then
 * nothing can be had. */
static void pay(slabby_allocator *pool, uint64_t from, uint64_t to,
                slabby_status (*way)(slabby_allocator *, slabby_ref)) {
    slabby_ref refs[MOST], one;

    fill(pool, refs, from);
    assert_int_equal(resize(pool, to), from - to);
    assert_int_equal(event_seen(pool, SLABBY_EVENT_CODE_RESIZED, (int64_t)to), 0);
    for (uint64_t paid = 0; paid < from - to; paid++) {
        slabby_stats stats = stats_of(pool);

        assert_int_equal(stats.awaited_slabs, from - to - paid);
        assert_int_equal(stats.used_slabs, from - paid);
        assert_int_equal(stats.available_slabs, 0);
        assert_true(stats.memory_utilization > 1.0);
        CHECK_STATUS(slabby_allocate(&one, NULL, pool), SLABBY_OUT_OF_MEMORY);
        CHECK_STATUS(way(pool, refs[paid]), SLABBY_OK);
        CHECK_STATUS(slabby_release(pool, refs[paid]), SLABBY_DOUBLE_DEALLOCATION);
        CHECK_STATUS(slabby_data(&(void *){NULL}, pool, refs[paid]), SLABBY_USE_AFTER_FREE);
    }
    assert_int_equal(event_seen(pool, SLABBY_EVENT_CODE_RESIZED, (int64_t)to), 1);
    check_sound(pool, to);
    CHECK_STATUS(slabby_allocate(&one, NULL, pool), SLABBY_OUT_OF_MEMORY);
    CHECK_STATUS(way(pool, refs[from - to]), SLABBY_OK);
    refs[from - to] = take(pool);
    empty(pool, refs + (from - to), to);
    check_space(pool, to);
}

/* Guards: slabs in use are given up as they are released, whichever way. */
static void releases_pay(void **state) {
    const uint64_t pairs[][2] = {{2, 1}, {3, 1}, {3, 2}, {64, 7}, {300, 299}, {300, 1}};
    (void)state;
    for (size_t way = 0; way < COUNT_OF(ways); way++)
        for (size_t i = 0; i < COUNT_OF(pairs); i++) {
            slabby_allocator *pool = make_pool(64, pairs[i][0], NULL);

            pay(pool, pairs[i][0], pairs[i][1], ways[way]);
            assert_int_equal(event_seen(pool, SLABBY_EVENT_CODE_RESIZING, (int64_t)pairs[i][1]), 1);
            finish(pool);
        }
}

/* Guards: slabs that are out by id pay as well, and a batch of references that pays leaves the rest to others. */
static void ids_and_batches_pay(void **state) {
    slabby_allocator *pool = make_pool(64, 6, NULL);
    uint32_t ids[3];
    slabby_ref refs[3];
    uint64_t released;
    void *data;
    (void)state;
    for (int i = 0; i < 3; i++)
        CHECK_STATUS(slabby_allocate_fast(&data, &ids[i], pool), SLABBY_OK);
    CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, 3), SLABBY_OK);
    assert_int_equal(resize(pool, 2), 4);
    CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, 3), SLABBY_INVALID_BATCH_SIZE);
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(slabby_deallocate_fast(pool, ids[i]), SLABBY_OK);
        CHECK_STATUS(slabby_deallocate_fast(pool, ids[i]), SLABBY_DOUBLE_DEALLOCATION);
    }
    assert_int_equal(stats_of(pool).awaited_slabs, 1);
    CHECK_STATUS(slabby_release_batch(&released, pool, refs, 3), SLABBY_OK);
    assert_int_equal(released, 3);
    assert_int_equal(stats_of(pool).awaited_slabs, 0);
    finish(pool);
}

/* Guards: growing calls off what is awaited first; the slabs in use stay in service. */
static void growing_forgives(void **state) {
    slabby_allocator *pool = make_pool(64, 10, WITH({SLABBY_OPTION_MAX_CAPACITY, 12}));
    slabby_ref refs[10];
    (void)state;
    fill(pool, refs, 10);
    assert_int_equal(resize(pool, 4), 6);
    assert_int_equal(resize(pool, 7), 3);
    assert_int_equal(resize(pool, 2), 8);
    CHECK_STATUS(slabby_release(pool, refs[0]), SLABBY_OK);
    assert_int_equal(resize(pool, 10), 0);
    refs[0] = take(pool);
    CHECK_STATUS(slabby_allocate(&(slabby_ref){0}, NULL, pool), SLABBY_OUT_OF_MEMORY);
    assert_int_equal(resize(pool, 12), 0);
    check_sound(pool, 10);
    empty(pool, refs, 10);
    check_space(pool, 12);
    finish(pool);
}

/* Guards: reset pays what is awaited, and keeps the capacity. */
static void reset_pays(void **state) {
    slabby_allocator *pool = make_pool(64, 100, NULL);
    slabby_ref refs[100];
    (void)state;
    fill(pool, refs, 100);
    assert_int_equal(resize(pool, 30), 70);
    CHECK_STATUS(slabby_reset(pool), SLABBY_OK);
    assert_int_equal(stats_of(pool).awaited_slabs, 0);
    check_space(pool, 30);
    CHECK_STATUS(slabby_trim(NULL, pool), SLABBY_OK);
    finish(pool);
}

static uint64_t resident_pages(slabby_allocator *pool) {
    slabby_view_info view = view_of(pool);
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), start = view.slabs_address / page * page, sum = 0;
    uint64_t pages = (view.slabs_address + view.capacity * view.stride - start) / page;
    unsigned char *map = malloc(pages);

    assert_non_null(map);
    assert_int_equal(mincore((void *)(uintptr_t)start, pages * page, map), 0);
    for (uint64_t i = 0; i < pages; i++)
        sum += map[i] & 1;
    free(map);
    return sum;
}

/* Guards: the pages of slabs that are given up go back, whatever the slab size, and come back as zeros. */
static void pages_go_back(void **state) {
    const uint64_t slab_sizes[] = {64, 1000, 4096, 10000};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(slab_sizes); i++) {
        slabby_allocator *pool = make_pool(slab_sizes[i], MOST, NULL);
        slabby_ref refs[MOST];
        char *data;

        for (int k = 0; k < MOST; k++) {
            CHECK_STATUS(slabby_allocate(&refs[k], (void **)&data, pool), SLABBY_OK);
            memset(data, 1, slab_sizes[i]);
        }
        uint64_t before = resident_pages(pool);
        assert_int_equal(resize(pool, 1), MOST - 1);
        empty(pool, refs, MOST);
        uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), most = slab_sizes[i] / page + 2;
        assert_true(before > most * 2);
        assert_in_range(resident_pages(pool), 0, most);
        assert_int_equal(resize(pool, MOST), 0);
        assert_in_range(resident_pages(pool), 0, most);
        finish(pool);
    }
}

static void check_with(uint64_t slab_size, const struct setting *settings) {
    slabby_allocator *pool = make_pool(slab_size, 40, settings);
    slabby_ref refs[40];
    void *data;

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 40; i++) {
            CHECK_STATUS(slabby_allocate(&refs[i], &data, pool), SLABBY_OK);
            memset(data, 0xA5, slab_size);
        }
        assert_int_equal(resize(pool, 9), 31);
        empty(pool, refs, 40);
        check_sound(pool, 0);
        fill(pool, refs, 9);
        CHECK_STATUS(slabby_allocate(&refs[9], NULL, pool), SLABBY_OUT_OF_MEMORY);
        assert_int_equal(resize(pool, 40), 0);
        check_sound(pool, 9);
        fill(pool, refs + 9, 31);
        empty(pool, refs, 40);
    }
    finish(pool);
}

/* Guards: guards, patterns, zeroing, delays and order hold for slabs that left and came back. */
static void protections_hold(void **state) {
    (void)state;
    check_with(4096, WITH({SLABBY_OPTION_GUARD_PAGES, 1}));
    check_with(4000, WITH({SLABBY_OPTION_GUARD_PAGES, 1}, {SLABBY_OPTION_BIT_GUARD, 1}));
    check_with(100, WITH({SLABBY_OPTION_BIT_GUARD, 1}));
    check_with(100, WITH({SLABBY_OPTION_SECURE, 1}));
    check_with(100, WITH({SLABBY_OPTION_REUSE_DELAY, 16}));
    check_with(5000, WITH({SLABBY_OPTION_REUSE_DELAY, 100}, {SLABBY_OPTION_SECURE, 1}));
    check_with(100, WITH({SLABBY_OPTION_SHUFFLE, 1}, {SLABBY_OPTION_CPU_CACHE_BACKEND, 2}));
    check_with(100, WITH({SLABBY_OPTION_PER_CPU_CACHE, 0}, {SLABBY_OPTION_AUDIT, 64}));
    check_with(100, WITH({SLABBY_OPTION_GUARD_SAMPLE_RATE, 3}, {SLABBY_OPTION_GUARD_SLOTS, 4}));
    check_with(100, WITH({SLABBY_OPTION_LOCK_MEMORY, SLABBY_LOCK_MEMORY_BEST_EFFORT}));
}

/* Guards: switching `secure` on zeroes slabs that were given up before, too. */
static void secure_reaches_what_was_given_up(void **state) {
    slabby_allocator *pool = make_pool(48, 100, NULL);
    slabby_ref refs[100];
    char *data;
    (void)state;
    for (int i = 0; i < 100; i++) {
        CHECK_STATUS(slabby_allocate(&refs[i], (void **)&data, pool), SLABBY_OK);
        memset(data, 0x5A, 48);
    }
    empty(pool, refs, 100);
    assert_int_equal(resize(pool, 3), 0);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_SECURE, 1, NULL), SLABBY_OK);
    assert_int_equal(resize(pool, 100), 0);
    for (int i = 0; i < 100; i++) {
        CHECK_STATUS(slabby_allocate(&refs[i], (void **)&data, pool), SLABBY_OK);
        for (int k = 0; k < 48; k++)
            assert_int_equal(data[k], 0);
    }
    empty(pool, refs, 100);
    finish(pool);
}

/* Guards: quarantined slabs stay part of the capacity; reclaimed ones pay; given-up ones are not reclaimed. */
static void quarantine_counts(void **state) {
    slabby_allocator *pool = make_pool(100, 10, WITH({SLABBY_OPTION_BIT_GUARD, 1}));
    slabby_ref refs[10];
    uint64_t count = 0;
    char *data;
    (void)state;
    for (int i = 0; i < 10; i++) {
        CHECK_STATUS(slabby_allocate(&refs[i], (void **)&data, pool), SLABBY_OK);
        data[100] ^= (char)(i < 4 ? 1 : 0);
    }
    for (int i = 0; i < 10; i++)
        CHECK_STATUS(slabby_release(pool, refs[i]), i < 4 ? SLABBY_MEMORY_CORRUPTION : SLABBY_OK);
    assert_int_equal(resize(pool, 6), 0);
    assert_int_equal(stats_of(pool).quarantined_slabs, 4);
    assert_int_equal(stats_of(pool).available_slabs, 2);
    check_sound(pool, 0);
    check_space(pool, 2);
    assert_int_equal(resize(pool, 3), 1);
    assert_int_equal(stats_of(pool).available_slabs, 0);
    CHECK_STATUS(slabby_allocate(&refs[0], NULL, pool), SLABBY_OUT_OF_MEMORY);
    CHECK_STATUS(slabby_reclaim(&count, pool), SLABBY_OK);
    assert_int_equal(count, 4);
    assert_int_equal(stats_of(pool).awaited_slabs, 0);
    check_space(pool, 3);
    finish(pool);
}

/* Guards: the heap serves beyond the new capacity, and its slabs never pay. */
static void the_heap_serves_beyond(void **state) {
    slabby_allocator *pool = make_pool(64, 4,
                                       WITH({SLABBY_OPTION_HEAP_FALLBACK, 1}, {SLABBY_OPTION_MAX_CAPACITY, 8},
                                            {SLABBY_OPTION_HEAP_FALLBACK_LIMIT, 4}));
    slabby_ref refs[6];
    int64_t limit = 0;
    uint32_t id;
    (void)state;
    CHECK_STATUS(slabby_get_option(&limit, pool, SLABBY_OPTION_HEAP_FALLBACK_LIMIT), SLABBY_OK);
    assert_int_equal(limit, 4);
    fill(pool, refs, 4);
    assert_int_equal(resize(pool, 2), 2);
    fill(pool, refs + 4, 2);
    for (int i = 4; i < 6; i++) {
        CHECK_STATUS(slabby_id(&id, pool, refs[i]), SLABBY_OK);
        assert_in_range(id, 8, 11);
    }
    empty(pool, refs + 4, 2);
    assert_int_equal(stats_of(pool).awaited_slabs, 2);
    empty(pool, refs, 4);
    assert_int_equal(stats_of(pool).awaited_slabs, 0);
    assert_int_equal(resize(pool, 8), 0);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_HEAP_FALLBACK, 0, NULL), SLABBY_OK);
    check_space(pool, 8);
    finish(pool);
}

struct waiting {
    slabby_allocator *pool;
    slabby_ref ref;
    slabby_status status;
};

static void *wait_for_slab(void *argument) {
    struct waiting *waiting = argument;

    waiting->status = slabby_allocate_timeout(&waiting->ref, NULL, waiting->pool, 60000000000u);
    return NULL;
}

/* Guards: what is awaited goes before who waits; growing serves who waits. */
static void waiters_come_after_the_capacity(void **state) {
    slabby_allocator *pool = make_pool(64, 3, WITH({SLABBY_OPTION_MAX_CAPACITY, 4}));
    struct waiting waiting[2] = {{.pool = pool}, {.pool = pool}};
    pthread_t threads[2];
    slabby_ref refs[3];
    (void)state;
    fill(pool, refs, 3);
    assert_int_equal(resize(pool, 1), 2);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for_slab, &waiting[i]), 0);
    while (stats_of(pool).waiters != 2)
        sched_yield();
    CHECK_STATUS(slabby_release(pool, refs[0]), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, refs[1]), SLABBY_OK);
    assert_int_equal(stats_of(pool).awaited_slabs, 0);
    assert_int_equal(stats_of(pool).waiters, 2);
    assert_int_equal(resize(pool, 2), 0);
    while (stats_of(pool).waiters != 1)
        sched_yield();
    CHECK_STATUS(slabby_release(pool, refs[2]), SLABBY_OK);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        CHECK_STATUS(waiting[i].status, SLABBY_OK);
        CHECK_STATUS(slabby_release(pool, waiting[i].ref), SLABBY_OK);
    }
    finish(pool);
}

/* In the child assertions end the process with a status, not by longjmp. */
static int child_is_well(slabby_allocator *pool, const slabby_ref *refs) {
    slabby_stats stats = {.struct_size = sizeof stats};
    uint64_t findings = 1, awaited = 1;
    slabby_ref one;

    if (slabby_get_stats(&stats, pool) != SLABBY_OK || stats.total_slabs != 5 || stats.awaited_slabs != 3)
        return 1;
    if (slabby_allocate(&one, NULL, pool) != SLABBY_OUT_OF_MEMORY)
        return 2;
    for (int i = 0; i < 8; i++)
        if (slabby_release(pool, refs[i]) != SLABBY_OK)
            return 3;
    if (slabby_verify(NULL, &findings, pool, 0) != SLABBY_OK || findings != 0)
        return 4;
    if (slabby_get_stats(&stats, pool) != SLABBY_OK || stats.awaited_slabs != 0 || stats.available_slabs != 5)
        return 5;
    if (slabby_resize(&awaited, pool, 30, NULL) != SLABBY_OK || awaited != 0)
        return 6;
    for (int i = 0; i < 30; i++)
        if (slabby_allocate(&one, NULL, pool) != SLABBY_OK)
            return 7;
    return slabby_allocate(&one, NULL, pool) == SLABBY_OUT_OF_MEMORY ? 0 : 8;
}

/* Guards: a child of fork has the capacity, what was given up and what is awaited. */
static void forks_keep_the_capacity(void **state) {
    slabby_allocator *pool = make_pool(64, 20, WITH({SLABBY_OPTION_MAX_CAPACITY, 30}));
    slabby_ref refs[20];
    int status = 0;
    (void)state;
    fill(pool, refs, 20);
    empty(pool, refs + 8, 12);
    assert_int_equal(resize(pool, 5), 3);
    pid_t child = fork();
    if (child == 0)
        _exit(child_is_well(pool, refs));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(child_is_well(pool, refs), 0);
    CHECK_STATUS(slabby_reset(pool), SLABBY_OK);
    finish(pool);
}

static int logged;

static void log_resized(void *context, const slabby_event *event) {
    slabby_ref ref = 0;
    slabby_allocator *pool = *(slabby_allocator **)context;

    if (event->code != SLABBY_EVENT_CODE_RESIZED)
        return;
    logged++;
    if (slabby_allocate(&ref, NULL, pool) == SLABBY_OK && slabby_release(pool, ref) != SLABBY_OK)
        logged += 100;
}

/* Guards: begin and end are events; the last release that the resize waits for logs the end, and the logger may use
 * the pool. */
static void resizing_is_reported(void **state) {
    slabby_options *options = NULL;
    slabby_allocator *pool = NULL;
    slabby_audit_record records[64];
    slabby_ref refs[4];
    uint64_t count = 0, cursor = 0;
    (void)state;
    CHECK_STATUS(slabby_options_create(&options), SLABBY_OK);
    CHECK_STATUS(slabby_options_set_logger(options, log_resized, &pool, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_options_set(options, SLABBY_OPTION_AUDIT, 64, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_create(&pool, 64, 4, options, NULL), SLABBY_OK);
    slabby_options_destroy(options);
    logged = 0;
    fill(pool, refs, 4);
    assert_int_equal(resize(pool, 2), 2);
    assert_int_equal(event_seen(pool, SLABBY_EVENT_CODE_RESIZING, 2), 1);
    CHECK_STATUS(slabby_release(pool, refs[0]), SLABBY_OK);
    assert_int_equal(logged, 0);
    CHECK_STATUS(slabby_release(pool, refs[1]), SLABBY_OK);
    assert_int_equal(logged, 1);
    assert_int_equal(resize(pool, 3), 0);
    assert_int_equal(logged, 2);
    CHECK_STATUS(slabby_resize(NULL, pool, 5, NULL), SLABBY_CAPACITY_EXCEEDED);
    records[0].struct_size = sizeof *records;
    CHECK_STATUS(slabby_audit_read(records, &count, NULL, &cursor, pool, 64), SLABBY_OK);
    assert_in_range(count, 1, 63);
    assert_int_equal(records[count - 1].operation, SLABBY_AUDIT_OPERATION_RESIZE);
    assert_int_equal(records[count - 1].status, SLABBY_CAPACITY_EXCEEDED);
    assert_int_equal(records[count - 1].ref, 5);
    refs[1] = take(pool);
    assert_int_equal(resize(pool, 2), 1);
    CHECK_STATUS(slabby_reset(pool), SLABBY_OK); /* which ends the resize, and says so once */
    assert_int_equal(logged, 3);
    finish(pool);
}

/* Guards: health goes by the capacity of the moment, and no term leaves its range while slabs are awaited. */
static void health_goes_by_the_capacity(void **state) {
    slabby_allocator *pool = make_pool(64, 100, NULL);
    slabby_health health = {.struct_size = sizeof health};
    slabby_ref refs[100];
    (void)state;
    fill(pool, refs, 50);
    CHECK_STATUS(slabby_get_health(&health, pool), SLABBY_OK);
    assert_true(health.health_score == 1.0 && health.memory_pressure == 0.5);
    assert_int_equal(resize(pool, 50), 0);
    CHECK_STATUS(slabby_get_health(&health, pool), SLABBY_OK);
    assert_true(health.health_score < 0.21 && health.memory_pressure == 1.0);
    assert_int_equal(resize(pool, 20), 30);
    CHECK_STATUS(slabby_get_health(&health, pool), SLABBY_OK);
    assert_true(health.health_score > 0.19 && health.health_score < 0.21);
    assert_true(health.memory_pressure == 1.0 && health.fragmentation_score <= 1.0);
    empty(pool, refs, 50);
    finish(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_are_respected),
        cmocka_unit_test(the_limit_is_an_option),
        cmocka_unit_test(closed_pools_keep_their_capacity),
        cmocka_unit_test(every_capacity_is_exact),
        cmocka_unit_test(releases_pay),
        cmocka_unit_test(ids_and_batches_pay),
        cmocka_unit_test(growing_forgives),
        cmocka_unit_test(reset_pays),
        cmocka_unit_test(pages_go_back),
        cmocka_unit_test(protections_hold),
        cmocka_unit_test(secure_reaches_what_was_given_up),
        cmocka_unit_test(quarantine_counts),
        cmocka_unit_test(the_heap_serves_beyond),
        cmocka_unit_test(waiters_come_after_the_capacity),
        cmocka_unit_test(forks_keep_the_capacity),
        cmocka_unit_test(resizing_is_reported),
        cmocka_unit_test(health_goes_by_the_capacity),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
