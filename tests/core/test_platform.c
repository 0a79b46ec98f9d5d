/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What slabby_platform_text says of this machine is what pools then do. */
#define _GNU_SOURCE
#include "support.h"

#include "os/os.h"

#include <string.h>

static char text[4096];

static void read_text(void) {
    uint64_t length;
    CHECK_STATUS(slabby_platform_text(text, sizeof text, &length), SLABBY_OK);
    assert_int_equal(strlen(text), length);
}

static bool says(const char *line) {
    return strstr(text, line) != NULL;
}

static slabby_status create_with(int32_t option, int64_t value) {
    slabby_allocator *pool = NULL;
    slabby_options *options;
    CHECK_STATUS(slabby_options_create(&options), SLABBY_OK);
    CHECK_STATUS(slabby_options_set(options, option, value, NULL), SLABBY_OK);
    slabby_status status = slabby_create(&pool, 64, 4, options, NULL);
    slabby_options_destroy(options);
    if (status == SLABBY_OK)
        CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    return status;
}

/* Guards: every fact has its line, and each line is a name, a colon and a sentence. */
static void every_fact_has_a_line(void **state) {
    static const char *const names[] = {
        "core",       "system", "CPUs",       "cache line",    "page", "restartable sequences",
        "huge pages", "guards", "core dumps", "locked memory", "clock"};
    (void)state;
    read_text();
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char line[64];
        snprintf(line, sizeof line, "%s: ", names[i]);
        const char *at = strstr(text, line);
        assert_non_null(at);
        assert_true(at == text || at[-1] == '\n');
    }
    assert_int_equal(text[strlen(text) - 1], '\n');
}

/* Guards: what is said to be refused is refused, and what is said to be there is. */
static void pools_do_what_it_says(void **state) {
    (void)state;
    read_text();
    assert_true(says("restartable sequences: yes") != says("restartable sequences: no"));
    assert_true((create_with(SLABBY_OPTION_CPU_CACHE_BACKEND, SLABBY_CPU_CACHE_BACKEND_RSEQ) == SLABBY_OK) ==
                says("restartable sequences: yes"));
    assert_true((create_with(SLABBY_OPTION_HUGE_PAGES, 1) == SLABBY_OK) == says("huge_pages is accepted"));
    assert_true((create_with(SLABBY_OPTION_GUARD_PAGES, 1) == SLABBY_OK) != says("guards: no"));
    assert_true((create_with(SLABBY_OPTION_NO_DUMP, 1) == SLABBY_OK) == says("no_dump keeps"));
}

/* Guards: a text that does not fit is cut, and its length is told. */
static void small_buffers(void **state) {
    char small[8];
    uint64_t length = 0;
    (void)state;
    CHECK_STATUS(slabby_platform_text(small, sizeof small, &length), SLABBY_BUFFER_TOO_SMALL);
    assert_string_equal(small, "core: 0");
    assert_true(length > sizeof small);
    CHECK_STATUS(slabby_platform_text(NULL, 0, &length), SLABBY_BUFFER_TOO_SMALL);
    CHECK_STATUS(slabby_platform_text(NULL, 8, &length), SLABBY_INVALID_ARGUMENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fact_has_a_line),
        cmocka_unit_test(pools_do_what_it_says),
        cmocka_unit_test(small_buffers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
