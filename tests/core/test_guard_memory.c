/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The memory of guard slots: what it costs the process in mappings, and what it holds when a slab gets it. */
#define _GNU_SOURCE
#include "guarded.h"
#include "support.h"

#include "os/os.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static long count_mappings(void) {
    FILE *maps = fopen("/proc/self/maps", "r");
    long count = 0;

    assert_non_null(maps);
    for (int c = fgetc(maps); c != EOF; c = fgetc(maps))
        count += c == '\n';
    fclose(maps);
    return count;
}

/* Whether one is installed, and the kernel does not read it: some emulators accept any advice. */
static bool has_guard_regions(void) {
    char *page = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    bool has = madvise(page, 65536, 102 /* MADV_GUARD_INSTALL */) == 0 && write(ends[1], page, 1) == -1;

    close(ends[0]);
    close(ends[1]);
    munmap(page, 65536);
    return has;
}

/* Guards: 2,100 slots in use cost 4,200 mappings, of which a process has 65,530 for everything. */
static void slots_in_use_cost_no_mappings(void **state) {
    enum { SLOTS = 2100 };
    static slabby_ref refs[SLOTS];
    slabby_allocator *pool;

    (void)state;
    if (!has_guard_regions())
        skip();
    pool = guarded_pool(16, SLOTS, 1, SLOTS);
    long before = count_mappings();
    for (int i = 0; i < SLOTS; i++)
        refs[i] = take(pool);
    assert_int_equal(guard_hits(pool), SLOTS);
    assert_true(count_mappings() <= before + 8);
    for (int i = 0; i < SLOTS; i++)
        CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
    finish(pool);
}

/* Guards: where each slot costs mappings, all pools together stay below the limit of guard_pages. Locked memory has no
 * guard regions on any kernel. */
static void slots_stay_below_the_limit(void **state) {
    enum { MOST_POOLS = 64 };
    slabby_allocator *pools[MOST_POOLS];
    slabby_error error = fresh_error();
    slabby_status status = SLABBY_OK;
    int count = 0;
    const struct setting locked[] = {{SLABBY_OPTION_GUARD_SAMPLE_RATE, 1},
                                     {SLABBY_OPTION_GUARD_SLOTS, 4096},
                                     {SLABBY_OPTION_LOCK_MEMORY, SLABBY_LOCK_MEMORY_BEST_EFFORT},
                                     {0, 0}};

    (void)state;
    if (slb_os_guard_limit() >= MOST_POOLS * 4096u)
        skip();
    while (count < MOST_POOLS && (status = try_pool(&pools[count], 16, 8, locked, &error)) == SLABBY_OK)
        count++;
    CHECK_STATUS(status, SLABBY_NO_SYSTEM_MEMORY);
    assert_int_equal(error.option, SLABBY_OPTION_GUARD_SLOTS);
    assert_int_equal(count, slb_os_guard_limit() / 4096);
    CHECK_STATUS(slabby_destroy(pools[--count]), SLABBY_OK);
    CHECK_STATUS(try_pool(&pools[count], 16, 8, locked, &error), SLABBY_OK);
    for (int i = 0; i <= count; i++)
        CHECK_STATUS(slabby_destroy(pools[i]), SLABBY_OK);
}

static void *do_nothing(void *unused) {
    return unused;
}

/* All slots of as many pools as there may be are in use. Answers how many slots that is. */
static uint64_t fill_with_guards(slabby_allocator **pools, int most, int32_t lock_memory) {
    enum { SLOTS = 4096 };
    const struct setting settings[] = {{SLABBY_OPTION_GUARD_SAMPLE_RATE, 1},
                                       {SLABBY_OPTION_GUARD_SLOTS, SLOTS},
                                       {SLABBY_OPTION_LOCK_MEMORY, lock_memory},
                                       {0, 0}};
    uint64_t hits = 0;

    for (int i = 0; i < most; i++) {
        pools[i] = NULL;
        if (try_pool(&pools[i], 16, SLOTS, settings, NULL) != SLABBY_OK)
            continue;
        for (int taken = 0; taken < SLOTS; taken++)
            (void)take(pools[i]);
        hits += guard_hits(pools[i]);
    }
    return hits;
}

static void expect_mappings_left(int32_t lock_memory) {
    enum { POOLS = 9 }; /* 36,864 slots: two mappings each would be more than a process may have */
    slabby_allocator *pools[POOLS];
    pthread_t thread;
    uint64_t hits = fill_with_guards(pools, POOLS, lock_memory);

    assert_true(hits >= 4096);
    assert_int_equal(pthread_create(&thread, NULL, do_nothing, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    for (int i = 0; i < 100; i++) { /* each a mapping of its own */
        void *memory =
            mmap(NULL, 65536, i % 2 ? PROT_READ : PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(memory != MAP_FAILED);
    }
    for (int i = 0; i < POOLS; i++)
        if (pools[i] != NULL) {
            CHECK_STATUS(slabby_reset(pools[i]), SLABBY_OK);
            CHECK_STATUS(slabby_destroy(pools[i]), SLABBY_OK);
        }
}

/* Guards: slots in use left the program itself no mappings: its pthread_create and mmap failed. With guard regions, and
 * with locked memory, which has none. */
static void the_program_keeps_its_mappings(void **state) {
    (void)state;
    if (TEST_UNDER_SANITIZER) /* which find nothing more here, and take a minute */
        skip();
    expect_mappings_left(SLABBY_LOCK_MEMORY_OFF);
    expect_mappings_left(SLABBY_LOCK_MEMORY_BEST_EFFORT);
}

/* The mappings of the process change neither as slots open nor as they close. */
static void expect_still_mappings(const struct setting *more) {
    enum { SLOTS = 16 };
    slabby_allocator *pool = make_pool(4096, SLOTS, more);
    slabby_ref refs[SLOTS];

    CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK); /* what the first one needs beside its slot */
    long before = count_mappings();
    for (int i = 0; i < SLOTS; i++)
        refs[i] = take(pool);
    assert_int_equal(guard_hits(pool), SLOTS + 1);
    assert_int_equal(count_mappings(), before);
    for (int i = 0; i < SLOTS; i += 2)
        CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
    assert_int_equal(count_mappings(), before);
    for (int i = 1; i < SLOTS; i += 2)
        CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
    assert_int_equal(count_mappings(), before);
    finish(pool);
}

/* Guards: each slot of a small pool has a mapping of its own, which is not split and merged again for every slab. */
static void slots_have_their_mappings(void **state) {
    (void)state;
    if (!has_guard_regions()) /* also a system that has advice on core dumps */
        skip();
    expect_still_mappings(WITH({SLABBY_OPTION_GUARD_SAMPLE_RATE, 1}));
    expect_still_mappings(WITH({SLABBY_OPTION_GUARD_SAMPLE_RATE, 1}, {SLABBY_OPTION_NO_DUMP, 1}));
}

/* Guards: where other pools have claimed all mappings, a small pool uses guard regions. */
static void slots_go_without_mappings(void **state) {
    uint64_t claimed = slb_os_guard_limit() - 8;
    slabby_allocator *pool;
    slabby_ref refs[16];

    (void)state;
    if (!has_guard_regions())
        skip();
    assert_true(slb_os_claim_guards(claimed));
    pool = guarded_pool(4096, 16, 1, 16);
    long before = count_mappings();
    for (int i = 0; i < 16; i++)
        refs[i] = take(pool);
    assert_int_equal(guard_hits(pool), 16);
    assert_true(count_mappings() <= before + 1);
    for (int i = 0; i < 16; i++)
        CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
    finish(pool);
    slb_os_return_guards(claimed);
}

static void expect_zeros(uint64_t slab_size, int64_t slots, int32_t lock_memory) {
    slabby_allocator *pool =
        make_pool(slab_size, 4,
                  WITH({SLABBY_OPTION_GUARD_SAMPLE_RATE, 1}, {SLABBY_OPTION_GUARD_SLOTS, slots},
                       {SLABBY_OPTION_LOCK_MEMORY, lock_memory}));
    void *data = NULL;
    slabby_ref ref = 0;

    for (int round = 0; round < 4; round++) {
        CHECK_STATUS(slabby_allocate(&ref, &data, pool), SLABBY_OK);
        assert_true(on_a_slot(pool, data));
        for (uint64_t i = 0; i < slab_size; i++)
            assert_int_equal(((unsigned char *)data)[i], 0);
        memset(data, 0xA5, slab_size);
        CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    }
    finish(pool);
}

/* Guards: the next slab of a slot begins as zeros, whether the pages stay, go back, or cannot go back because they are
 * locked. */
static void slots_begin_as_zeros(void **state) {
    (void)state;
    expect_zeros(64, 1, SLABBY_LOCK_MEMORY_OFF);
    expect_zeros(2 << 20, 1, SLABBY_LOCK_MEMORY_OFF);
    expect_zeros(64, 1, SLABBY_LOCK_MEMORY_BEST_EFFORT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_in_use_cost_no_mappings),  cmocka_unit_test(slots_stay_below_the_limit),
        cmocka_unit_test(the_program_keeps_its_mappings), cmocka_unit_test(slots_have_their_mappings),
        cmocka_unit_test(slots_go_without_mappings),      cmocka_unit_test(slots_begin_as_zeros),
    };

    (void)unsetenv("SLABBY_GUARD_SAMPLE_RATE");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
