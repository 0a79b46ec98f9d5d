/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Options from any text: what is accepted is in range, what is refused changes nothing and says why, and the set makes
 * a pool or is refused with reasons. */
#include "fuzz.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "api/option_values.h"

#include <slabby/slabby.h>

enum { SETTINGS_LIMIT = 12, TEXT_LIMIT = 100 };

/* A pool of more would cost the fuzzer its speed. */
enum { HEAVY = 5000 };

static void require_reason(slabby_status status, const slabby_error *error) {
    FUZZ_REQUIRE(error->status == status);
    FUZZ_REQUIRE(memchr(error->text, '\0', sizeof error->text) != NULL);
    FUZZ_REQUIRE(error->text[0] != '\0');
}

static void require_in_range(const struct slb_options *values) {
    for (int32_t id = 1; id <= SLB_OPTION_COUNT; id++) {
        const struct slb_option_info *info = slb_option_info(id);
        if (info->kind == SLB_KIND_TEXT || (values->set >> (id - 1) & 1) == 0)
            continue;
        FUZZ_REQUIRE(values->value[id - 1] >= info->minimum && values->value[id - 1] <= info->maximum);
    }
    FUZZ_REQUIRE(memchr(values->name, '\0', sizeof values->name) != NULL);
}

/* Digits alone mean what they say, or are refused. */
static void require_meaning(const slabby_options *options, const char *name, const char *text) {
    const struct slb_options *values = slb_options_of(options);
    if (text[0] == '\0' || strspn(text, "0123456789") != strlen(text))
        return;
    for (int32_t id = 1; id <= SLB_OPTION_COUNT; id++) {
        const struct slb_option_info *info = slb_option_info(id);
        errno = 0;
        if (info->kind != SLB_KIND_TEXT && strcmp(info->name, name) == 0)
            FUZZ_REQUIRE(strtoll(text, NULL, 10) == values->value[id - 1] && errno == 0);
    }
}

/* One call: by name and text, by number and value, or a preset. Mostly of options that exist. */
static slabby_status set_one(slabby_options *options, struct fuzz_bytes *bytes, slabby_error *error) {
    char name[TEXT_LIMIT], text[TEXT_LIMIT];
    uint64_t selector = fuzz_number(bytes, 1);
    const struct slb_option_info *info = slb_option_info((int32_t)(selector % (SLB_OPTION_COUNT + 3)));
    if (selector >= 240) {
        (void)fuzz_text(bytes, name, sizeof name);
        return slabby_options_preset(options, name, error);
    }
    if (selector >= 200)
        return slabby_options_set(options, (int32_t)fuzz_number(bytes, 1) - 4, (int64_t)fuzz_number(bytes, 8),
                                  error);
    if (info == NULL)
        (void)fuzz_text(bytes, name, sizeof name);
    (void)fuzz_text(bytes, text, sizeof text);
    const char *chosen = info == NULL ? name : info->name;
    slabby_status status = slabby_options_set_text(options, chosen, text, error);
    if (status == SLABBY_OK)
        require_meaning(options, chosen, text);
    return status;
}

static void set_and_check(slabby_options *options, struct fuzz_bytes *bytes) {
    struct slb_options before = *slb_options_of(options);
    slabby_error error = {.struct_size = sizeof error};
    slabby_status status = set_one(options, bytes, &error);
    if (status != SLABBY_OK) {
        require_reason(status, &error);
        FUZZ_REQUIRE(memcmp(&before, slb_options_of(options), sizeof before) == 0);
    }
    require_in_range(slb_options_of(options));
}

static bool is_heavy(const struct slb_options *values) {
    const int32_t sizes[] = {SLABBY_OPTION_SHARDS,      SLABBY_OPTION_ALIGNMENT,
                             SLABBY_OPTION_GUARD_SLOTS, SLABBY_OPTION_AUDIT,
                             SLABBY_OPTION_REUSE_DELAY, SLABBY_OPTION_HEAP_FALLBACK_LIMIT,
                             SLABBY_OPTION_MAX_CAPACITY};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (values->value[sizes[i] - 1] > HEAVY)
            return true;
    return false;
}

/* Whatever was accepted makes a pool that works, or is refused with the reason. */
static void make_a_pool(slabby_options *options, uint64_t slab_size, uint64_t capacity) {
    slabby_error error = {.struct_size = sizeof error};
    slabby_allocator *pool = NULL;
    slabby_status status = slabby_create(&pool, slab_size, capacity, options, &error);
    slabby_ref ref;
    int64_t value;
    if (status != SLABBY_OK) {
        require_reason(status, &error);
        FUZZ_REQUIRE(pool == NULL);
        return;
    }
    for (int32_t id = 1; id <= SLB_OPTION_COUNT; id++) {
        bool text = slb_option_info(id)->kind == SLB_KIND_TEXT;
        FUZZ_REQUIRE(slabby_get_option(&value, pool, id) == (text ? SLABBY_INVALID_ARGUMENT : SLABBY_OK));
    }
    FUZZ_REQUIRE(slabby_allocate(&ref, NULL, pool) == SLABBY_OK);
    FUZZ_REQUIRE(slabby_release(pool, ref) == SLABBY_OK);
    FUZZ_REQUIRE(slabby_destroy(pool) == SLABBY_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_bytes bytes = {data, size};
    slabby_options *options = NULL;
    FUZZ_REQUIRE(slabby_options_create(&options) == SLABBY_OK);
    uint64_t slab_size = 1 + fuzz_number(&bytes, 1), capacity = 1 + fuzz_number(&bytes, 1) % 40;
    for (int count = 0; bytes.left > 0 && count < SETTINGS_LIMIT; count++)
        set_and_check(options, &bytes);
    if (!is_heavy(slb_options_of(options)))
        make_a_pool(options, slab_size, capacity);
    slabby_options_destroy(options);
    return 0;
}
