/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Every pair of options: both work together, or create refuses them and names both. */
#define _GNU_SOURCE
#include "support.h"

#include <stdlib.h>
#include <string.h>

/* value 0 in a conflict: any but 0. sometimes: the core looks at more than the two values. */
struct option_value {
    int32_t option;
    int64_t value;
};

struct expected_conflict {
    int32_t first;
    int64_t first_value;
    int32_t second;
    int64_t second_value;
    int sometimes;
};

#include "contract_pairs.h"

#define SLAB_SIZE 100
#define CAPACITY 12

static const char *name_of(int32_t option) {
    slabby_options *options = NULL;
    static slabby_error error;
    char *end;

    /* A value beyond every range is refused by the option's name. */
    error = fresh_error();
    CHECK_STATUS(slabby_options_create(&options), SLABBY_OK);
    CHECK_STATUS(slabby_options_set(options, option, INT64_MIN, &error), SLABBY_INVALID_OPTION);
    slabby_options_destroy(options);
    assert_memory_equal(error.text, "option ", 7);
    end = strchr(error.text + 7, ' ');
    assert_non_null(end);
    *end = '\0';
    return error.text + 7;
}

static int is_side(int32_t option, int64_t excluded, const struct option_value *given) {
    return given->option == option && given->value != 0 && (excluded == 0 || given->value == excluded);
}

static const struct expected_conflict *conflict_of(const struct option_value *one,
                                                   const struct option_value *other) {
    for (size_t i = 0; i < COUNT_OF(expected_conflicts); i++) {
        const struct expected_conflict *row = &expected_conflicts[i];

        if ((is_side(row->first, row->first_value, one) && is_side(row->second, row->second_value, other)) ||
            (is_side(row->first, row->first_value, other) && is_side(row->second, row->second_value, one)))
            return row;
    }
    return NULL;
}

/* ---------------------------------------------------------------------------------------- what works is used */

static void fill(uint8_t *data, uint8_t seed) {
    for (size_t i = 0; i < SLAB_SIZE; i++)
        data[i] = (uint8_t)(seed + i);
}

static void check_filled(const uint8_t *data, uint8_t seed) {
    for (size_t i = 0; i < SLAB_SIZE; i++)
        assert_int_equal(data[i], (uint8_t)(seed + i));
}

/* Every slab is taken, written and compared, by reference and then by id, and given back. */
static void use(slabby_allocator *pool) {
    slabby_ref refs[CAPACITY];
    uint32_t ids[CAPACITY];
    void *datas[CAPACITY];

    for (size_t i = 0; i < CAPACITY; i++) {
        CHECK_STATUS(slabby_allocate(&refs[i], &datas[i], pool), SLABBY_OK);
        fill(datas[i], (uint8_t)(16 * i));
    }
    check_sound(pool, CAPACITY);
    for (size_t i = 0; i < CAPACITY; i++) {
        void *again = NULL;

        CHECK_STATUS(slabby_data(&again, pool, refs[i]), SLABBY_OK);
        assert_ptr_equal(again, datas[i]);
        check_filled(again, (uint8_t)(16 * i));
        CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
    }
    for (size_t i = 0; i < CAPACITY; i++) {
        CHECK_STATUS(slabby_allocate_fast(&datas[i], &ids[i], pool), SLABBY_OK);
        fill(datas[i], (uint8_t)i);
    }
    for (size_t i = 0; i < CAPACITY; i++) {
        check_filled(datas[i], (uint8_t)i);
        CHECK_STATUS(slabby_deallocate_fast(pool, ids[i]), SLABBY_OK);
    }
    check_sound(pool, 0);
    assert_int_equal(stats_of(pool).corruptions, 0);
    assert_int_equal(stats_of(pool).total_allocations, 2 * CAPACITY);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

/* ----------------------------------------------------------------------------------------------- the pairs */

static slabby_status try_values(const struct option_value *one, const struct option_value *other,
                                slabby_error *error) {
    slabby_allocator *pool = NULL;
    slabby_status status;

    *error = fresh_error();
    status = try_pool(&pool, SLAB_SIZE, CAPACITY,
                      WITH({one->option, one->value}, {other ? other->option : 0, other ? other->value : 0}),
                      error);
    if (status == SLABBY_OK)
        use(pool);
    return status;
}

/* Beside a conflict only what one of the two is refused for alone, or a limit of the machine's. */
static int is_excused(slabby_status status, const struct option_value *one,
                      const struct option_value *other) {
    slabby_error error;

    if (status == SLABBY_NO_SYSTEM_MEMORY &&
        (one->option == SLABBY_OPTION_LOCK_MEMORY || other->option == SLABBY_OPTION_LOCK_MEMORY))
        return 1;
    return try_values(one, NULL, &error) == status || try_values(other, NULL, &error) == status;
}

static void check_pair(const struct option_value *one, const struct option_value *other) {
    const struct expected_conflict *expected = conflict_of(one, other);
    slabby_error error;
    slabby_status status = try_values(one, other, &error);
    int named, reported;

    if (status == SLABBY_OK ? expected == NULL || expected->sometimes : is_excused(status, one, other))
        return;
    named = strstr(error.text, name_of(one->option)) && strstr(error.text, name_of(other->option));
    reported = status == SLABBY_OPTION_CONFLICT && expected != NULL && named;
    if (!reported) {
        print_error("%s = %lld", name_of(one->option), (long long)one->value);
        print_error(" with %s = %lld", name_of(other->option), (long long)other->value);
        print_error(": %s: %s; the contract lists %s conflict of theirs\n", slabby_status_name(status),
                    error.text, expected ? "a" : "no");
    }
    assert_true(reported);
}

/* Guards: no pair of options is accepted and broken, none is refused without both names, and the contract's list
 * of conflicts is what create answers. */
static void every_pair_works_or_names_both(void **state) {
    size_t step = TEST_UNDER_TSAN ? 7 : 1;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(values_that_matter); i++)
        for (size_t j = i + 1; j < COUNT_OF(values_that_matter); j++)
            if (values_that_matter[i].option != values_that_matter[j].option && (i + j) % step == 0)
                check_pair(&values_that_matter[i], &values_that_matter[j]);
}

/* Guards: the error names the options themselves, so that the test above compares names. */
static void refusals_begin_with_the_name(void **state) {
    (void)state;
    assert_string_equal(name_of(SLABBY_OPTION_SHARDS), "shards");
    assert_string_equal(name_of(SLABBY_OPTION_PREFAULT), "prefault");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals_begin_with_the_name),
        cmocka_unit_test(every_pair_works_or_names_both),
    };

    (void)putenv((char[]){"SLABBY_GUARD_SAMPLE_RATE=0"}); /* off, as without it */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
