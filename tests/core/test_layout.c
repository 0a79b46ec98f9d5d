/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where slabs lie: stride, alignment, distance, and the guards at both ends of the range. */
#define _GNU_SOURCE
#include "support.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static slabby_memory memory_of(slabby_allocator *pool) {
    slabby_memory memory;

    memset(&memory, 0, sizeof memory);
    memory.struct_size = sizeof memory;
    CHECK_STATUS(slabby_get_memory(&memory, pool), SLABBY_OK);
    return memory;
}

static uint64_t expected_stride(uint64_t slab_size, uint64_t alignment) {
    uint64_t stride = (slab_size + alignment - 1) / alignment * alignment;

    if (stride % 512 == 0 && alignment < 512)
        stride += alignment > 64 ? alignment : 64;
    return stride;
}

static void check_layout(uint64_t slab_size, uint64_t alignment) {
    enum { SLABS = 9 };
    slabby_allocator *pool = make_pool(slab_size, SLABS, WITH({SLABBY_OPTION_ALIGNMENT, (int64_t)alignment}));
    slabby_view_info view = view_of(pool);
    slabby_memory memory = memory_of(pool);
    slabby_ref refs[SLABS];
    void *datas[SLABS];
    uint32_t id;

    assert_int_equal(memory.stride, expected_stride(slab_size, alignment));
    assert_int_equal(view.stride, memory.stride);
    assert_int_equal(memory.slab_bytes, slab_size * SLABS);
    assert_true(memory.reserved_bytes >= memory.stride * SLABS);
    CHECK_STATUS(slabby_allocate_batch(refs, datas, pool, SLABS), SLABBY_OK);
    for (int i = 0; i < SLABS; i++) {
        CHECK_STATUS(slabby_id(&id, pool, refs[i]), SLABBY_OK);
        assert_true(id < SLABS);
        assert_int_equal((uintptr_t)datas[i] % alignment, 0);
        assert_int_equal((uintptr_t)datas[i], view.slabs_address + id * view.stride);
        memset(datas[i], i + 1, slab_size);
    }
    for (int i = 0; i < SLABS; i++) {
        assert_int_equal(((unsigned char *)datas[i])[0], i + 1);
        assert_int_equal(((unsigned char *)datas[i])[slab_size - 1], i + 1);
    }
    CHECK_STATUS(slabby_release_batch(NULL, pool, refs, SLABS), SLABBY_OK);
    finish(pool);
}

/* Guards: stride follows size and alignment, with the extra line against set aliasing. */
static void strides_follow_the_rule(void **state) {
    const uint64_t sizes[] = {1, 7, 64, 100, 448, 449, 500, 511, 512, 513, 1024, 1500, 4096, 65536};
    const uint64_t alignments[] = {1, 2, 8, 64, 128, 256, 512, 4096, 65536, 2097152};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        for (size_t j = 0; j < COUNT_OF(alignments); j++)
            check_layout(sizes[i], alignments[j]);
}

/* Guards: without an option slabs start on a cache line and sizes of 512 x n are spread. */
static void default_alignment_is_a_line(void **state) {
    slabby_allocator *pool = make_pool(4096, 4, NULL);
    int64_t alignment = 0;

    (void)state;
    CHECK_STATUS(slabby_get_option(&alignment, pool, SLABBY_OPTION_ALIGNMENT), SLABBY_OK);
    assert_true(alignment >= 64 && (alignment & (alignment - 1)) == 0);
    assert_int_equal(memory_of(pool).stride, expected_stride(4096, (uint64_t)alignment));
    finish(pool);
}

static void exit_on_fault(int number) {
    (void)number;
    _exit(77);
}

static int write_faults(uint64_t address) {
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        struct sigaction action;

        memset(&action, 0, sizeof action);
        action.sa_handler = exit_on_fault;
        sigaction(SIGSEGV, &action, NULL);
        sigaction(SIGBUS, &action, NULL);
        *(volatile char *)(uintptr_t)address = 1;
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 77;
}

/* Guards: law 3: writing off either end of the slab range faults; the slabs themselves do not. */
static void both_ends_are_guarded(void **state) {
    const uint64_t sizes[] = {64, 4096, 65536};
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        slabby_allocator *pool = make_pool(sizes[i], 10, NULL);
        slabby_view_info view = view_of(pool);
        uint64_t end = view.slabs_address + view.stride * 10;

        assert_false(write_faults(view.slabs_address));
        assert_false(write_faults(end - view.stride + sizes[i] - 1));
        assert_true(write_faults(view.slabs_address / page * page - 1));
        assert_true(write_faults((end + page - 1) / page * page));
        assert_true(memory_of(pool).guard_bytes >= 2 * page);
        finish(pool);
    }
}

/* Guards: the words of the slabs lie outside of the slab range, so no slab content can touch
 * them. */
static void words_lie_out_of_band(void **state) {
    enum { SLABS = 64 };
    slabby_allocator *pool = make_pool(128, SLABS, NULL);
    slabby_view_info view = view_of(pool);
    slabby_ref refs[SLABS];
    void *datas[SLABS];

    (void)state;
    assert_true(view.words_address + 8 * SLABS <= view.slabs_address ||
                view.words_address >= view.slabs_address + view.stride * SLABS);
    CHECK_STATUS(slabby_allocate_batch(refs, datas, pool, SLABS), SLABBY_OK);
    memset((void *)(uintptr_t)view.slabs_address, 0xFF, view.stride * SLABS);
    check_sound(pool, SLABS);
    CHECK_STATUS(slabby_release_batch(NULL, pool, refs, SLABS), SLABBY_OK);
    memset((void *)(uintptr_t)view.slabs_address, 0xFF, view.stride * SLABS);
    finish(pool);
}

/* Guards: bookkeeping is bounded, labels and the heap table cost nothing until they are used. */
static void bookkeeping_is_small_and_lazy(void **state) {
    slabby_allocator *pool = make_pool(4096, 100000, WITH({SLABBY_OPTION_HEAP_FALLBACK, 1}));
    slabby_memory memory = memory_of(pool);
    slabby_ref ref;

    (void)state;
    assert_int_equal(memory.label_bytes, 0);
    assert_int_equal(memory.heap_table_bytes, 0);
    assert_int_equal(memory.heap_bytes, 0);
    ref = take(pool);
    CHECK_STATUS(slabby_set_label(pool, ref, 1), SLABBY_OK);
    assert_true(memory_of(pool).label_bytes >= 8 * 100000);
    assert_true(stats_of(pool).bookkeeping_bytes >= memory.word_bytes + memory.list_bytes);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
    pool = make_pool(4096, 100000, NULL);
    memory = memory_of(pool);
    assert_true(memory.word_bytes + memory.list_bytes + memory.cache_bytes <= 24 * 100000);
    finish(pool);
}

/* Guards: slabs handed out one after the other have their words on different cache lines, also when a thread moves. */
static void neighbours_share_no_line(void **state) {
    enum { SLABS = 4096, A_LINE = 8 };
    const int64_t backends[] = {SLABBY_CPU_CACHE_BACKEND_PORTABLE, SLABBY_CPU_CACHE_BACKEND_AUTO};
    static slabby_ref refs[SLABS];
    uint32_t before = UINT32_MAX, id;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(backends); i++) {
        slabby_allocator *pool = make_pool(64, SLABS, WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, backends[i]}));

        for (int k = 0; k < SLABS; k++) {
            refs[k] = take(pool);
            CHECK_STATUS(slabby_id(&id, pool, refs[k]), SLABBY_OK);
            if (k < SLABS / 2) /* before caches are drained for the last ones */
                assert_int_not_equal(id / A_LINE, before / A_LINE);
            before = id;
        }
        CHECK_STATUS(slabby_release_batch(NULL, pool, refs, SLABS), SLABBY_OK);
        finish(pool);
    }
}

/* Guards: a release may read the word of any id that a reference can have, also of ids that no slab has. */
static void ids_of_no_slab_have_words_of_zero(void **state) {
    enum { SLABS = 129 };
    slabby_allocator *pool = make_pool(64, SLABS, WITH({SLABBY_OPTION_PER_CPU_CACHE, 0}));
    slabby_view_info view = view_of(pool);
    const uint64_t *words = (const uint64_t *)(uintptr_t)view.words_address;
    slabby_ref refs[SLABS];

    (void)state;
    for (int i = 0; i < SLABS; i++)
        CHECK_STATUS(slabby_allocate(&refs[i], NULL, pool), SLABBY_OK);
    for (int i = 0; i < SLABS; i++)
        CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
    for (uint64_t id = view.id_limit; id < 1ull << view.id_bits; id++) {
        assert_int_equal(words[id], 0);
        CHECK_STATUS(slabby_release(pool, view.ref_bias + id), SLABBY_INVALID_REFERENCE);
    }
    finish(pool);
}

/* Guards: what several pools use most lies in different sets of the caches. */
static void pools_begin_at_different_lines(void **state) {
    enum { POOLS = 16 };
    slabby_allocator *pools[POOLS];
    uint64_t offsets[POOLS];

    (void)state;
    for (int i = 0; i < POOLS; i++) {
        pools[i] = make_pool(64, 100, NULL);
        offsets[i] = view_of(pools[i]).words_address % 4096 / 64;
        for (int k = 0; k < i; k++)
            assert_int_not_equal(offsets[k], offsets[i]);
    }
    for (int i = 0; i < POOLS; i++)
        finish(pools[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strides_follow_the_rule),
        cmocka_unit_test(default_alignment_is_a_line),
        cmocka_unit_test(both_ends_are_guarded),
        cmocka_unit_test(words_lie_out_of_band),
        cmocka_unit_test(bookkeeping_is_small_and_lazy),
        cmocka_unit_test(neighbours_share_no_line),
        cmocka_unit_test(ids_of_no_slab_have_words_of_zero),
        cmocka_unit_test(pools_begin_at_different_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
