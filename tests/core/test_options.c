/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The options builder against the contract: limits, defaults, text with units, hot and cold. */
#include "support.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdbool.h>
#include <string.h>

#include "contract_table.h"

static slabby_options *fresh_options(void) {
    slabby_options *options = NULL;

    CHECK_STATUS(slabby_options_create(&options), SLABBY_OK);
    assert_non_null(options);
    return options;
}

/* The text has them in the units that people write: test_create looks at that. */
static bool is_duration(int32_t id) {
    return id == SLABBY_OPTION_MAX_ALLOC_LATENCY || id == SLABBY_OPTION_CIRCUIT_BREAKER_TIMEOUT ||
           id == SLABBY_OPTION_HEALTH_INTERVAL;
}

/* The refusal names the option, the value and both limits, as numbers in the record and in the text. */
static void check_refused_value(const struct expected_option *option, int64_t value) {
    slabby_options *options = fresh_options();
    slabby_error error = fresh_error();
    char refused[32], limits[64];
    bool is_percent = option->id == SLABBY_OPTION_DEGRADE_AT || option->id == SLABBY_OPTION_SURVIVE_AT;
    const char *unit = is_percent ? "%" : "";

    (void)snprintf(refused, sizeof refused, "cannot be %" PRId64 "%s;", value, unit);
    (void)snprintf(limits, sizeof limits, "%" PRId64 "%s to %" PRId64 "%s", option->minimum, unit,
                   option->maximum, unit);
    CHECK_STATUS(slabby_options_set(options, option->id, value, &error), SLABBY_INVALID_OPTION);
    assert_int_equal(error.status, SLABBY_INVALID_OPTION);
    assert_int_equal(error.option, option->id);
    assert_true(error.value == value);
    assert_true(error.minimum == option->minimum);
    assert_true(error.maximum == option->maximum);
    assert_non_null(strstr(error.text, option->name));
    assert_true(is_duration(option->id) || strstr(error.text, refused) != NULL);
    assert_true(is_duration(option->id) || strstr(error.text, limits) != NULL);
    CHECK_STATUS(slabby_options_set(options, option->id, value, NULL), SLABBY_INVALID_OPTION);
    slabby_options_destroy(options);
}

/* Guards: both ends of every range are accepted, one step beyond is refused with the range. */
static void ranges_hold_at_both_ends(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(expected_options); i++) {
        const struct expected_option *option = &expected_options[i];
        slabby_options *options = fresh_options();

        if (option->is_text) {
            CHECK_STATUS(slabby_options_set(options, option->id, 1, NULL), SLABBY_INVALID_ARGUMENT);
        } else {
            CHECK_STATUS(slabby_options_set(options, option->id, option->minimum, NULL), SLABBY_OK);
            CHECK_STATUS(slabby_options_set(options, option->id, option->maximum, NULL), SLABBY_OK);
            check_refused_value(option, option->minimum - 1);
            check_refused_value(option, option->maximum + 1);
            check_refused_value(option, INT64_MIN);
            check_refused_value(option, INT64_MAX);
        }
        if (option->power_of_two)
            check_refused_value(option, option->maximum - 1);
        slabby_options_destroy(options);
    }
}

/* Guards: a refused value leaves the one that was set before. */
static void refusal_keeps_the_old_value(void **state) {
    slabby_options *options = fresh_options();
    slabby_allocator *pool = NULL;
    int64_t value = 0;

    (void)state;
    CHECK_STATUS(slabby_options_set(options, SLABBY_OPTION_ALIGNMENT, 256, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_options_set(options, SLABBY_OPTION_ALIGNMENT, 257, NULL), SLABBY_INVALID_OPTION);
    CHECK_STATUS(slabby_options_set_text(options, "alignment", "rubbish", NULL), SLABBY_INVALID_OPTION);
    CHECK_STATUS(slabby_create(&pool, 64, 4, options, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_get_option(&value, pool, SLABBY_OPTION_ALIGNMENT), SLABBY_OK);
    assert_int_equal(value, 256);
    slabby_options_destroy(options);
    finish(pool);
}

/* Guards: a pool made without options reports the contract's defaults as effective values. */
static void defaults_are_the_contracts(void **state) {
    slabby_allocator *pool = make_pool(64, 5000, NULL);
    int64_t value;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(expected_options); i++) {
        const struct expected_option *option = &expected_options[i];

        value = -1;
        if (option->is_text) {
            CHECK_STATUS(slabby_get_option(&value, pool, option->id), SLABBY_INVALID_ARGUMENT);
            continue;
        }
        CHECK_STATUS(slabby_get_option(&value, pool, option->id), SLABBY_OK);
        assert_in_range((uint64_t)value, (uint64_t)option->minimum, (uint64_t)option->maximum);
        if (option->default_value >= 0 && option->id != SLABBY_OPTION_CPU_CACHE_BACKEND)
            assert_int_equal(value, option->default_value);
    }
    CHECK_STATUS(slabby_get_option(&value, pool, SLABBY_OPTION_HEAP_FALLBACK_LIMIT), SLABBY_OK);
    assert_int_equal(value, 5000);
    CHECK_STATUS(slabby_get_option(&value, pool, SLABBY_OPTION_MAX_CAPACITY), SLABBY_OK);
    assert_int_equal(value, 5000);
    CHECK_STATUS(slabby_get_option(&value, pool, SLABBY_OPTION_SHARDS), SLABBY_OK);
    assert_int_equal(value & (value - 1), 0);
    finish(pool);
}

/* Guards: shards are rounded up to a power of two and the rounded number is the effective one. */
static void shards_are_rounded_up(void **state) {
    const int64_t asked[] = {1, 2, 3, 5, 16, 17, 4095, 4096};
    const int64_t got[] = {1, 2, 4, 8, 16, 32, 4096, 4096};
    int64_t value;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(asked); i++) {
        slabby_allocator *pool = make_pool(64, 10000, WITH({SLABBY_OPTION_SHARDS, asked[i]}));

        CHECK_STATUS(slabby_get_option(&value, pool, SLABBY_OPTION_SHARDS), SLABBY_OK);
        assert_int_equal(value, got[i]);
        finish(pool);
    }
}

/* A pool that asks for `option` at its default, and for nothing else. */
static slabby_allocator *pool_with_default(const struct expected_option *option) {
    slabby_options *options = fresh_options();
    slabby_allocator *pool = NULL;

    if (option->is_text)
        CHECK_STATUS(slabby_options_set_text(options, option->name, "", NULL), SLABBY_OK);
    else
        CHECK_STATUS(slabby_options_set(options, option->id, option->default_value, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_create(&pool, 64, 100, options, NULL), SLABBY_OK);
    slabby_options_destroy(options);
    return pool;
}

/* Guards: each option may be asked for at the default that the contract gives, and then is what a pool without
 * options has. */
static void defaults_may_be_asked_for(void **state) {
    slabby_allocator *plain = make_pool(64, 100, NULL);
    size_t asked = 0;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(expected_options); i++) {
        const struct expected_option *option = &expected_options[i];
        int64_t value = -1, without = -2;

        if (option->default_value < 0 && !option->is_text)
            continue; /* the core works it out from the machine or the capacity */
        slabby_allocator *pool = pool_with_default(option);
        if (!option->is_text) {
            CHECK_STATUS(slabby_get_option(&value, pool, option->id), SLABBY_OK);
            CHECK_STATUS(slabby_get_option(&without, plain, option->id), SLABBY_OK);
            assert_true(value == without);
        }
        CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
        asked++;
    }
    assert_true(asked > COUNT_OF(expected_options) / 2);
    finish(plain);
}

/* Guards: hot options change, cold ones answer ColdOption with the reason, bad values the range. */
static void hot_and_cold_are_distinguished(void **state) {
    slabby_allocator *pool = make_pool(64, 100, NULL);
    slabby_error error = fresh_error();
    int64_t value = 0;

    (void)state;
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_SECURE, 1, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_get_option(&value, pool, SLABBY_OPTION_SECURE), SLABBY_OK);
    assert_int_equal(value, 1);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_SECURE, 2, &error), SLABBY_INVALID_OPTION);
    assert_int_equal(error.option, SLABBY_OPTION_SECURE);
    assert_true(error.value == 2 && error.minimum == 0 && error.maximum == 1);
    CHECK_STATUS(slabby_get_option(&value, pool, SLABBY_OPTION_SECURE), SLABBY_OK);
    assert_int_equal(value, 1);
    error = fresh_error();
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_SHARDS, 2, &error), SLABBY_COLD_OPTION);
    assert_int_equal(error.status, SLABBY_COLD_OPTION);
    assert_non_null(strstr(error.text, "shards"));
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_NAME, 1, NULL), SLABBY_COLD_OPTION);
    CHECK_STATUS(slabby_set_option(pool, 9999, 1, NULL), SLABBY_INVALID_OPTION);
    CHECK_STATUS(slabby_get_option(&value, pool, 9999), SLABBY_INVALID_OPTION);
    CHECK_STATUS(slabby_get_option(&value, pool, 0), SLABBY_INVALID_OPTION);
    CHECK_STATUS(slabby_get_option(&value, pool, -1), SLABBY_INVALID_OPTION);
    finish(pool);
}

struct text_case {
    const char *name;
    const char *text;
    int32_t option;
    int64_t value;
};

static void check_text(const struct text_case *given) {
    slabby_options *options = fresh_options();
    slabby_allocator *pool = NULL;
    int64_t value = -1;

    CHECK_STATUS(slabby_options_set_text(options, given->name, given->text, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_create(&pool, 64, 10000, options, NULL), SLABBY_OK);
    slabby_options_destroy(options);
    CHECK_STATUS(slabby_get_option(&value, pool, given->option), SLABBY_OK);
    if (value != given->value)
        print_error("%s = %s gave %lld\n", given->name, given->text, (long long)value);
    assert_true(value == given->value);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

/* Guards: text reaches the pool as the number it means, units included. */
static void text_is_read_with_units(void **state) {
    static const struct text_case cases[] = {
        {"alignment", "4096", SLABBY_OPTION_ALIGNMENT, 4096},
        {"alignment", "4KiB", SLABBY_OPTION_ALIGNMENT, 4096},
        {"alignment", "2MiB", SLABBY_OPTION_ALIGNMENT, 2097152},
        {"shards", "8", SLABBY_OPTION_SHARDS, 8},
        {"secure", "on", SLABBY_OPTION_SECURE, 1},
        {"secure", "off", SLABBY_OPTION_SECURE, 0},
        {"per_cpu_cache", "off", SLABBY_OPTION_PER_CPU_CACHE, 0},
        {"cpu_cache_backend", "portable", SLABBY_OPTION_CPU_CACHE_BACKEND, 2},
        {"latency_tracking", "all", SLABBY_OPTION_LATENCY_TRACKING, 2},
        {"latency_tracking", "off", SLABBY_OPTION_LATENCY_TRACKING, 0},
        {"heap_fallback_limit", "77", SLABBY_OPTION_HEAP_FALLBACK_LIMIT, 77},
        {"circuit_breaker_timeout", "30s", SLABBY_OPTION_CIRCUIT_BREAKER_TIMEOUT, 30000000000},
        {"circuit_breaker_timeout", "30000ms", SLABBY_OPTION_CIRCUIT_BREAKER_TIMEOUT, 30000000000},
        {"circuit_breaker_timeout", "30000000us", SLABBY_OPTION_CIRCUIT_BREAKER_TIMEOUT, 30000000000},
        {"health_interval", "1000000000ns", SLABBY_OPTION_HEALTH_INTERVAL, 1000000000},
        {"degrade_at", "0%", SLABBY_OPTION_DEGRADE_AT, 0},
        {"degrade_at", "off", SLABBY_OPTION_DEGRADE_AT, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_text(&cases[i]);
}

/* Guards: text that cannot be read, has a foreign unit or leaves the range is refused at once. */
static void bad_text_is_refused(void **state) {
    static const char *const cases[][2] = {
        {"alignment", ""},
        {"alignment", "big"},
        {"alignment", "4KiBx"},
        {"alignment", "4s"},
        {"alignment", "-1"},
        {"alignment", "4MiB"},
        {"alignment", "3"},
        {"shards", "0"},
        {"shards", "99999999999999999999"},
        {"shards", "4KiBs"},
        {"shards", "3s"},
        {"secure", "maybe"},
        {"secure", "2"},
        {"cpu_cache_backend", "magic"},
        {"latency_tracking", "3"},
        {"health_interval", "4KiB"},
        {"health_interval", "0s"},
        {"degrade_at", "101%"},
        {"degrade_at", "%"},
        {"circuit_breaker_timeout", "999999999999h"},
        {"no_such_option", "1"},
        {"", "1"},
        {"SHARDS2", "1"},
        {"shards", "0x"},
        {"shards", "9223372036854775808"},
        {"alignment", "9007199254740992KiB"},
        {"max_alloc_latency", "5124095.5761h"}, /* of 2^64 ns and 0.25 s */
        {"max_alloc_latency", "307445734.561826m"},
    };
    slabby_options *options = fresh_options();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        slabby_error error = fresh_error();
        slabby_status status = slabby_options_set_text(options, cases[i][0], cases[i][1], &error);

        if (status != SLABBY_INVALID_OPTION)
            print_error("%s = \"%s\"\n", cases[i][0], cases[i][1]);
        CHECK_STATUS(status, SLABBY_INVALID_OPTION);
        assert_int_equal(error.status, SLABBY_INVALID_OPTION);
        assert_true(strlen(error.text) > 0);
        assert_non_null(strstr(error.text, cases[i][0]));
    }
    slabby_options_destroy(options);
}

/* Guards: a name of 63 bytes is kept whole, one of 64 is refused. */
static void names_have_a_length(void **state) {
    slabby_options *options = fresh_options();
    slabby_allocator *pool = NULL;
    slabby_ref ref;
    char name[65];
    char text[256];

    (void)state;
    memset(name, 'n', sizeof name);
    name[64] = 0;
    CHECK_STATUS(slabby_options_set_text(options, "name", name, NULL), SLABBY_INVALID_OPTION);
    name[63] = 0;
    CHECK_STATUS(slabby_options_set_text(options, "name", name, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_create(&pool, 64, 1, options, NULL), SLABBY_OK);
    slabby_options_destroy(options);
    ref = take(pool);
    CHECK_STATUS(slabby_ref_text(text, sizeof text, NULL, pool, ref), SLABBY_OK);
    assert_memory_equal(text, name, 63);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_hold_at_both_ends),   cmocka_unit_test(refusal_keeps_the_old_value),
        cmocka_unit_test(defaults_are_the_contracts), cmocka_unit_test(shards_are_rounded_up),
        cmocka_unit_test(defaults_may_be_asked_for),  cmocka_unit_test(hot_and_cold_are_distinguished),
        cmocka_unit_test(text_is_read_with_units),    cmocka_unit_test(bad_text_is_refused),
        cmocka_unit_test(names_have_a_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
