/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "checks.h"

#include <stdlib.h>
#include <string.h>

void check_status(slabby_status found, slabby_status expected, const char *call, const char *file, int line) {
    if (found != expected) {
        print_error("%s: expected %s, found %s\n", call, slabby_status_name(expected),
                    slabby_status_name(found));
        _fail(file, line);
    }
}

slabby_error fresh_error(void) {
    slabby_error error;

    memset(&error, 0, sizeof error);
    error.struct_size = sizeof error;
    return error;
}

slabby_status try_pool(slabby_allocator **out_pool, uint64_t slab_size, uint64_t capacity,
                       const struct setting *settings, slabby_error *out_error) {
    slabby_options *options = NULL;
    slabby_status status;

    CHECK_STATUS(slabby_options_create(&options), SLABBY_OK);
    for (const struct setting *next = settings; next && next->option; next++)
        CHECK_STATUS(slabby_options_set(options, next->option, next->value, NULL), SLABBY_OK);
    status = slabby_create(out_pool, slab_size, capacity, options, out_error);
    slabby_options_destroy(options);
    return status;
}

slabby_allocator *make_pool(uint64_t slab_size, uint64_t capacity, const struct setting *settings) {
    slabby_allocator *pool = NULL;
    slabby_error error = fresh_error();
    slabby_status status = try_pool(&pool, slab_size, capacity, settings, &error);

    if (status != SLABBY_OK)
        print_error("create: %s: %s\n", slabby_status_name(status), error.text);
    assert_int_equal(status, SLABBY_OK);
    assert_non_null(pool);
    return pool;
}

slabby_ref take(slabby_allocator *pool) {
    slabby_ref ref = 0;

    CHECK_STATUS(slabby_allocate(&ref, NULL, pool), SLABBY_OK);
    assert_true(ref != 0);
    return ref;
}

slabby_stats stats_of(slabby_allocator *pool) {
    slabby_stats stats;

    memset(&stats, 0, sizeof stats);
    stats.struct_size = sizeof stats;
    CHECK_STATUS(slabby_get_stats(&stats, pool), SLABBY_OK);
    return stats;
}

slabby_view_info view_of(slabby_allocator *pool) {
    slabby_view_info view;

    memset(&view, 0, sizeof view);
    view.struct_size = sizeof view;
    CHECK_STATUS(slabby_view(&view, pool), SLABBY_OK);
    return view;
}

void check_sound(slabby_allocator *pool, uint64_t used) {
    slabby_finding findings[4];
    uint64_t count = 0;
    slabby_stats stats;

    memset(findings, 0, sizeof findings);
    findings[0].struct_size = sizeof findings[0];
    CHECK_STATUS(slabby_verify(findings, &count, pool, COUNT_OF(findings)), SLABBY_OK);
    for (uint64_t i = 0; i < count && i < COUNT_OF(findings); i++)
        print_error("finding %d: slab %u: %s\n", findings[i].kind, findings[i].id, findings[i].text);
    assert_int_equal(count, 0);
    stats = stats_of(pool);
    assert_int_equal(stats.used_slabs, used);
    assert_int_equal(stats.used_slabs + stats.available_slabs + stats.quarantined_slabs + stats.retired_slabs,
                     stats.total_slabs);
    assert_int_equal(stats.pcpu_cache_hits + stats.lock_free_hits + stats.shard_hits + stats.gate_hits +
                         stats.guard_hits + stats.heap_fallbacks,
                     stats.total_allocations);
    assert_int_equal(stats.total_allocations - stats.total_deallocations,
                     stats.used_slabs + stats.heap_slabs);
}

void write_every_slab(slabby_allocator *pool, uint64_t slab_size) {
    uint64_t count = stats_of(pool).total_slabs, released = 0;
    slabby_ref *refs = calloc(count, sizeof *refs);
    void **data = calloc(count, sizeof *data);
    assert_true(refs != NULL && data != NULL);
    CHECK_STATUS(slabby_allocate_batch(refs, data, pool, count), SLABBY_OK);
    for (uint64_t i = 0; i < count; i++)
        memset(data[i], 0x5A, slab_size);
    CHECK_STATUS(slabby_release_batch(&released, pool, refs, count), SLABBY_OK);
    free(refs);
    free(data);
}

void finish(slabby_allocator *pool) {
    slabby_stats stats;
    slabby_ref *refs;
    uint64_t released = 0;

    check_sound(pool, 0);
    stats = stats_of(pool);
    if (stats.available_slabs) {
        refs = calloc(stats.available_slabs, sizeof *refs);
        assert_non_null(refs);
        /* how long this takes is no part of the check */
        CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_MAX_ALLOC_LATENCY, 0, NULL), SLABBY_OK);
        CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, stats.available_slabs), SLABBY_OK);
        check_sound(pool, stats.available_slabs);
        CHECK_STATUS(slabby_release_batch(&released, pool, refs, stats.available_slabs), SLABBY_OK);
        assert_int_equal(released, stats.available_slabs);
        free(refs);
    }
    check_sound(pool, 0);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}
