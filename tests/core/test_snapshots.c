/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Looking at a pool: stats and their JSON, struct sizes, the live cursor, verify, the view. */
#include "support.h"

#include "os/os.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Guards: what each gauge and counter says after a handful of known calls. */
static void stats_say_what_happened(void **state) {
    slabby_allocator *pool =
        make_pool(1000, 10, WITH({SLABBY_OPTION_LATENCY_TRACKING, SLABBY_LATENCY_TRACKING_ALL}));
    slabby_ref refs[10];
    slabby_ref other = 0;
    uint32_t id = 0;
    void *data = NULL;
    slabby_stats stats;

    (void)state;
    for (int i = 0; i < 9; i++)
        refs[i] = take(pool);
    CHECK_STATUS(slabby_allocate_fast(&data, &id, pool), SLABBY_OK);
    CHECK_STATUS(slabby_allocate(&other, NULL, pool), SLABBY_OUT_OF_MEMORY);
    CHECK_STATUS(slabby_release(pool, refs[0]), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, refs[0]), SLABBY_DOUBLE_DEALLOCATION);
    CHECK_STATUS(slabby_data(&data, pool, refs[0]), SLABBY_USE_AFTER_FREE);
    CHECK_STATUS(slabby_release(pool, 1), SLABBY_INVALID_REFERENCE);
    CHECK_STATUS(slabby_deallocate_fast(pool, 10), SLABBY_INVALID_SLAB_ID);
    stats = stats_of(pool);
    assert_string_equal(stats.version, slabby_version());
    assert_int_equal(stats.struct_size, sizeof stats);
    assert_int_equal(stats.total_slabs, 10);
    assert_int_equal(stats.slab_size, 1000);
    assert_int_equal(stats.used_slabs, 9);
    assert_int_equal(stats.available_slabs, 1);
    assert_int_equal(stats.total_allocations, 10);
    assert_int_equal(stats.total_deallocations, 1);
    assert_int_equal(stats.fast_allocations, 1);
    assert_int_equal(stats.fast_deallocations, 0);
    assert_int_equal(stats.ref_pool_hits, 9);
    assert_int_equal(stats.allocation_errors, 1);
    assert_int_equal(stats.errors[-SLABBY_OUT_OF_MEMORY], 1);
    assert_int_equal(stats.errors[-SLABBY_DOUBLE_DEALLOCATION], 1);
    assert_int_equal(stats.errors[-SLABBY_USE_AFTER_FREE], 1);
    assert_int_equal(stats.errors[-SLABBY_INVALID_REFERENCE], 1);
    assert_int_equal(stats.errors[-SLABBY_INVALID_SLAB_ID], 1);
    assert_int_equal(stats.peak_used, 10);
    assert_true(fabs(stats.memory_utilization - 0.9) < 1e-12);
    assert_true(fabs(stats.fragmentation_ratio - (1 - 10000.0 / (double)stats.reserved_bytes)) < 1e-12);
    assert_int_equal(stats.latency_samples, 10);
    assert_in_range(stats.latency_floor_ns, 1, 1000000);
    assert_true(stats.avg_alloc_time_ns >= (double)stats.latency_floor_ns);
    assert_true((double)stats.max_alloc_time_ns >= stats.avg_alloc_time_ns);
    assert_int_equal(stats.cached_slabs + stats.heap_slabs + stats.waiters, 0);
    CHECK_STATUS(slabby_reset(pool), SLABBY_OK);
    assert_int_equal(stats_of(pool).total_deallocations, 10);
    assert_int_equal(stats_of(pool).fast_deallocations, 1);
    finish(pool);
}

/* Guards: latency tracking switches while the pool runs, and off takes no sample. */
static void latency_tracking_switches(void **state) {
    slabby_allocator *pool = make_pool(64, 10, WITH({SLABBY_OPTION_LATENCY_TRACKING, 0}));

    (void)state;
    for (int i = 0; i < 1000; i++)
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    assert_int_equal(stats_of(pool).latency_samples, 0);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_LATENCY_TRACKING, SLABBY_LATENCY_TRACKING_ALL, NULL),
                 SLABBY_OK);
    for (int i = 0; i < 1000; i++)
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    /* Each CPU learns of the switch with the first allocation that its cache refuses. */
    assert_in_range(stats_of(pool).latency_samples, 1000 - slb_os_cpu_count(), 1000);
    finish(pool);
}

/* Guards: batches, which do not look whose turn it is, step over no sample for long: those that follow are sampled
 * as often as ever, at least one in 2,048. */
static void batches_lose_no_samples(void **state) {
    slabby_allocator *pool = make_pool(64, 10000, NULL);
    slabby_ref refs[200];

    (void)state;
    for (int round = 0; round < 50; round++) {
        CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, 200), SLABBY_OK);
        CHECK_STATUS(slabby_release_batch(NULL, pool, refs, 200), SLABBY_OK);
        uint64_t before = stats_of(pool).latency_samples;
        for (int i = 0; i < 8000; i++)
            CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
        assert_in_range(stats_of(pool).latency_samples - before, 3, 8000);
    }
    finish(pool);
}

/* Guards: a caller built against fewer or more fields gets what both know, and not a byte
 * beyond. */
static void struct_sizes_are_respected(void **state) {
    slabby_allocator *pool = make_pool(64, 10, NULL);
    struct {
        slabby_stats stats;
        unsigned char beyond[64];
    } large;
    unsigned char *bytes = (unsigned char *)&large;
    const uint32_t small = (uint32_t)offsetof(slabby_stats, slab_size);

    (void)state;
    for (uint32_t size = 0; size < 8; size++) {
        large.stats.struct_size = size;
        CHECK_STATUS(slabby_get_stats(&large.stats, pool), SLABBY_ABI_MISMATCH);
    }
    memset(&large, 0xA5, sizeof large);
    large.stats.struct_size = small;
    CHECK_STATUS(slabby_get_stats(&large.stats, pool), SLABBY_OK);
    assert_int_equal(large.stats.total_slabs, 10);
    assert_int_equal(large.stats.struct_size, small);
    for (size_t i = small; i < sizeof large; i++)
        assert_int_equal(bytes[i], 0xA5);
    large.stats.struct_size = (uint32_t)sizeof large;
    CHECK_STATUS(slabby_get_stats(&large.stats, pool), SLABBY_OK);
    assert_int_equal(large.stats.slab_size, 64);
    for (size_t i = sizeof large.stats; i < sizeof large; i++)
        assert_int_equal(bytes[i], 0xA5);
    finish(pool);
}

/* Guards: the same rule for the other structs that cross. */
static void other_structs_check_their_size(void **state) {
    slabby_allocator *pool = make_pool(64, 10, NULL);
    slabby_memory memory = {.struct_size = 7};
    slabby_view_info view = {.struct_size = 7};
    slabby_live live = {.struct_size = 7};
    slabby_finding finding = {.struct_size = 7};
    uint64_t count = 0;
    uint64_t cursor = 0;

    (void)state;
    CHECK_STATUS(slabby_get_memory(&memory, pool), SLABBY_ABI_MISMATCH);
    CHECK_STATUS(slabby_view(&view, pool), SLABBY_ABI_MISMATCH);
    CHECK_STATUS(slabby_live_next(&live, &count, &cursor, pool), SLABBY_ABI_MISMATCH);
    CHECK_STATUS(slabby_verify(&finding, &count, pool, 1), SLABBY_ABI_MISMATCH);
    finish(pool);
}

/* Guards: the cursor shows each outstanding slab once, with state, pins and label, and then the
 * end. */
static void live_cursor_shows_each_slab_once(void **state) {
    enum { SLABS = 50 };
    slabby_allocator *pool = make_pool(64, SLABS, WITH({SLABBY_OPTION_HEAP_FALLBACK, 1}));
    slabby_ref refs[SLABS + 5];
    slabby_live live = {.struct_size = sizeof live};
    uint64_t cursor = 0;
    uint64_t count = 1;
    uint64_t seen = 0;
    uint32_t fast = 0;
    void *data = NULL;

    (void)state;
    CHECK_STATUS(slabby_live_next(&live, &count, &cursor, pool), SLABBY_OK);
    assert_int_equal(count, 0);
    CHECK_STATUS(slabby_allocate_fast(&data, &fast, pool), SLABBY_OK);
    CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, SLABS + 5), SLABBY_OK);
    for (int i = 0; i < SLABS + 5; i++)
        CHECK_STATUS(slabby_set_label(pool, refs[i], (uint64_t)i + 1), SLABBY_OK);
    CHECK_STATUS(slabby_pin(pool, refs[3]), SLABBY_OK);
    CHECK_STATUS(slabby_pin(pool, refs[4]), SLABBY_OK);
    CHECK_STATUS(slabby_release_deferred(pool, refs[4]), SLABBY_OK);
    for (cursor = 0;;) {
        CHECK_STATUS(slabby_live_next(&live, &count, &cursor, pool), SLABBY_OK);
        if (!count)
            break;
        seen++;
        assert_true(seen <= SLABS + 6);
        if (live.state == SLABBY_SLAB_STATE_LIVE_FAST) {
            assert_int_equal(live.id, fast);
            assert_true(live.ref == 0);
        } else if (live.state == SLABBY_SLAB_STATE_DYING) {
            assert_true(live.ref == refs[4]);
            assert_int_equal(live.pins, 1);
        } else {
            assert_int_equal(live.state, SLABBY_SLAB_STATE_LIVE);
            assert_in_range(live.label, 1, SLABS + 5);
            assert_true(live.ref == refs[live.label - 1]);
            assert_int_equal(live.pins, live.ref == refs[3]);
        }
    }
    assert_int_equal(seen, SLABS + 6);
    CHECK_STATUS(slabby_unpin(pool, refs[3]), SLABBY_OK);
    CHECK_STATUS(slabby_unpin(pool, refs[4]), SLABBY_OK);
    CHECK_STATUS(slabby_reset(pool), SLABBY_OK);
    finish(pool);
}

/* Guards: verify sees a word that somebody damaged from outside, and counts more than it was
 * given room for. */
static void verify_finds_damaged_words(void **state) {
    slabby_allocator *pool = make_pool(64, 8, NULL);
    slabby_view_info view = view_of(pool);
    uint64_t *words = (uint64_t *)(uintptr_t)view.words_address;
    slabby_finding finding = {.struct_size = sizeof finding};
    slabby_ref refs[8];
    uint64_t stored[2];
    uint64_t count = 0;
    uint32_t ids[2] = {0, 0};

    (void)state;
    CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, 8), SLABBY_OK);
    for (int i = 0; i < 2; i++) {
        CHECK_STATUS(slabby_id(&ids[i], pool, refs[i]), SLABBY_OK);
        stored[i] = words[ids[i]];
        words[ids[i]] = stored[i] | 15;
    }
    CHECK_STATUS(slabby_verify(&finding, &count, pool, 1), SLABBY_OK);
    assert_true(count >= 2);
    assert_int_equal(finding.kind, SLABBY_FINDING_KIND_BAD_WORD);
    assert_true(finding.id == ids[0] || finding.id == ids[1]);
    assert_true(strlen(finding.text) > 0);
    for (int i = 0; i < 2; i++)
        words[ids[i]] = stored[i];
    CHECK_STATUS(slabby_release_batch(NULL, pool, refs, 8), SLABBY_OK);
    finish(pool);
}

/* Guards: a slab whose word says free but which lies in no list is reported as lost. */
static void verify_finds_lost_slabs(void **state) {
    slabby_allocator *pool = make_pool(64, 8, NULL);
    slabby_view_info view = view_of(pool);
    uint64_t *words = (uint64_t *)(uintptr_t)view.words_address;
    slabby_finding findings[8] = {{.struct_size = sizeof findings[0]}};
    slabby_ref ref = take(pool);
    uint64_t count = 0;
    uint64_t stored;
    uint32_t id = 0;
    int lost = 0;

    (void)state;
    CHECK_STATUS(slabby_id(&id, pool, ref), SLABBY_OK);
    stored = words[id];
    words[id] = (stored & ~UINT64_C(0xFFFF)) + 0x10000;
    CHECK_STATUS(slabby_verify(findings, &count, pool, 8), SLABBY_OK);
    for (uint64_t i = 0; i < count && i < 8; i++)
        lost += findings[i].kind == SLABBY_FINDING_KIND_LOST_SLAB && findings[i].id == id;
    assert_int_equal(lost, 1);
    words[id] = stored;
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

/* Guards: the JSON fits the promised length, and is printed for the checker that ctest runs on
 * it. */
static void stats_json_has_its_length(void **state) {
    slabby_options *options = NULL;
    slabby_allocator *pool = NULL;
    char *text;
    uint64_t needed = 0;
    uint64_t length = 0;

    (void)state;
    CHECK_STATUS(slabby_options_create(&options), SLABBY_OK);
    CHECK_STATUS(slabby_options_set_text(options, "name", "q\"\\\x01\xC3\xA9", NULL), SLABBY_OK);
    CHECK_STATUS(slabby_create(&pool, 64, 10, options, NULL), SLABBY_OK);
    slabby_options_destroy(options);
    CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    CHECK_STATUS(slabby_stats_json(NULL, 0, &needed, pool), SLABBY_BUFFER_TOO_SMALL);
    assert_true(needed > 100);
    text = malloc(needed + 1);
    assert_non_null(text);
    CHECK_STATUS(slabby_stats_json(text, needed, &length, pool), SLABBY_BUFFER_TOO_SMALL);
    assert_int_equal(length, needed);
    CHECK_STATUS(slabby_stats_json(text, needed + 1, &length, pool), SLABBY_OK);
    assert_int_equal(strlen(text), length);
    printf("JSON %s\n", text);
    free(text);
    finish(pool);
}

/* With an argument: the tests of that name alone. */
int main(int count, char **names) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stats_say_what_happened),          cmocka_unit_test(latency_tracking_switches),
        cmocka_unit_test(struct_sizes_are_respected),       cmocka_unit_test(other_structs_check_their_size),
        cmocka_unit_test(live_cursor_shows_each_slab_once), cmocka_unit_test(verify_finds_damaged_words),
        cmocka_unit_test(verify_finds_lost_slabs),          cmocka_unit_test(stats_json_has_its_length),
        cmocka_unit_test(batches_lose_no_samples),
    };

    if (count > 1)
        cmocka_set_test_filter(names[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
