/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fork: the child goes on with its own copy of every pool, references included, and so does the parent. */
#define _GNU_SOURCE
#include "backend.h"
#include "exercise.h"
#include "support.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CAPACITY = 2000, HELD = 300 };

static slabby_ref held[HELD];

#define REQUIRE(law)                                                                                         \
    do {                                                                                                     \
        if (!(law)) {                                                                                        \
            fprintf(stderr, "in the child, line %d: %s\n", __LINE__, #law);                                  \
            return 0;                                                                                        \
        }                                                                                                    \
    } while (0)

static int is_sound(slabby_allocator *pool, uint64_t used) {
    slabby_stats stats = {.struct_size = sizeof stats};
    uint64_t findings = 0;

    REQUIRE(slabby_verify(NULL, &findings, pool, 0) == SLABBY_OK);
    REQUIRE(findings == 0);
    REQUIRE(slabby_get_stats(&stats, pool) == SLABBY_OK);
    REQUIRE(stats.used_slabs == used);
    return 1;
}

/* Everything once: inherited references, the rest of the pool, exhaustion with its fence, threads of the child. */
static int child_lives_on(slabby_allocator *pool) {
    slabby_ref rest[CAPACITY], extra = 0;
    uint64_t done = 0;
    void *data;

    REQUIRE(is_sound(pool, HELD));
    REQUIRE(slabby_data(&data, pool, held[0]) == SLABBY_OK);
    REQUIRE(*(slabby_ref *)data == held[0]);
    for (int i = 0; i < CAPACITY - HELD; i++)
        REQUIRE(slabby_allocate(&rest[i], NULL, pool) == SLABBY_OK);
    REQUIRE(slabby_allocate(&extra, NULL, pool) == SLABBY_OUT_OF_MEMORY);
    REQUIRE(slabby_release_batch(&done, pool, held, HELD) == SLABBY_OK);
    REQUIRE(slabby_release(pool, held[0]) == SLABBY_DOUBLE_DEALLOCATION);
    REQUIRE(slabby_release_batch(&done, pool, rest, CAPACITY - HELD) == SLABBY_OK);
    REQUIRE(is_sound(pool, 0));
    (void)exercise_pool(pool, 3, 20000);
    REQUIRE(is_sound(pool, 0));
    REQUIRE(slabby_destroy(pool) == SLABBY_OK);
    return 1;
}

static void expect_child_well(pid_t child) {
    int status = 0;

    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void fork_on(const struct setting *settings) {
    slabby_allocator *pool = make_pool(256, CAPACITY, settings);
    slabby_ref *data = NULL;

    (void)exercise_pool(pool, 3, 20000);
    for (int i = 0; i < HELD; i++) {
        CHECK_STATUS(slabby_allocate(&held[i], (void **)&data, pool), SLABBY_OK);
        *data = held[i];
    }
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0)
        _exit(!child_lives_on(pool));
    check_sound(pool, HELD);
    (void)exercise_pool(pool, 3, 20000);
    expect_child_well(child);
    for (int i = 0; i < HELD; i++)
        CHECK_STATUS(slabby_release(pool, held[i]), SLABBY_OK);
    finish(pool);
}

/* Guards: registrations of threads and of the fence, caches, references and counts all survive in both processes. */
static void both_processes_go_on(void **state) {
    (void)state;
    if (backend_is_here(SLABBY_CPU_CACHE_BACKEND_RSEQ))
        fork_on(WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, SLABBY_CPU_CACHE_BACKEND_RSEQ}));
    fork_on(WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, SLABBY_CPU_CACHE_BACKEND_PORTABLE}));
    fork_on(WITH({SLABBY_OPTION_PER_CPU_CACHE, 0}));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_processes_go_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
