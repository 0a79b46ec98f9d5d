/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The library's own texts: versions, status names and messages, explain, reference text,
 * buffers. */
#include "support.h"

#include <string.h>

#include "contract_table.h"

/* Guards: every status of the contract has its stable name and its sentence. */
static void status_texts_follow_the_contract(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(expected_statuses); i++) {
        const struct expected_status *expected = &expected_statuses[i];
        assert_string_equal(slabby_status_name(expected->code), expected->name);
        assert_string_equal(slabby_status_message(expected->code), expected->message);
    }
}

/* Guards: numbers that are no status answer Unknown instead of reading past a table. */
static void other_numbers_are_unknown(void **state) {
    const slabby_status strange[] = {1, 2, INT32_MAX, INT32_MIN, -29, -63, -64, -65, -1000};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(strange); i++) {
        assert_string_equal(slabby_status_name(strange[i]), "Unknown");
        assert_true(strlen(slabby_status_message(strange[i])) > 0);
    }
}

/* Guards: version, ABI number and instance id are those of the contract and stay what they are. */
static void versions_are_the_contracts(void **state) {
    (void)state;
    assert_string_equal(slabby_version(), expected_version);
    assert_int_equal(slabby_abi_version(), expected_abi);
    assert_true(slabby_instance_id() != 0);
    assert_true(slabby_instance_id() == slabby_instance_id());
}

/* Guards: explain names the pool and the status, and works with what little is known. */
static void explain_tells_the_case(void **state) {
    slabby_options *options = NULL;
    slabby_allocator *pool = NULL;
    char text[1024];
    uint64_t length = 0;
    slabby_ref ref;

    (void)state;
    CHECK_STATUS(slabby_options_create(&options), SLABBY_OK);
    CHECK_STATUS(slabby_options_set_text(options, "name", "orders", NULL), SLABBY_OK);
    CHECK_STATUS(slabby_create(&pool, 64, 4, options, NULL), SLABBY_OK);
    slabby_options_destroy(options);
    ref = take(pool);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_explain(text, sizeof text, &length, pool, ref, SLABBY_DOUBLE_DEALLOCATION),
                 SLABBY_OK);
    assert_int_equal(strlen(text), length);
    assert_non_null(strstr(text, "orders"));
    CHECK_STATUS(slabby_explain(text, sizeof text, &length, NULL, 0, SLABBY_OUT_OF_MEMORY), SLABBY_OK);
    assert_true(length > 0);
    CHECK_STATUS(slabby_explain(NULL, 8, &length, pool, ref, SLABBY_OK), SLABBY_INVALID_ARGUMENT);
    finish(pool);
}

/* Guards: a small buffer learns the needed length, keeps its end, and gets the same text cut
 * short. */
static void small_buffers_get_the_length(void **state) {
    slabby_allocator *pool = make_pool(64, 4, NULL);
    slabby_ref ref = take(pool);
    char whole[512];
    char part[512];
    uint64_t length = 0;
    uint64_t needed = 0;

    (void)state;
    CHECK_STATUS(slabby_ref_text(whole, sizeof whole, &length, pool, ref), SLABBY_OK);
    assert_int_equal(strlen(whole), length);
    for (uint64_t capacity = 0; capacity <= length; capacity++) {
        memset(part, '#', sizeof part);
        needed = 0;
        CHECK_STATUS(slabby_ref_text(part, capacity, &needed, pool, ref), SLABBY_BUFFER_TOO_SMALL);
        assert_int_equal(needed, length);
        assert_int_equal(part[capacity], '#');
        if (capacity) {
            assert_int_equal(part[capacity - 1], 0);
            assert_memory_equal(part, whole, capacity - 1);
        }
    }
    CHECK_STATUS(slabby_ref_text(part, length + 1, NULL, pool, ref), SLABBY_OK);
    assert_string_equal(part, whole);
    CHECK_STATUS(slabby_ref_text(NULL, 0, &needed, pool, ref), SLABBY_BUFFER_TOO_SMALL);
    assert_int_equal(needed, length);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

/* Guards: two allocations of one slab have two texts, so that a log tells them apart. */
static void reference_texts_differ_by_generation(void **state) {
    slabby_allocator *pool = make_pool(64, 1, NULL);
    char first[128];
    char second[128];
    slabby_ref ref = take(pool);

    (void)state;
    CHECK_STATUS(slabby_ref_text(first, sizeof first, NULL, pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    ref = take(pool);
    CHECK_STATUS(slabby_ref_text(second, sizeof second, NULL, pool, ref), SLABBY_OK);
    assert_string_not_equal(first, second);
    CHECK_STATUS(slabby_ref_text(first, sizeof first, NULL, pool, ~ref), SLABBY_INVALID_REFERENCE);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_texts_follow_the_contract),
        cmocka_unit_test(other_numbers_are_unknown),
        cmocka_unit_test(versions_are_the_contracts),
        cmocka_unit_test(explain_tells_the_case),
        cmocka_unit_test(small_buffers_get_the_length),
        cmocka_unit_test(reference_texts_differ_by_generation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
