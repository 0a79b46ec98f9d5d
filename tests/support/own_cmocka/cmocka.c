/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cmocka.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { FAILED = 1, SKIPPED };
static jmp_buf after_test;
static const char *filter;

void cmocka_set_test_filter(const char *name) {
    filter = name;
}

void print_message(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stdout, format, arguments);
    va_end(arguments);
    fflush(stdout);
}

void print_error(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
}

void _fail(const char *file, int line) {
    fprintf(stderr, "%s:%d: error: Failure!\n", file, line);
    longjmp(after_test, FAILED);
}

void own_cmocka_skip(void) {
    longjmp(after_test, SKIPPED);
}

void own_cmocka_equal(uint64_t a, uint64_t b, int wanted, const char *file, int line) {
    if ((a == b) == wanted)
        return;
    fprintf(stderr, "%" PRIu64 " (%#" PRIx64 ") %s %" PRIu64 " (%#" PRIx64 ")\n", a, a,
            wanted ? "!=" : "==", b, b);
    _fail(file, line);
}

void own_cmocka_text(const char *a, const char *b, int wanted, const char *file, int line) {
    if ((strcmp(a, b) == 0) == wanted)
        return;
    fprintf(stderr, "\"%s\" %s \"%s\"\n", a, wanted ? "!=" : "==", b);
    _fail(file, line);
}

void own_cmocka_memory(const void *a, const void *b, size_t size, int wanted, const char *file, int line) {
    if ((memcmp(a, b, size) == 0) == wanted)
        return;
    fprintf(stderr, "%zu bytes %s\n", size, wanted ? "differ" : "are equal");
    _fail(file, line);
}

void own_cmocka_range(uint64_t value, uint64_t low, uint64_t high, const char *file, int line) {
    if (low <= value && value <= high)
        return;
    fprintf(stderr, "%" PRIu64 " is not within %" PRIu64 " and %" PRIu64 "\n", value, low, high);
    _fail(file, line);
}

void own_cmocka_true(int holds, const char *text, const char *file, int line) {
    if (holds)
        return;
    fprintf(stderr, "does not hold: %s\n", text);
    _fail(file, line);
}

/* Where a fixture fails, the test has failed. */
static int fixture(CMFixtureFunction function, void **state) {
    if (function == NULL)
        return 0;
    if (setjmp(after_test) != 0)
        return FAILED;
    return function(state) == 0 ? 0 : FAILED;
}

static int body(CMUnitTestFunction function, void **state) {
    int jumped = setjmp(after_test);
    if (jumped == 0)
        function(state);
    return jumped;
}

static int run_one(const struct CMUnitTest *test, void **state) {
    int result = fixture(test->setup_func, state);
    if (result == 0)
        result = body(test->test_func, state);
    return fixture(test->teardown_func, state) == FAILED ? FAILED : result;
}

static const char *result_text(int result) {
    return result == FAILED ? "FAILED" : result == SKIPPED ? "SKIPPED" : "    OK";
}

int own_cmocka_run(const char *group, const struct CMUnitTest *tests, size_t count, CMFixtureFunction setup,
                   CMFixtureFunction teardown) {
    int failed = 0, ran = 0;
    void *group_state = NULL;
    if (fixture(setup, &group_state) == FAILED)
        return 1;
    for (size_t i = 0; i < count; i++) {
        void *state = tests[i].initial_state != NULL ? tests[i].initial_state : group_state;
        if (filter != NULL && strcmp(filter, tests[i].name) != 0)
            continue;
        int result = run_one(&tests[i], &state);
        print_error("[  %s ] %s\n", result_text(result), tests[i].name);
        failed += result == FAILED;
        ran++;
    }
    failed += fixture(teardown, &group_state) == FAILED;
    print_error("[==========] %s: %d test(s) run, %d failed\n", group, ran, failed);
    return failed;
}
