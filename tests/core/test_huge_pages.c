/* SPDX-License-Identifier: GPL-3.0-or-later */
/* huge_pages: pools lie where huge pages fit, memory() says what came of it, and a process without any is told. */
#include "support.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEBIBYTE (1ull << 20)

static uint64_t huge_page_size(void) {
    unsigned long long size = 0;
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", "r");

    if (file == NULL)
        return 0;
    if (fscanf(file, "%llu", &size) != 1)
        size = 0;
    fclose(file);
    return size;
}

static bool are_switched_off(void) {
    char text[64] = "";
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
    bool off = file == NULL || fgets(text, sizeof text, file) == NULL || strstr(text, "[never]") != NULL;

    if (file != NULL)
        fclose(file);
    return off || prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1;
}

static uint64_t huge_bytes(uint64_t slab_size, uint64_t slabs) {
    slabby_allocator *pool =
        make_pool(slab_size, slabs, WITH({SLABBY_OPTION_HUGE_PAGES, 1}, {SLABBY_OPTION_PREFAULT, 1}));
    slabby_memory memory = {.struct_size = sizeof memory};

    CHECK_STATUS(slabby_get_memory(&memory, pool), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    return memory.huge_page_bytes;
}

/* Guards: a pool of one huge page got none, one of eight seven, because it began in the middle of one. */
static void every_huge_page_fits(void **state) {
    uint64_t size = huge_page_size();

    (void)state;
    if (size != 2 * MEBIBYTE)
        skip();
    assert_int_equal(huge_bytes(64, size / 64), size);
    assert_int_equal(huge_bytes(64, 8 * size / 64), 8 * size);
    assert_int_equal(huge_bytes(64, size / 64 + 1), 2 * size);
    assert_int_equal(huge_bytes(64, 100), 0);
}

static void others_say_none(void **state) {
    slabby_allocator *pool = make_pool(64, 100000, NULL);
    slabby_memory memory = {.struct_size = sizeof memory};

    (void)state;
    CHECK_STATUS(slabby_get_memory(&memory, pool), SLABBY_OK);
    assert_int_equal(memory.huge_page_bytes, 0);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

/* Guards: the option was accepted, and did nothing. */
static void a_process_without_any_is_refused(void **state) {
    slabby_allocator *pool;
    slabby_error error = fresh_error();
    int status = 0;
    pid_t child = fork();

    (void)state;
    assert_true(child >= 0);
    if (child == 0) {
        if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0)
            _exit(77);
        slabby_status made = try_pool(&pool, 64, 100000, WITH({SLABBY_OPTION_HUGE_PAGES, 1}), &error);
        bool refused = made == SLABBY_NOT_SUPPORTED && error.option == SLABBY_OPTION_HUGE_PAGES &&
                       strstr(error.text, "switched off") != NULL;
        _exit(refused ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_huge_page_fits),
        cmocka_unit_test(others_say_none),
        cmocka_unit_test(a_process_without_any_is_refused),
    };

    if (are_switched_off()) {
        puts("skipped: huge pages are switched off here");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
