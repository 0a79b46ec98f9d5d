/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Presets: each makes a pool that works and has what the contract says; later settings override. */
#include "support.h"

#include "os/os.h"
#include "slabby_contract.h"

#include <string.h>

static slabby_options *options_with(const char *preset) {
    slabby_options *options = NULL;
    CHECK_STATUS(slabby_options_create(&options), SLABBY_OK);
    CHECK_STATUS(slabby_options_preset(options, preset, NULL), SLABBY_OK);
    return options;
}

static slabby_allocator *pool_of(slabby_options *options) {
    slabby_allocator *pool = NULL;
    slabby_error error = fresh_error();
    slabby_status status = slabby_create(&pool, 1500, 64, options, &error);
    if (status != SLABBY_OK)
        print_error("%s\n", error.text);
    CHECK_STATUS(status, SLABBY_OK);
    slabby_options_destroy(options);
    return pool;
}

static int64_t option_of(slabby_allocator *pool, int32_t option) {
    int64_t value = -1;
    CHECK_STATUS(slabby_get_option(&value, pool, option), SLABBY_OK);
    return value;
}

/* Guards: every preset is one that create accepts, in effect as it is listed. */
static void every_preset_makes_a_pool(void **state) {
    (void)state;
    for (size_t i = 0; i < SLB_PRESET_COUNT; i++) {
        slabby_allocator *pool = pool_of(options_with(slb_presets[i].name));
        for (const struct slb_preset_value *value = slb_presets[i].values; value->option != 0; value++)
            assert_int_equal(option_of(pool, value->option), value->value);
        slabby_ref ref;
        CHECK_STATUS(slabby_allocate(&ref, NULL, pool), SLABBY_OK);
        CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
        check_sound(pool, 0);
        CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    }
}

/* Guards: a preset leaves what it does not name, is overridden by what comes later, and "default" undoes it. */
static void presets_are_sets_of_options(void **state) {
    (void)state;
    slabby_options *options = options_with("default");
    CHECK_STATUS(slabby_options_set(options, SLABBY_OPTION_SHARDS, 8, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_options_preset(options, "gateway", NULL), SLABBY_OK);
    CHECK_STATUS(slabby_options_set_text(options, "degrade_at", "60%", NULL), SLABBY_OK);
    slabby_allocator *pool = pool_of(options);
    assert_int_equal(option_of(pool, SLABBY_OPTION_SHARDS), 8);
    assert_int_equal(option_of(pool, SLABBY_OPTION_DEGRADE_AT), 60);
    assert_int_equal(option_of(pool, SLABBY_OPTION_SURVIVE_AT), 95);
    finish(pool);
    options = options_with("trading");
    CHECK_STATUS(slabby_options_preset(options, "default", NULL), SLABBY_OK);
    pool = pool_of(options);
    assert_int_equal(option_of(pool, SLABBY_OPTION_SECURE), 0);
    assert_int_equal(option_of(pool, SLABBY_OPTION_MAX_ALLOC_LATENCY), 0);
    finish(pool);
}

/* Guards: an unknown preset is named, the known ones are listed, and nothing changes. */
static void unknown_presets_are_refused(void **state) {
    slabby_options *options = options_with("gateway");
    slabby_error error = fresh_error();
    (void)state;
    CHECK_STATUS(slabby_options_preset(options, "Trading", &error), SLABBY_INVALID_OPTION);
    assert_non_null(strstr(error.text, "\"Trading\""));
    for (size_t i = 0; i < SLB_PRESET_COUNT; i++)
        assert_non_null(strstr(error.text, slb_presets[i].name));
    CHECK_STATUS(slabby_options_preset(options, NULL, &error), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_options_preset(NULL, "gateway", &error), SLABBY_INVALID_ARGUMENT);
    slabby_allocator *pool = pool_of(options);
    assert_int_equal(option_of(pool, SLABBY_OPTION_SURVIVE_AT), 95);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

static void note_warning(void *context, const slabby_event *event) {
    if (event->level == SLABBY_EVENT_LEVEL_WARNING && event->code == SLABBY_EVENT_CODE_OPTION_CHANGED)
        memcpy(context, event->text, sizeof event->text);
}

/* More slabs than the system has mappings for. Guard regions cost none. */
static slabby_status make_many(slabby_allocator **out, slabby_options *options, slabby_error *error) {
    slabby_status status = slabby_create(out, 1500, slb_os_guard_limit() + 1, options, error);
    slabby_options_destroy(options);
    return status;
}

/* Guards: where guard pages cost mappings, a preset's give way to patterns, and an event says so; those that were
 * requested by name are refused. */
static void guard_pages_of_a_preset_give_way(void **state) {
    char said[sizeof(slabby_event)] = "";
    slabby_error error = fresh_error();
    slabby_allocator *pool = NULL;
    slabby_options *options = options_with("packets");
    (void)state;
    if (slb_os_guard_limit() >= INT32_MAX)
        skip(); /* this system has no limit that a pool could pass */
    CHECK_STATUS(slabby_options_set(options, SLABBY_OPTION_GUARD_PAGES, 1, NULL), SLABBY_OK);
    slabby_status by_name = make_many(&pool, options, &error);
    bool regions = by_name == SLABBY_OK;
    if (regions) {
        CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    } else {
        CHECK_STATUS(by_name, SLABBY_NO_SYSTEM_MEMORY);
        assert_non_null(strstr(error.text, "or a kernel with guard regions"));
    }
    options = options_with("packets");
    CHECK_STATUS(slabby_options_set_logger(options, note_warning, said, NULL), SLABBY_OK);
    error = fresh_error();
    CHECK_STATUS(make_many(&pool, options, &error), SLABBY_OK);
    assert_string_equal(error.text, "");
    assert_int_equal(option_of(pool, SLABBY_OPTION_GUARD_PAGES), regions);
    assert_int_equal(option_of(pool, SLABBY_OPTION_BIT_GUARD), !regions);
    assert_int_equal(strstr(said, "bit_guard replaces the preset's guard_pages") != NULL, !regions);
    finish(pool);
    options = options_with("packets");
    CHECK_STATUS(slabby_options_set(options, SLABBY_OPTION_BIT_GUARD, 0, NULL), SLABBY_OK);
    CHECK_STATUS(make_many(&pool, options, &error), SLABBY_OK);
    assert_int_equal(option_of(pool, SLABBY_OPTION_BIT_GUARD), 0);
    finish(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_preset_makes_a_pool),
        cmocka_unit_test(presets_are_sets_of_options),
        cmocka_unit_test(unknown_presets_are_refused),
        cmocka_unit_test(guard_pages_of_a_preset_give_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
