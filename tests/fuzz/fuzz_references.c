/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Any 64 bits as a reference, and any 32 as a slab's number: none is accepted that was not issued and is not out, and
 * no function is hurt by it. Numbers near those that were issued are tried most. */
#include "fuzz.h"

#include <stdbool.h>
#include <string.h>

#include <slabby/slabby.h>

enum { CAPACITY = 11, BEYOND = 4, LIVE = 14, STALE = 64, SLAB_SIZE = 40, CALLS_LIMIT = 200 };

struct known {
    slabby_allocator *pool;
    slabby_ref live[LIVE];
    slabby_ref stale[STALE];
    uint32_t stale_count;
    uint32_t fast; /* the one slab that is out by its number */
};

static slabby_allocator *make_pool(void) {
    slabby_allocator *pool = NULL;
    slabby_options *options = NULL;
    FUZZ_REQUIRE(slabby_options_create(&options) == SLABBY_OK);
    FUZZ_REQUIRE(slabby_options_set(options, SLABBY_OPTION_HEAP_FALLBACK, 1, NULL) == SLABBY_OK);
    FUZZ_REQUIRE(slabby_options_set(options, SLABBY_OPTION_HEAP_FALLBACK_LIMIT, BEYOND, NULL) == SLABBY_OK);
    FUZZ_REQUIRE(slabby_create(&pool, SLAB_SIZE, CAPACITY, options, NULL) == SLABBY_OK);
    slabby_options_destroy(options);
    return pool;
}

static void issue(struct known *known, uint32_t entry) {
    FUZZ_REQUIRE(slabby_allocate(&known->live[entry], NULL, known->pool) == SLABBY_OK);
}

static int find_live(const struct known *known, slabby_ref ref) {
    for (int i = 0; i < LIVE; i++)
        if (known->live[i] == ref)
            return i;
    return -1;
}

static bool was_issued(const struct known *known, slabby_ref ref) {
    for (uint32_t i = 0; i < STALE && i < known->stale_count; i++)
        if (known->stale[i] == ref)
            return true;
    return find_live(known, ref) >= 0;
}

/* Raw, or one that was issued with some bits turned, or one that was issued. */
static slabby_ref pick(const struct known *known, struct fuzz_bytes *bytes) {
    uint64_t way = fuzz_number(bytes, 1), entry = fuzz_number(bytes, 1);
    slabby_ref issued = known->live[entry % LIVE];
    if (entry >= 128 && known->stale_count != 0)
        issued = known->stale[entry % (known->stale_count < STALE ? known->stale_count : STALE)];
    if (way % 4 == 0)
        return fuzz_number(bytes, 8);
    if (way % 4 == 1)
        return issued ^ fuzz_number(bytes, 8);
    if (way % 4 == 2)
        return issued + (UINT64_C(1) << way / 4 % 64);
    return issued;
}

/* ---------------------------------------------------------------------------------------------- the calls */

static void check(struct known *known, slabby_ref ref, bool live) {
    void *data = NULL;
    uint64_t label;
    slabby_status refusal = slabby_data(&data, known->pool, ref);
    FUZZ_REQUIRE(slabby_is_valid(known->pool, ref) == live);
    FUZZ_REQUIRE(live ? refusal == SLABBY_OK
                      : refusal == SLABBY_INVALID_REFERENCE || refusal == SLABBY_USE_AFTER_FREE);
    FUZZ_REQUIRE(live || data == NULL);
    FUZZ_REQUIRE(!was_issued(known, ref) || refusal != SLABBY_INVALID_REFERENCE);
    FUZZ_REQUIRE(slabby_get_label(&label, known->pool, ref) == refusal);
    FUZZ_REQUIRE(slabby_pin(known->pool, ref) == refusal);
    FUZZ_REQUIRE(slabby_unpin(known->pool, ref) == refusal);
    if (live)
        memset(data, 0x5A, SLAB_SIZE);
}

/* Text of any length limit is cut, never written past its end, and says how long it would be. */
static void report(struct known *known, slabby_ref ref, uint64_t capacity, uint64_t choice) {
    char buffer[600];
    uint64_t length = 0;
    slabby_status status;
    capacity %= sizeof buffer;
    memset(buffer, 0x7F, sizeof buffer);
    if (choice % 3 == 0)
        status = slabby_ref_text(buffer, capacity, &length, known->pool, ref);
    else if (choice % 3 == 1)
        status = slabby_stack(buffer, capacity, &length, known->pool, ref);
    else
        status = slabby_explain(buffer, capacity, &length, known->pool, ref, -(slabby_status)(choice % 40));
    if (status == SLABBY_OK)
        FUZZ_REQUIRE(length < capacity && buffer[length] == '\0');
    if (status == SLABBY_BUFFER_TOO_SMALL)
        FUZZ_REQUIRE(length >= capacity && (capacity == 0 || buffer[capacity - 1] == '\0'));
    for (uint64_t i = capacity; i < sizeof buffer; i++)
        FUZZ_REQUIRE(buffer[i] == 0x7F);
}

static void number(struct known *known, slabby_ref ref) {
    uint32_t id = UINT32_MAX;
    slabby_status status = slabby_id(&id, known->pool, ref);
    FUZZ_REQUIRE(status == SLABBY_OK ? id < CAPACITY + BEYOND : status == SLABBY_INVALID_REFERENCE);
    FUZZ_REQUIRE(!was_issued(known, ref) || status == SLABBY_OK);
}

static void release(struct known *known, slabby_ref ref, uint64_t choice) {
    uint64_t released = 0;
    int entry = find_live(known, ref);
    slabby_status status = choice % 3 == 0   ? slabby_release(known->pool, ref)
                           : choice % 3 == 1 ? slabby_release_deferred(known->pool, ref)
                                             : slabby_release_batch(&released, known->pool, &ref, 1);
    if (entry < 0) {
        FUZZ_REQUIRE(status == SLABBY_INVALID_REFERENCE || status == SLABBY_DOUBLE_DEALLOCATION);
        FUZZ_REQUIRE(!was_issued(known, ref) || status == SLABBY_DOUBLE_DEALLOCATION);
        return;
    }
    FUZZ_REQUIRE(status == SLABBY_OK);
    known->stale[known->stale_count++ % STALE] = ref;
    issue(known, (uint32_t)entry);
}

static void release_by_number(struct known *known, uint32_t id) {
    void *data;
    slabby_status status = slabby_deallocate_fast(known->pool, id);
    if (id != known->fast) {
        FUZZ_REQUIRE(status == SLABBY_INVALID_SLAB_ID || status == SLABBY_DOUBLE_DEALLOCATION);
        return;
    }
    FUZZ_REQUIRE(status == SLABBY_OK);
    FUZZ_REQUIRE(slabby_allocate_fast(&data, &known->fast, known->pool) == SLABBY_OK);
}

static void call(struct known *known, struct fuzz_bytes *bytes) {
    uint64_t kind = fuzz_number(bytes, 1);
    slabby_ref ref = pick(known, bytes);
    switch (kind % 6) {
    case 0:
    case 1:
        check(known, ref, find_live(known, ref) >= 0);
        break;
    case 2:
        report(known, ref, fuzz_number(bytes, 2), kind / 6);
        break;
    case 3:
        number(known, ref);
        break;
    case 4:
        release(known, ref, kind / 6);
        break;
    default:
        release_by_number(known, kind >= 128 ? (uint32_t)ref : (uint32_t)(ref % (CAPACITY + BEYOND + 2)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_bytes bytes = {data, size};
    struct known known = {.pool = make_pool()};
    uint64_t findings = 0;
    void *fast;
    FUZZ_REQUIRE(slabby_allocate_fast(&fast, &known.fast, known.pool) == SLABBY_OK);
    for (uint32_t entry = 0; entry < LIVE; entry++)
        issue(&known, entry);
    for (int calls = 0; bytes.left > 0 && calls < CALLS_LIMIT; calls++)
        call(&known, &bytes);
    FUZZ_REQUIRE(slabby_verify(NULL, &findings, known.pool, 0) == SLABBY_OK && findings == 0);
    FUZZ_REQUIRE(slabby_reset(known.pool) == SLABBY_OK);
    FUZZ_REQUIRE(slabby_destroy(known.pool) == SLABBY_OK);
    return 0;
}
