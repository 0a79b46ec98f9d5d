/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Every struct that crosses, in every size a caller of another version may give it: the core fills what both know,
 * keeps the caller's size and touches nothing behind it. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#define BEYOND 128
#define PAINT 0xa5
#define MOST 2048

static slabby_allocator *pool;
static slabby_ref damaged;

static slabby_status fill_error(void *record) {
    slabby_allocator *none;
    slabby_status status = slabby_create(&none, 0, 8, NULL, record);
    return status == SLABBY_INVALID_SLAB_SIZE ? SLABBY_OK : status;
}

static slabby_status fill_stats(void *record) {
    return slabby_get_stats(record, pool);
}

static slabby_status fill_health(void *record) {
    return slabby_get_health(record, pool);
}

static slabby_status fill_memory(void *record) {
    return slabby_get_memory(record, pool);
}

static slabby_status fill_view(void *record) {
    return slabby_view(record, pool);
}

static slabby_status fill_live(void *record) {
    uint64_t count = 0, cursor = 0;
    return slabby_live_next(record, &count, &cursor, pool);
}

static slabby_status fill_finding(void *record) {
    uint64_t count = 0;
    return slabby_verify(record, &count, pool, 1);
}

static slabby_status fill_audit(void *record) {
    uint64_t count = 0, lost = 0, cursor = 0;
    return slabby_audit_read(record, &count, &lost, &cursor, pool, 1);
}

static slabby_status fill_event(void *record) {
    uint64_t count = 0, lost = 0, cursor = 0;
    return slabby_events_read(record, &count, &lost, &cursor, pool, 1);
}

static slabby_status fill_fault(void *record) {
    void *data = NULL;
    slabby_status status = slabby_data(&data, pool, damaged);
    return status != SLABBY_OK ? status : slabby_classify_fault(record, (uint64_t)(uintptr_t)data);
}

static const struct {
    const char *name;
    uint32_t size;
    slabby_status (*fill)(void *record);
} structs[] = {{"slabby_error", sizeof(slabby_error), fill_error},
               {"slabby_stats", sizeof(slabby_stats), fill_stats},
               {"slabby_health", sizeof(slabby_health), fill_health},
               {"slabby_memory", sizeof(slabby_memory), fill_memory},
               {"slabby_view_info", sizeof(slabby_view_info), fill_view},
               {"slabby_live", sizeof(slabby_live), fill_live},
               {"slabby_finding", sizeof(slabby_finding), fill_finding},
               {"slabby_audit_record", sizeof(slabby_audit_record), fill_audit},
               {"slabby_event", sizeof(slabby_event), fill_event},
               {"slabby_fault", sizeof(slabby_fault), fill_fault}};

/* A pool with one of everything: a live slab with a damaged guard, audit records, events. */
static int set_up(void **state) {
    void *data = NULL;

    (void)state;
    pool = make_pool(
        64, 10,
        WITH({SLABBY_OPTION_BIT_GUARD, 1}, {SLABBY_OPTION_AUDIT, 16}, {SLABBY_OPTION_LATENCY_TRACKING, 0}));
    CHECK_STATUS(slabby_allocate(&damaged, &data, pool), SLABBY_OK);
    ((unsigned char *)data)[64] ^= 1;
    return 0;
}

static int tear_down(void **state) {
    void *data = NULL;

    (void)state;
    CHECK_STATUS(slabby_data(&data, pool, damaged), SLABBY_OK);
    ((unsigned char *)data)[64] ^= 1;
    CHECK_STATUS(slabby_release(pool, damaged), SLABBY_OK);
    return slabby_destroy(pool) == SLABBY_OK ? 0 : -1;
}

static void painted(unsigned char *space, uint32_t size) {
    memset(space, PAINT, MOST);
    memcpy(space, &size, sizeof size);
}

static uint32_t size_in(const unsigned char *space) {
    uint32_t size;
    memcpy(&size, space, sizeof size);
    return size;
}

/* Below 8 bytes there is not even room for a size: refused, nothing written. */
static void too_small_is_refused(void **state) {
    (void)state;
    for (size_t at = 0; at < sizeof structs / sizeof structs[0]; at++)
        for (uint32_t size = 0; size < 8 && structs[at].fill != fill_error; size++) {
            _Alignas(16) unsigned char space[MOST], before[MOST];
            painted(space, size);
            memcpy(before, space, sizeof space);
            CHECK_STATUS(structs[at].fill(space), SLABBY_ABI_MISMATCH);
            assert_memory_equal(space, before, sizeof space);
        }
}

/* A slabby_error whose size was forgotten says what was wrong all the same, within the bytes of the first version. */
static void a_forgotten_size_does_not_silence_errors(void **state) {
    const size_t first_version = 296;
    (void)state;
    for (uint32_t size = 0; size < 8; size++) {
        _Alignas(16) unsigned char space[MOST];
        slabby_error error;
        painted(space, size);
        CHECK_STATUS(fill_error(space), SLABBY_OK);
        assert_int_equal(size_in(space), size);
        memcpy(&error, space, sizeof error);
        assert_int_equal(error.status, SLABBY_INVALID_SLAB_SIZE);
        assert_non_null(strstr(error.text, "slab size 0 is out of range"));
        for (size_t i = first_version; i < MOST; i++)
            assert_int_equal(space[i], PAINT);
    }
}

static void every_size_is_respected(void **state) {
    (void)state;
    for (size_t at = 0; at < sizeof structs / sizeof structs[0]; at++) {
        _Alignas(16) unsigned char whole[MOST], space[MOST];
        const uint32_t ours = structs[at].size;
        assert_true(ours + BEYOND < MOST);
        painted(whole, ours);
        CHECK_STATUS(structs[at].fill(whole), SLABBY_OK);
        for (uint32_t size = 8; size <= ours + BEYOND; size += 4) {
            uint32_t common = size < ours ? size : ours;
            painted(space, size);
            CHECK_STATUS(structs[at].fill(space), SLABBY_OK);
            assert_int_equal(size_in(space), size);
            if (memcmp(space + 4, whole + 4, common - 4) != 0)
                fail_msg("%s of %u bytes differs from one of %u", structs[at].name, size, ours);
            for (uint32_t i = common; i < MOST; i++)
                assert_int_equal(space[i], PAINT);
        }
    }
}

/* Arrays: the first record's size is everyone's stride. */
static void arrays_take_their_stride(void **state) {
    static const uint32_t strides[] = {8, 24, sizeof(slabby_audit_record), sizeof(slabby_audit_record) + 40};
    slabby_audit_record records[3];
    uint64_t count = 0, lost = 0, cursor = 0;

    (void)state;
    records[0].struct_size = sizeof records[0];
    CHECK_STATUS(slabby_audit_read(records, &count, &lost, &cursor, pool, 3), SLABBY_OK);
    assert_true(count >= 2);
    for (size_t at = 0; at < sizeof strides / sizeof strides[0]; at++) {
        _Alignas(16) unsigned char space[MOST];
        uint32_t stride = strides[at];
        uint32_t common = stride < sizeof records[0] ? stride : (uint32_t)sizeof records[0];
        painted(space, stride);
        cursor = 0;
        CHECK_STATUS(slabby_audit_read((slabby_audit_record *)space, &count, &lost, &cursor, pool, 2),
                     SLABBY_OK);
        assert_int_equal(count, 2);
        for (uint32_t i = 0; i < 2; i++) {
            assert_int_equal(size_in(space + i * stride), stride);
            assert_memory_equal(space + i * stride + 4, (unsigned char *)&records[i] + 4, common - 4);
            for (uint32_t byte = common; byte < stride; byte++)
                assert_int_equal(space[i * stride + byte], PAINT);
        }
        for (uint32_t byte = 2 * stride; byte < MOST; byte++)
            assert_int_equal(space[byte], PAINT);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_forgotten_size_does_not_silence_errors),
        cmocka_unit_test_setup_teardown(too_small_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_size_is_respected, set_up, tear_down),
        cmocka_unit_test_setup_teardown(arrays_take_their_stride, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
