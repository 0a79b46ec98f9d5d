/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bit_guard, quarantine, reuse_delay, guard_pages: what each promises, and what it leaves alone. */
#define _GNU_SOURCE
#include "support.h"

#include "death.h"
#include "threads.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static void assert_says(const char *text, const char *part) {
    if (!strstr(text, part))
        fail_msg("\"%s\" is missing in: %s", part, text);
}

/* Flips one bit at an offset from a slab's first byte; answers whether the release found it. */
static int found_on_release(slabby_allocator *pool, int64_t offset, uint8_t bit) {
    slabby_ref ref = 0;
    void *data = NULL;
    slabby_status status;

    CHECK_STATUS(slabby_allocate(&ref, &data, pool), SLABBY_OK);
    ((volatile uint8_t *)data)[offset] ^= bit;
    status = slabby_release(pool, ref);
    assert_true(status == SLABBY_OK || status == SLABBY_MEMORY_CORRUPTION);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_DOUBLE_DEALLOCATION);
    return status == SLABBY_MEMORY_CORRUPTION;
}

/* Guards: any one bit of the 8 bytes before and the 8 behind is found, no bit of the slab itself is held
 * against its owner, and the slab comes back only when somebody asks. */
static void one_flipped_bit_is_found(void **state) {
    slabby_allocator *pool = make_pool(96, 4, WITH({SLABBY_OPTION_BIT_GUARD, 1}));
    uint64_t damaged = 0;
    uint64_t count = 0;

    (void)state;
    for (int64_t offset = -8; offset < 96 + 8; offset++) {
        for (unsigned bit = 1; bit < 256; bit *= 2) {
            int outside = offset < 0 || offset >= 96;

            assert_int_equal(found_on_release(pool, offset, (uint8_t)bit), outside);
            damaged += (uint64_t)outside;
            assert_int_equal(stats_of(pool).quarantined_slabs, outside);
            CHECK_STATUS(slabby_reclaim(&count, pool), SLABBY_OK);
            assert_int_equal(count, outside);
        }
    }
    assert_int_equal(stats_of(pool).corruptions, damaged);
    finish(pool);
}

static int64_t rounded_up(int64_t size, int64_t unit) {
    return (size + unit - 1) / unit * unit;
}

static void check_every_byte(int64_t size, int64_t alignment, int64_t secure) {
    slabby_allocator *pool =
        make_pool((uint64_t)size, 1,
                  WITH({SLABBY_OPTION_BIT_GUARD, 1}, {SLABBY_OPTION_ALIGNMENT, alignment},
                       {SLABBY_OPTION_SECURE, secure}));
    int64_t end = rounded_up(alignment + size + 8, alignment) - alignment;
    uint64_t count = 0;

    for (int64_t offset = -alignment; offset < end && offset < size + 64; offset++) {
        int outside = offset < 0 || offset >= size;

        if (found_on_release(pool, offset, (uint8_t)(1 << (offset & 7))) != outside)
            fail_msg("alignment %d, %d bytes, secure %d: offset %d", (int)alignment, (int)size, (int)secure,
                     (int)offset);
        CHECK_STATUS(slabby_reclaim(&count, pool), SLABBY_OK);
    }
    finish(pool);
}

/* Guards: whatever size and alignment leave for the patterns, no byte of them is left out, also where a release zeroes
 * the slab before it compares. */
static void every_byte_of_a_pattern_counts(void **state) {
    static const int64_t larger[] = {256, 257, 300, 1500, 4096};

    (void)state;
    for (int64_t alignment = 8; alignment <= 64; alignment *= 2)
        for (int64_t secure = 0; secure <= 1; secure++) {
            for (int64_t size = 1; size <= 80; size++)
                check_every_byte(size, alignment, secure);
            for (size_t i = 0; i < COUNT_OF(larger); i++)
                check_every_byte(larger[i], alignment, secure);
        }
}

/* Guards: a pattern is good for one allocation of one slab: neither a neighbour's nor an older one passes. */
static void patterns_are_not_transferable(void **state) {
    slabby_allocator *pool = make_pool(64, 2, WITH({SLABBY_OPTION_BIT_GUARD, 1}));
    slabby_ref refs[2];
    void *datas[2];
    char older[8];
    uint64_t count = 0;

    (void)state;
    CHECK_STATUS(slabby_allocate_batch(refs, datas, pool, 2), SLABBY_OK);
    memcpy(older, (char *)datas[0] + 64, sizeof older);
    memcpy((char *)datas[0] + 64, (char *)datas[1] + 64, sizeof older);
    CHECK_STATUS(slabby_release(pool, refs[0]), SLABBY_MEMORY_CORRUPTION);
    CHECK_STATUS(slabby_reclaim(&count, pool), SLABBY_OK);
    CHECK_STATUS(slabby_allocate(&refs[0], &datas[0], pool), SLABBY_OK);
    memcpy((char *)datas[0] + 64, older, sizeof older);
    CHECK_STATUS(slabby_release(pool, refs[0]), SLABBY_MEMORY_CORRUPTION);
    CHECK_STATUS(slabby_release(pool, refs[1]), SLABBY_OK);
    CHECK_STATUS(slabby_reclaim(&count, pool), SLABBY_OK);
    finish(pool);
}

/* Guards: verify finds what a live slab's owner has not noticed yet, and touches nothing. */
static void verify_sees_overwritten_slabs(void **state) {
    slabby_allocator *pool = make_pool(64, 4, WITH({SLABBY_OPTION_BIT_GUARD, 1}));
    slabby_finding finding = {.struct_size = sizeof finding};
    slabby_ref ref = 0;
    uint64_t count = 0;
    void *data = NULL;

    (void)state;
    CHECK_STATUS(slabby_allocate(&ref, &data, pool), SLABBY_OK);
    ((volatile char *)data)[66] ^= 4;
    for (int i = 0; i < 2; i++) {
        CHECK_STATUS(slabby_verify(&finding, &count, pool, 1), SLABBY_OK);
        assert_int_equal(count, 1);
        assert_int_equal(finding.kind, SLABBY_FINDING_KIND_GUARD_BYTES);
        assert_true(finding.ref == ref && finding.offset == 66);
        assert_int_equal(finding.expected ^ finding.found, 4);
    }
    ((volatile char *)data)[66] ^= 4;
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

/* Guards: a write to a slab that waits for reuse is found when it leaves the queue. */
static void writes_after_release_are_found(void **state) {
    slabby_allocator *pool = make_pool(64, 8, WITH({SLABBY_OPTION_REUSE_DELAY, 4}));
    slabby_ref stale = 0;
    uint64_t count = 0;
    void *data = NULL;
    char text[512];

    (void)state;
    CHECK_STATUS(slabby_allocate(&stale, &data, pool), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, stale), SLABBY_OK);
    ((volatile char *)data)[40] = 1;
    for (int i = 0; i < 8; i++)
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    assert_int_equal(stats_of(pool).corruptions, 1);
    CHECK_STATUS(slabby_explain(text, sizeof text, NULL, pool, stale, SLABBY_MEMORY_CORRUPTION), SLABBY_OK);
    assert_says(text, "the byte at offset 40 was 0x01 where 0x00 was expected");
    CHECK_STATUS(slabby_reclaim(&count, pool), SLABBY_OK);
    assert_int_equal(count, 1);
    finish(pool);
}

static void overwrite_under_abort(void *context) {
    slabby_allocator *pool =
        make_pool(64, 4,
                  WITH({SLABBY_OPTION_BIT_GUARD, 1}, {SLABBY_OPTION_DEBUG, 1},
                       {SLABBY_OPTION_CORRUPTION_POLICY, SLABBY_CORRUPTION_POLICY_ABORT}));

    (void)context;
    (void)found_on_release(pool, 64, 1);
}

/* Guards: corruption_policy abort ends the process at the release, with place, bytes and stack. */
static void the_abort_policy_ends_the_process(void **state) {
    struct death death = run_in_child(overwrite_under_abort, NULL);

    (void)state;
    assert_int_equal(death.signal, SIGABRT);
    assert_says(death.said, "slabby: memory corruption: ");
    assert_says(death.said, "offset 64: expected 0x");
    assert_says(death.said, "allocated by thread");
}

struct reach {
    uint64_t slab_size;
    int64_t offset;
};

static void write_at(void *context) {
    const struct reach *reach = context;
    slabby_allocator *pool = make_pool(reach->slab_size, 3, WITH({SLABBY_OPTION_GUARD_PAGES, 1}));
    slabby_ref ref = 0;
    void *data = NULL;

    if (slabby_allocate(&ref, &data, pool))
        _exit(99);
    ((volatile char *)data)[reach->offset] = 1;
}

/* Guards: the first byte past the end faults whatever the size, the last of the slab does not. */
static void guard_pages_end_every_size(void **state) {
    static const uint64_t sizes[] = {1, 7, 64, 100, 4095, 4096, 4097, 10000};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        int64_t size = (int64_t)sizes[i];

        assert_int_equal(run_in_child(write_at, &(struct reach){sizes[i], size}).signal, SIGSEGV);
        assert_int_equal(run_in_child(write_at, &(struct reach){sizes[i], size - 1}).status, 0);
        assert_int_equal(run_in_child(write_at, &(struct reach){sizes[i], 0}).status, 0);
    }
}

/* Guards: `secure`, switched on while a slab waits, leaves a write to that slab to be found. */
static void writes_outlast_secure(void **state) {
    slabby_allocator *pool = make_pool(64, 100, WITH({SLABBY_OPTION_REUSE_DELAY, 4}));
    slabby_ref ref;
    void *data;

    (void)state;
    CHECK_STATUS(slabby_allocate(&ref, &data, pool), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    ((volatile char *)data)[7] = 1;
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_SECURE, 1, NULL), SLABBY_OK);
    for (int i = 0; i < 100; i++)
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    assert_int_equal(stats_of(pool).corruptions, 1);
    assert_int_equal(((volatile char *)data)[7], 1);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_SECURE, 0, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_SECURE, 1, NULL), SLABBY_OK);
    assert_int_equal(((volatile char *)data)[7], 0); /* quarantined by now */
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

/* A slab that was written to while it waited, and whose turn has come. */
static slabby_allocator *pool_with_late_write(int64_t policy, char **out_data) {
    slabby_allocator *pool = make_pool(64, 4,
                                       WITH({SLABBY_OPTION_REUSE_DELAY, 2}, {SLABBY_OPTION_SECURE, 1},
                                            {SLABBY_OPTION_CORRUPTION_POLICY, policy}));
    slabby_ref ref;

    CHECK_STATUS(slabby_allocate(&ref, (void **)out_data, pool), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    strcpy(*out_data, "written late");
    for (int i = 0; i < 8; i++) {
        char *other;
        CHECK_STATUS(slabby_allocate(&ref, (void **)&other, pool), SLABBY_OK);
        assert_int_equal(other == *out_data ? other[0] : 0, 0);
        CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    }
    assert_int_equal(stats_of(pool).corruptions, 1);
    return pool;
}

/* Guards: in a pool with `secure` what was written to a slab that waited does not reach the next owner, whether the
 * slab goes on at once or is reclaimed. Until then it can be looked at. */
static void late_writes_are_zeroed(void **state) {
    uint64_t count;
    char *data;

    (void)state;
    slabby_allocator *pool = pool_with_late_write(SLABBY_CORRUPTION_POLICY_QUARANTINE, &data);
    assert_string_equal(data, "written late");
    CHECK_STATUS(slabby_reclaim(&count, pool), SLABBY_OK);
    assert_int_equal(count, 1);
    assert_int_equal(data[0], 0);
    finish(pool);
    pool = pool_with_late_write(SLABBY_CORRUPTION_POLICY_RECLAIM, &data);
    assert_int_equal(data[0], 0);
    finish(pool);
}

/* Guards: trim does not take the page of a slab that waits, and with it what was written there. */
static void trim_leaves_late_writes(void **state) {
    slabby_allocator *pool = make_pool(4096, 256, WITH({SLABBY_OPTION_REUSE_DELAY, 8}));
    slabby_ref ref;
    char *data;

    (void)state;
    CHECK_STATUS(slabby_allocate(&ref, (void **)&data, pool), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    data[100] = 1;
    CHECK_STATUS(slabby_trim(NULL, pool), SLABBY_OK);
    for (int i = 0; i < 400; i++)
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    assert_int_equal(stats_of(pool).corruptions, 1);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_flipped_bit_is_found),       cmocka_unit_test(patterns_are_not_transferable),
        cmocka_unit_test(every_byte_of_a_pattern_counts), cmocka_unit_test(verify_sees_overwritten_slabs),
        cmocka_unit_test(writes_after_release_are_found), cmocka_unit_test(the_abort_policy_ends_the_process),
        cmocka_unit_test(guard_pages_end_every_size),     cmocka_unit_test(writes_outlast_secure),
        cmocka_unit_test(late_writes_are_zeroed),         cmocka_unit_test(trim_leaves_late_writes),
    };

    /* a slab waits in the ring of the CPU that released it */
    return cmocka_run_group_tests(tests, stay_on_one_cpu, NULL);
}
