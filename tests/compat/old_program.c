/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A program as somebody wrote it for an earlier version: it is compiled against a header kept under tests/abi
 * and runs on the library of today. Each record lies in front of a canary of its own. */
#include "slabby.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUIRE(condition) require((condition), #condition, __LINE__)
#define RECORD(type)                                                                                         \
    struct {                                                                                                 \
        type is;                                                                                             \
        unsigned char canary[64];                                                                            \
    }
#define PREPARE(record) prepare(&(record), sizeof(record), sizeof(record).is)
#define UNHARMED(record) REQUIRE(unharmed((record).canary))

static void require(int holds, const char *condition, int line) {
    if (holds)
        return;
    fprintf(stderr, "old_program.c:%d: not so: %s\n", line, condition);
    exit(1);
}

static void prepare(void *record, size_t whole, uint32_t size) {
    memset(record, 0xa5, whole);
    memcpy(record, &size, sizeof size);
}

static int unharmed(const unsigned char *canary) {
    for (size_t i = 0; i < 64; i++)
        if (canary[i] != 0xa5)
            return 0;
    return 1;
}

static slabby_allocator *make(void) {
    slabby_options *options;
    slabby_allocator *pool;
    RECORD(slabby_error) error;

    PREPARE(error);
    REQUIRE(slabby_create(&pool, 0, 8, NULL, &error.is) == SLABBY_INVALID_SLAB_SIZE);
    REQUIRE(error.is.status == SLABBY_INVALID_SLAB_SIZE && strlen(error.is.text) > 0);
    UNHARMED(error);
    REQUIRE(slabby_options_create(&options) == SLABBY_OK);
    REQUIRE(slabby_options_set(options, SLABBY_OPTION_SECURE, 1, NULL) == SLABBY_OK);
    REQUIRE(slabby_options_set_text(options, "shards", "1", NULL) == SLABBY_OK);
    REQUIRE(slabby_options_set_text(options, "name", "kept", &error.is) == SLABBY_OK);
    REQUIRE(slabby_options_preset(options, "default", NULL) == SLABBY_OK);
    REQUIRE(slabby_create(&pool, 100, 8, options, &error.is) == SLABBY_OK);
    slabby_options_destroy(options);
    return pool;
}

static void use_slabs(slabby_allocator *pool) {
    slabby_ref ref, refs[7];
    void *data, *again, *fast;
    uint32_t id, fast_id;
    uint64_t released, label;

    REQUIRE(slabby_allocate(&ref, &data, pool) == SLABBY_OK);
    memset(data, 1, 100);
    REQUIRE(slabby_data(&again, pool, ref) == SLABBY_OK && again == data);
    REQUIRE(slabby_is_valid(pool, ref) == 1 && slabby_id(&id, pool, ref) == SLABBY_OK);
    REQUIRE(slabby_set_label(pool, ref, 7) == SLABBY_OK);
    REQUIRE(slabby_get_label(&label, pool, ref) == SLABBY_OK && label == 7);
    REQUIRE(slabby_pin(pool, ref) == SLABBY_OK && slabby_release(pool, ref) == SLABBY_PINNED);
    REQUIRE(slabby_unpin(pool, ref) == SLABBY_OK && slabby_release(pool, ref) == SLABBY_OK);
    REQUIRE(slabby_release(pool, ref) == SLABBY_DOUBLE_DEALLOCATION);
    REQUIRE(slabby_allocate_batch(refs, NULL, pool, 7) == SLABBY_OK);
    REQUIRE(slabby_allocate_fast(&fast, &fast_id, pool) == SLABBY_OK);
    REQUIRE(slabby_allocate(&ref, NULL, pool) == SLABBY_OUT_OF_MEMORY);
    REQUIRE(slabby_deallocate_fast(pool, fast_id) == SLABBY_OK);
    REQUIRE(slabby_release_batch(&released, pool, refs, 7) == SLABBY_OK && released == 7);
}

static void check(slabby_allocator *pool) {
    RECORD(slabby_stats) stats;
    RECORD(slabby_memory) memory;
    RECORD(slabby_health) health;
    RECORD(slabby_view_info) view;
    RECORD(slabby_finding) finding;
    RECORD(slabby_live) live;
    uint64_t count, cursor = 0;
    slabby_ref ref;

    PREPARE(stats);
    REQUIRE(slabby_get_stats(&stats.is, pool) == SLABBY_OK);
    REQUIRE(stats.is.total_slabs == 8 && stats.is.slab_size == 100 && stats.is.used_slabs == 0);
    REQUIRE(stats.is.total_allocations == 9 && stats.is.fast_allocations == 1);
    REQUIRE(stats.is.errors[-SLABBY_PINNED] == 1 && stats.is.bookkeeping_bytes > 0);
    UNHARMED(stats);
    PREPARE(memory);
    REQUIRE(slabby_get_memory(&memory.is, pool) == SLABBY_OK && memory.is.slab_bytes == 800);
    REQUIRE(memory.is.heap_bytes == 0);
    UNHARMED(memory);
    PREPARE(health);
    REQUIRE(slabby_get_health(&health.is, pool) == SLABBY_OK && health.is.circuit_breaker_open == 0);
    UNHARMED(health);
    PREPARE(view);
    REQUIRE(slabby_view(&view.is, pool) == SLABBY_OK && view.is.slab_size == 100);
    UNHARMED(view);
    PREPARE(finding);
    REQUIRE(slabby_verify(&finding.is, &count, pool, 1) == SLABBY_OK && count == 0);
    UNHARMED(finding);
    PREPARE(live);
    REQUIRE(slabby_allocate(&ref, NULL, pool) == SLABBY_OK);
    REQUIRE(slabby_live_next(&live.is, &count, &cursor, pool) == SLABBY_OK && count == 1);
    REQUIRE(live.is.ref == ref && live.is.state == SLABBY_SLAB_STATE_LIVE && live.is.pins == 0);
    UNHARMED(live);
    REQUIRE(slabby_release(pool, ref) == SLABBY_OK);
}

static void read_audits(slabby_allocator *pool) {
    RECORD(slabby_event) event;
    RECORD(slabby_fault) fault;
    uint64_t count, lost, cursor = 0;
    char text[4096];

    PREPARE(event);
    REQUIRE(slabby_events_read(&event.is, &count, &lost, &cursor, pool, 1) == SLABBY_OK && count == 1);
    UNHARMED(event);
    PREPARE(fault);
    (void)slabby_classify_fault(&fault.is, (uint64_t)(uintptr_t)text);
    UNHARMED(fault);
    REQUIRE(slabby_stats_json(text, sizeof text, &count, pool) == SLABBY_OK && text[0] == '{');
    REQUIRE(slabby_explain(text, sizeof text, &count, pool, 0, SLABBY_OUT_OF_MEMORY) == SLABBY_OK);
}

int main(void) {
    slabby_allocator *pool = make();

    REQUIRE(strcmp(slabby_status_name(SLABBY_USE_AFTER_FREE), "UseAfterFree") == 0);
    use_slabs(pool);
    check(pool);
    read_audits(pool);
    REQUIRE(slabby_close(pool) == SLABBY_OK && slabby_destroy(pool) == SLABBY_OK);
    return 0;
}
