/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Zeroing: every byte of the memory, and none beside it, in each way that a processor may take. */
#include "support.h"

#include "protect/zero.h"

enum { LIMIT = 16 << 10, MOST = LIMIT + 200, BESIDE = 256, FILLING = 0xa5 };

static unsigned char memory[BESIDE + MOST + BESIDE] __attribute__((aligned(64)));

typedef void zeroing(void *memory, uint64_t size);

/* Volatile: a loop over bytes that compiles to a call of memset would be tested against itself. */
static void expect(uint64_t first, uint64_t end, unsigned char value) {
    const volatile unsigned char *bytes = memory;

    for (uint64_t i = first; i < end; i++)
        if (bytes[i] != value)
            fail_msg("byte %llu is %u, not %u", (unsigned long long)i, bytes[i], value);
}

static void zero_exactly(zeroing *zero, uint64_t size, uint64_t offset) {
    uint64_t first = BESIDE + offset, end = first + size;

    memset(memory, FILLING, sizeof memory);
    zero(memory + first, size);
    expect(first - BESIDE, first, FILLING);
    expect(first, end, 0);
    expect(end, end + BESIDE - offset, FILLING);
}

static void zero_sizes(zeroing *zero, uint64_t least, uint64_t most) {
    for (uint64_t offset = 0; offset < 64; offset += offset < 4 ? 1 : 15)
        for (uint64_t size = least; size <= most; size += size < 1500 ? 1 : 61)
            zero_exactly(zero, size, offset);
    zero_exactly(zero, most, 0);
}

static void few(void *at, uint64_t size) {
    slb_zero_few(at, size);
}

static void any(void *at, uint64_t size) {
    slb_zero(at, size);
}

static void within(void *at, uint64_t size) {
    slb_zero_within(at, size);
}

#if defined(__x86_64__)
static void by_stores(void *at, uint64_t size) {
    assert_ptr_equal(slb_zero_by_stores(at, size), at);
}
#endif

static void few_bytes_are_zeroed(void **state) {
    (void)state;
    zero_sizes(few, 0, SLB_ZERO_INLINE);
}

/* Guards: the sizes around the limits of the stores, which libc takes. */
static void any_bytes_are_zeroed(void **state) {
    (void)state;
    zero_sizes(any, 0, 600);
    zero_sizes(any, LIMIT - 100, MOST - 64);
    zero_sizes(within, 0, 600);
    zero_sizes(within, 2000, 2100);
    zero_sizes(within, LIMIT - 100, MOST - 64);
}

static void stores_zero(void **state) {
    (void)state;
#if defined(__x86_64__)
    assert_int_equal(SLB_ZERO_BY_STORES, LIMIT);
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2"))
        skip();
    zero_sizes(by_stores, SLB_ZERO_INLINE, LIMIT);
#else
    skip(); /* memset does all of it */
#endif
}

/* Guards: AVX2 is not used where it is missing. */
static void stores_need_their_instructions(void **state) {
    (void)state;
#if defined(__x86_64__)
    __builtin_cpu_init();
    assert_true(!slb_zeroes_by_stores || __builtin_cpu_supports("avx2"));
#else
    skip(); /* memset does all of it */
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_bytes_are_zeroed),
        cmocka_unit_test(any_bytes_are_zeroed),
        cmocka_unit_test(stores_zero),
        cmocka_unit_test(stores_need_their_instructions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
