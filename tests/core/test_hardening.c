/* SPDX-License-Identifier: GPL-3.0-or-later */
/* secure on every way back, shuffle, locked memory, memory kept out of core dumps. */
#define _GNU_SOURCE
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SIZE 128
#define SLABS 600

/* ------------------------------------------------------------------------------------------------- secure */

enum way_back { BY_RELEASE, BY_BATCH, BY_UNPIN, BY_DEFERRED, BY_ID, BY_RESET, WAYS_BACK };

static void give_back(slabby_allocator *pool, enum way_back way, const slabby_ref *refs,
                      const uint32_t *ids) {
    uint64_t released = 0;

    if (way == BY_BATCH)
        CHECK_STATUS(slabby_release_batch(&released, pool, refs, SLABS), SLABBY_OK);
    if (way == BY_RESET)
        CHECK_STATUS(slabby_reset(pool), SLABBY_OK);
    for (size_t i = 0; i < SLABS; i++) {
        if (way == BY_RELEASE)
            CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
        if (way == BY_DEFERRED)
            CHECK_STATUS(slabby_release_deferred(pool, refs[i]), SLABBY_OK);
        if (way == BY_ID)
            CHECK_STATUS(slabby_deallocate_fast(pool, ids[i]), SLABBY_OK);
        if (way == BY_UNPIN) {
            CHECK_STATUS(slabby_pin(pool, refs[i]), SLABBY_OK);
            CHECK_STATUS(slabby_release_deferred(pool, refs[i]), SLABBY_OK);
            CHECK_STATUS(slabby_unpin(pool, refs[i]), SLABBY_OK);
        }
    }
}

static void take_all(slabby_allocator *pool, enum way_back way, slabby_ref *refs, uint32_t *ids,
                     void **datas) {
    for (size_t i = 0; i < SLABS; i++) {
        if (way == BY_ID)
            CHECK_STATUS(slabby_allocate_fast(&datas[i], &ids[i], pool), SLABBY_OK);
        else
            CHECK_STATUS(slabby_allocate(&refs[i], &datas[i], pool), SLABBY_OK);
    }
}

/* Looks at memory that has no owner, where a sanitizer would object. */
__attribute__((no_sanitize_address)) static void check_zeros(const void *data, size_t size) {
    const volatile unsigned char *bytes = data;
    unsigned any = 0;

    for (size_t i = 0; i < size; i++)
        any |= bytes[i];
    assert_int_equal(any, 0);
}

static void check_way(enum way_back way, size_t size, const struct setting *settings, int readable) {
    slabby_allocator *pool = make_pool(size, SLABS, settings);
    static slabby_ref refs[SLABS];
    static uint32_t ids[SLABS];
    static void *datas[SLABS];

    for (int round = 0; round < 3; round++) {
        take_all(pool, way, refs, ids, datas);
        for (size_t i = 0; i < SLABS; i++) {
            check_zeros(datas[i], size);
            memset(datas[i], 0xA5, size);
        }
        give_back(pool, way, refs, ids);
        for (size_t i = 0; readable && i < SLABS; i++)
            check_zeros(datas[i], size);
    }
    finish(pool);
}

/* Guards: whatever the way back, and whichever tier the slab waits in, its bytes are gone at once. */
static void secure_zeroes_on_every_way_back(void **state) {
    static const size_t sizes[] = {SIZE, 1500, 4096}; /* inline, with unusual patterns, by memset */

    (void)state;
    for (enum way_back way = BY_RELEASE; way < WAYS_BACK; way++)
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            check_way(way, sizes[i], WITH({SLABBY_OPTION_SECURE, 1}), 1);
            check_way(way, sizes[i], WITH({SLABBY_OPTION_SECURE, 1}, {SLABBY_OPTION_PER_CPU_CACHE, 0}), 1);
            check_way(way, sizes[i], WITH({SLABBY_OPTION_SECURE, 1}, {SLABBY_OPTION_BIT_GUARD, 1}), 1);
            check_way(way, sizes[i], WITH({SLABBY_OPTION_SECURE, 1}, {SLABBY_OPTION_REUSE_DELAY, 50}), 1);
            check_way(way, sizes[i], WITH({SLABBY_OPTION_SECURE, 1}, {SLABBY_OPTION_GUARD_SAMPLE_RATE, 3}),
                      0);
        }
}

/* Guards: switched on in a running pool, secure also covers what was freed before. */
static void secure_covers_what_was_freed_before(void **state) {
    slabby_allocator *pool = make_pool(SIZE, SLABS, NULL);
    slabby_ref refs[SLABS];
    void *datas[SLABS];
    uint64_t released = 0;

    (void)state;
    CHECK_STATUS(slabby_allocate_batch(refs, datas, pool, SLABS), SLABBY_OK);
    for (size_t i = 0; i < SLABS; i++)
        memset(datas[i], 0xA5, SIZE);
    CHECK_STATUS(slabby_release_batch(&released, pool, refs, SLABS), SLABBY_OK);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_SECURE, 1, NULL), SLABBY_OK);
    for (size_t i = 0; i < SLABS; i++)
        check_zeros(datas[i], SIZE);
    finish(pool);
}

/* Guards: so does a slab that was in quarantine when secure was switched on, at once and when it is reclaimed. */
static void secure_covers_what_was_in_quarantine(void **state) {
    slabby_allocator *pool = make_pool(SIZE, 1, WITH({SLABBY_OPTION_BIT_GUARD, 1}));
    unsigned char *data;
    slabby_ref ref;
    uint64_t count = 0;

    (void)state;
    CHECK_STATUS(slabby_allocate(&ref, (void **)&data, pool), SLABBY_OK);
    memset(data, 0xA5, SIZE);
    data[SIZE] ^= 1;
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_MEMORY_CORRUPTION);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_SECURE, 1, NULL), SLABBY_OK);
    check_zeros(data, SIZE);
    CHECK_STATUS(slabby_reclaim(&count, pool), SLABBY_OK);
    assert_int_equal(count, 1);
    CHECK_STATUS(slabby_allocate(&ref, (void **)&data, pool), SLABBY_OK);
    check_zeros(data, SIZE);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

/* Guards: after close the last release leaves no byte either. The pages may be gone: a pipe tells without a fault. */
static void close_leaves_nothing(void **state) {
    static const char zeros[SIZE];
    slabby_allocator *pool = make_pool(SIZE, 4, WITH({SLABBY_OPTION_SECURE, 1}));
    slabby_ref ref = 0;
    void *data = NULL;
    int ends[2];
    char seen[SIZE];

    (void)state;
    CHECK_STATUS(slabby_allocate(&ref, &data, pool), SLABBY_OK);
    memset(data, 0xA5, SIZE);
    CHECK_STATUS(slabby_close(pool), SLABBY_OK);
    assert_int_equal(*(unsigned char *)data, 0xA5);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    assert_int_equal(pipe(ends), 0);
    if (syscall(SYS_write, ends[1], data, (size_t)SIZE) == SIZE) {
        assert_int_equal(read(ends[0], seen, SIZE), SIZE);
        assert_memory_equal(seen, zeros, SIZE);
    } else {
        assert_int_equal(errno, EFAULT);
    }
    (void)close(ends[0]);
    (void)close(ends[1]);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

/* ------------------------------------------------------------------------------------------------ shuffle */

/* How many different distances lie between 600 slabs and the one before each; the ids themselves go to out_ids. */
static unsigned distances(const struct setting *settings, uint32_t *out_ids) {
    unsigned char seen[2 * SLABS] = {0};
    slabby_allocator *pool = make_pool(SIZE, SLABS, settings);
    slabby_ref refs[SLABS];
    unsigned count = 0;
    uint64_t released = 0;

    for (size_t i = 0; i < SLABS; i++) {
        refs[i] = take(pool);
        CHECK_STATUS(slabby_id(&out_ids[i], pool, refs[i]), SLABBY_OK);
        if (i > 0)
            seen[SLABS + out_ids[i] - out_ids[i - 1]] = 1;
    }
    for (size_t i = 0; i < COUNT_OF(seen); i++)
        count += seen[i];
    CHECK_STATUS(slabby_release_batch(&released, pool, refs, SLABS), SLABBY_OK);
    finish(pool);
    return count;
}

/* Guards: with shuffle no order of slabs can be foreseen, and two pools differ; without it a few steps recur. */
static void shuffle_leaves_no_order(void **state) {
    const int64_t portable = SLABBY_CPU_CACHE_BACKEND_PORTABLE;
    static uint32_t first[SLABS], second[SLABS];

    (void)state;
    unsigned few = distances(WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, portable}), first);
    assert_in_range(few, 2, SLABS / 20);
    assert_true(distances(WITH({SLABBY_OPTION_SHUFFLE, 1}), first) > 2 * few);
    assert_true(distances(WITH({SLABBY_OPTION_SHUFFLE, 1}), second) > 2 * few);
    assert_memory_not_equal(first, second, sizeof first);
    assert_true(distances(WITH({SLABBY_OPTION_SHUFFLE, 1}, {SLABBY_OPTION_PER_CPU_CACHE, 0}), first) >
                2 * few);
}

/* ------------------------------------------------------------------------------------------------- secrets */

/* Guards: the pattern of the same allocation of the same slab differs from pool to pool. */
static void every_pool_has_its_key(void **state) {
    uint64_t patterns[3];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(patterns); i++) {
        slabby_allocator *pool = make_pool(SIZE, 1, WITH({SLABBY_OPTION_BIT_GUARD, 1}));
        slabby_ref ref = 0;
        void *data = NULL;

        CHECK_STATUS(slabby_allocate(&ref, &data, pool), SLABBY_OK);
        memcpy(&patterns[i], (char *)data + SIZE, sizeof patterns[i]);
        CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
        finish(pool);
    }
    assert_true(patterns[0] != patterns[1] && patterns[1] != patterns[2] && patterns[0] != patterns[2]);
}

/* ------------------------------------------------------------------------------------- locked, not dumped */

/* Whether the system's description of the mapping around an address carries a two-letter flag; -1 unknown. */
static int has_flag(const void *address, const char *flag) {
    FILE *maps = fopen("/proc/self/smaps", "r");
    unsigned long low, high;
    char line[512];
    int inside = 0, found = -1;

    while (maps && found < 0 && fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%lx-%lx ", &low, &high) == 2 && strchr(line, '-'))
            inside = (uintptr_t)address >= low && (uintptr_t)address < high;
        if (inside && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, flag) != NULL;
    }
    if (maps)
        (void)fclose(maps);
    return found;
}

/* A slab's mapping carries the flag with the option, a guard slot's too, and not without. */
static void check_flag(int32_t option, int64_t value, const char *flag) {
    slabby_allocator *pools[3] = {make_pool(SIZE, 4, NULL), NULL, NULL};
    slabby_ref refs[3];
    void *datas[3];

    if (try_pool(&pools[1], SIZE, 4, WITH({option, value}), NULL) != SLABBY_OK ||
        try_pool(&pools[2], SIZE, 4, WITH({option, value}, {SLABBY_OPTION_GUARD_SAMPLE_RATE, 1}), NULL) !=
            SLABBY_OK) {
        print_message("the system refuses the option to this user\n");
        skip();
    }
    for (size_t i = 0; i < COUNT_OF(pools); i++)
        CHECK_STATUS(slabby_allocate(&refs[i], &datas[i], pools[i]), SLABBY_OK);
    if (has_flag(datas[0], flag) < 0) {
        print_message("the system does not describe its mappings\n");
        skip();
    }
    assert_int_equal(has_flag(datas[0], flag), 0);
    assert_int_equal(has_flag(datas[1], flag), 1);
    assert_int_equal(has_flag(datas[2], flag), 1);
    for (size_t i = 0; i < COUNT_OF(pools); i++) {
        CHECK_STATUS(slabby_release(pools[i], refs[i]), SLABBY_OK);
        finish(pools[i]);
    }
}

/* Guards: locked memory is locked in the system's eyes, on guard slots as well. */
static void locked_memory_is_locked(void **state) {
    (void)state;
    check_flag(SLABBY_OPTION_LOCK_MEMORY, SLABBY_LOCK_MEMORY_REQUIRED, " lo");
}

/* Guards: memory that is not to be dumped is marked so, on guard slots as well. */
static void undumped_memory_is_marked(void **state) {
    (void)state;
    check_flag(SLABBY_OPTION_NO_DUMP, 1, " dd");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secure_zeroes_on_every_way_back),
        cmocka_unit_test(secure_covers_what_was_freed_before),
        cmocka_unit_test(secure_covers_what_was_in_quarantine),
        cmocka_unit_test(close_leaves_nothing),
        cmocka_unit_test(shuffle_leaves_no_order),
        cmocka_unit_test(every_pool_has_its_key),
        cmocka_unit_test(locked_memory_is_locked),
        cmocka_unit_test(undumped_memory_is_marked),
    };

    (void)unsetenv("SLABBY_GUARD_SAMPLE_RATE");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
