/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the tests use of cmocka, for targets that no package of cmocka is for (musl, Windows): -DSLABBY_OWN_CMOCKA=ON.
 * Same names, so that a test is written once. */
#ifndef SLABBY_OWN_CMOCKA_H
#define SLABBY_OWN_CMOCKA_H

#include <stddef.h>
#include <stdint.h>

typedef void (*CMUnitTestFunction)(void **state);
typedef int (*CMFixtureFunction)(void **state);

struct CMUnitTest {
    const char *name;
    CMUnitTestFunction test_func;
    CMFixtureFunction setup_func, teardown_func;
    void *initial_state;
};

#define cmocka_unit_test(function)                                                                           \
    { #function, function, NULL, NULL, NULL }
#define cmocka_unit_test_setup_teardown(function, setup, teardown)                                           \
    { #function, function, setup, teardown, NULL }
#define cmocka_run_group_tests(tests, setup, teardown)                                                       \
    own_cmocka_run(#tests, tests, sizeof tests / sizeof tests[0], setup, teardown)
#define cmocka_run_group_tests_name(name, tests, setup, teardown)                                            \
    own_cmocka_run(name, tests, sizeof tests / sizeof tests[0], setup, teardown)

int own_cmocka_run(const char *group, const struct CMUnitTest *tests, size_t count, CMFixtureFunction setup,
                   CMFixtureFunction teardown);
void cmocka_set_test_filter(const char *name);

void print_message(const char *format, ...) __attribute__((format(printf, 1, 2)));
void print_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Each ends the test where it does not hold. */
void _fail(const char *file, int line) __attribute__((noreturn));
void own_cmocka_skip(void) __attribute__((noreturn));
void own_cmocka_equal(uint64_t a, uint64_t b, int wanted, const char *file, int line);
void own_cmocka_text(const char *a, const char *b, int wanted, const char *file, int line);
void own_cmocka_memory(const void *a, const void *b, size_t size, int wanted, const char *file, int line);
void own_cmocka_range(uint64_t value, uint64_t low, uint64_t high, const char *file, int line);
void own_cmocka_true(int holds, const char *text, const char *file, int line);

#define assert_true(c) own_cmocka_true(!!(c), #c, __FILE__, __LINE__)
#define assert_false(c) own_cmocka_true(!(c), "not " #c, __FILE__, __LINE__)
#define assert_non_null(p) own_cmocka_true((p) != NULL, #p " is not null", __FILE__, __LINE__)
#define assert_null(p) own_cmocka_true((p) == NULL, #p " is null", __FILE__, __LINE__)
#define assert_int_equal(a, b) own_cmocka_equal((uint64_t)(a), (uint64_t)(b), 1, __FILE__, __LINE__)
#define assert_int_not_equal(a, b) own_cmocka_equal((uint64_t)(a), (uint64_t)(b), 0, __FILE__, __LINE__)
#define assert_ptr_equal(a, b) own_cmocka_equal((uintptr_t)(a), (uintptr_t)(b), 1, __FILE__, __LINE__)
#define assert_ptr_not_equal(a, b) own_cmocka_equal((uintptr_t)(a), (uintptr_t)(b), 0, __FILE__, __LINE__)
#define assert_string_equal(a, b) own_cmocka_text(a, b, 1, __FILE__, __LINE__)
#define assert_string_not_equal(a, b) own_cmocka_text(a, b, 0, __FILE__, __LINE__)
#define assert_memory_equal(a, b, size) own_cmocka_memory(a, b, size, 1, __FILE__, __LINE__)
#define assert_memory_not_equal(a, b, size) own_cmocka_memory(a, b, size, 0, __FILE__, __LINE__)
#define assert_in_range(value, low, high)                                                                    \
    own_cmocka_range((uint64_t)(value), (uint64_t)(low), (uint64_t)(high), __FILE__, __LINE__)
#define fail() _fail(__FILE__, __LINE__)
#define skip() own_cmocka_skip()
#define fail_msg(...)                                                                                        \
    do {                                                                                                     \
        print_error(__VA_ARGS__);                                                                            \
        print_error("\n");                                                                                   \
        _fail(__FILE__, __LINE__);                                                                           \
    } while (0)

#endif
