/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a POSIX system sees of memory that max_capacity reserves: what it charges, refuses, copies and protects. */
#define _GNU_SOURCE
#include "support.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)
#define PAGES UINT64_C(4096)

/* ----------------------------------------------------------------------------------------- what is charged */

/* What counts against RLIMIT_DATA and, with vm.overcommit_memory = 2, against the system's limit. */
static uint64_t charged(void) {
    char line[256];
    unsigned long kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "VmData: %lu kB", &kilobytes) == 1)
            break;
    if (file != NULL)
        fclose(file);
    if (kilobytes == 0)
        skip(); /* a sandbox without /proc */
    return (uint64_t)kilobytes * 1024;
}

static uint64_t bookkeeping(slabby_allocator *pool) {
    slabby_memory memory = {.struct_size = sizeof memory};
    CHECK_STATUS(slabby_get_memory(&memory, pool), SLABBY_OK);
    return memory.word_bytes + memory.list_bytes + memory.cache_bytes + memory.record_bytes;
}

/* Guards: a pool of 8 slabs that may become a million is charged for 8, and for more as it grows; never twice. */
static void a_pool_is_charged_for_its_capacity(void **state) {
    (void)state;
    if (TEST_UNDER_SANITIZER)
        skip(); /* whose own memory is many times that */
    for (int64_t shards = 1; shards <= 64; shards *= 8) {
        uint64_t slack = 2 * MIB + (uint64_t)shards * 2 * PAGES, before = charged();
        slabby_allocator *pool =
            make_pool(4096, 8, WITH({SLABBY_OPTION_MAX_CAPACITY, 1000000}, {SLABBY_OPTION_SHARDS, shards}));
        uint64_t base = charged();
        assert_true(base - before <= bookkeeping(pool) + slack);
        write_every_slab(pool, 4096);
        CHECK_STATUS(slabby_resize(NULL, pool, 10000, NULL), SLABBY_OK);
        uint64_t grown = charged() - base;
        assert_true(grown >= 9990 * PAGES && grown <= 10000 * 4200 + slack);
        write_every_slab(pool, 4096);
        CHECK_STATUS(slabby_resize(NULL, pool, 20, NULL), SLABBY_OK);
        CHECK_STATUS(slabby_resize(NULL, pool, 10000, NULL), SLABBY_OK);
        assert_true(charged() - base <= grown + MIB);
        write_every_slab(pool, 4096);
        finish(pool);
        assert_true(charged() <= before + 2 * MIB);
    }
}

/* ------------------------------------------------------------------------------------------------- refusals */

static bool limit_data(uint64_t bytes) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_DATA, &limit) != 0)
        return false;
    limit.rlim_cur = bytes;
    return setrlimit(RLIMIT_DATA, &limit) == 0;
}

static bool explains(const slabby_error *error, const char *what) {
    bool named = error->status == SLABBY_NO_SYSTEM_MEMORY && error->value > 0 &&
                 strstr(error->text, what) != NULL && strstr(error->text, "errno 12, ENOMEM") != NULL &&
                 strstr(error->text, "RLIMIT_DATA") != NULL && strstr(error->text, "overcommit") != NULL;
    if (!named)
        print_error("%s\n", error->text);
    return named;
}

/* In a child: 0 where all is as it should be. */
static int meet_the_limit(void) {
    const struct setting *options = WITH({SLABBY_OPTION_MAX_CAPACITY, 1000000}, {SLABBY_OPTION_SHARDS, 8});
    slabby_error error = fresh_error();
    slabby_allocator *pool = NULL;
    uint64_t awaited = 77;
    if (!limit_data(charged() + 128 * MIB))
        return 2;
    if (slabby_create(&pool, 4096, 1000000, NULL, &error) != SLABBY_NO_SYSTEM_MEMORY ||
        !explains(&error, "bytes for the slabs ("))
        return 3;
    pool = make_pool(4096, 8, options);
    uint64_t before = charged();
    if (slabby_resize(&awaited, pool, 100000, &error) != SLABBY_NO_SYSTEM_MEMORY ||
        !explains(&error, "bytes for further slabs (") || awaited != 77 || stats_of(pool).total_slabs != 8)
        return 4;
    if (charged() > before + MIB / 16) /* the shards that were served are given back */
        return 5;
    write_every_slab(pool, 4096);
    CHECK_STATUS(slabby_resize(NULL, pool, 1000, NULL), SLABBY_OK);
    write_every_slab(pool, 4096);
    if (!limit_data(RLIM_INFINITY))
        return 6;
    CHECK_STATUS(slabby_resize(NULL, pool, 30000, NULL), SLABBY_OK);
    write_every_slab(pool, 4096);
    finish(pool);
    return 0;
}

/* Guards: what does not fit a limit is refused by name and changes nothing; below it the pool grows. */
static void the_limit_of_data_is_met(void **state) {
    int ended = 0;
    (void)state;
    if (TEST_UNDER_SANITIZER)
        skip();
    (void)charged();
    pid_t child = fork();
    if (child == 0)
        _exit(meet_the_limit());
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_int_equal(ended, 0);
}

/* Guards: a child goes on from what the parent has committed, each with memory of its own. */
static void a_child_of_fork_grows_on(void **state) {
    slabby_allocator *pool = make_pool(5000, 8,
                                       WITH({SLABBY_OPTION_MAX_CAPACITY, 500}, {SLABBY_OPTION_SHARDS, 4},
                                            {SLABBY_OPTION_LOCK_MEMORY, SLABBY_LOCK_MEMORY_BEST_EFFORT}));
    int ended = 0;
    (void)state;
    CHECK_STATUS(slabby_resize(NULL, pool, 100, NULL), SLABBY_OK);
    pid_t child = fork();
    if (child == 0) {
        write_every_slab(pool, 5000);
        CHECK_STATUS(slabby_resize(NULL, pool, 500, NULL), SLABBY_OK);
        write_every_slab(pool, 5000);
        _exit(slabby_destroy(pool) == SLABBY_OK ? 0 : 1);
    }
    CHECK_STATUS(slabby_resize(NULL, pool, 300, NULL), SLABBY_OK);
    write_every_slab(pool, 5000);
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_int_equal(ended, 0);
    finish(pool);
}

/* Guards: each slab that came with a growth has its guard page. The page behind it takes no byte. */
static void further_slabs_have_guard_pages(void **state) {
    slabby_allocator *pool = make_pool(
        64, 3,
        WITH({SLABBY_OPTION_MAX_CAPACITY, 64}, {SLABBY_OPTION_SHARDS, 4}, {SLABBY_OPTION_GUARD_PAGES, 1}));
    slabby_ref refs[40];
    void *data[40];
    int pipes[2];
    uint64_t released;
    (void)state;
    assert_int_equal(pipe(pipes), 0);
    CHECK_STATUS(slabby_resize(NULL, pool, 40, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_allocate_batch(refs, data, pool, 40), SLABBY_OK);
    for (int i = 0; i < 40; i++) {
        memset(data[i], 1, 64);
        assert_int_equal(write(pipes[1], data[i], 64), 64);
        assert_int_equal(write(pipes[1], (char *)data[i] + 64, 1), -1);
    }
    CHECK_STATUS(slabby_release_batch(&released, pool, refs, 40), SLABBY_OK);
    close(pipes[0]);
    close(pipes[1]);
    finish(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pool_is_charged_for_its_capacity),
        cmocka_unit_test(the_limit_of_data_is_met),
        cmocka_unit_test(a_child_of_fork_grows_on),
        cmocka_unit_test(further_slabs_have_guard_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
