/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The library as users have it, in the surroundings that the caller of this program made: a tunable, a preloaded
 * library, valgrind.
 *
 *   trap_surroundings [--backend rseq|portable] [--owner] [--one-cpu]
 *
 * --backend: what `auto` must choose; portable also means that rseq is refused by name. --owner: a preloaded library
 * has registered restartable sequences of its own, which must go on unharmed. --one-cpu: a preloaded library hides all
 * CPUs but the first. */
#define _GNU_SOURCE
#include "backend.h"
#include "exercise.h"
#include "skip.h"
#include "support.h"
#include "threads.h"

#include <dlfcn.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4, CAPACITY = 4000 };

static int64_t expected_backend = SLABBY_CPU_CACHE_BACKEND_AUTO;
static int with_owner, with_one_cpu;

/* Guards: `auto` takes what the process has, and an explicit rseq is refused in words where there is none. */
static void the_backend_fits_the_process(void **state) {
    slabby_allocator *pool = make_pool(256, CAPACITY, NULL);
    slabby_allocator *refused = NULL;
    slabby_error error = fresh_error();
    int64_t backend = backend_of(pool);

    (void)state;
    printf("auto is %s\n", backend_name(backend));
    if (expected_backend != SLABBY_CPU_CACHE_BACKEND_AUTO)
        assert_string_equal(backend_name(backend), backend_name(expected_backend));
    if (backend == SLABBY_CPU_CACHE_BACKEND_PORTABLE) {
        CHECK_STATUS(try_pool(&refused, 256, CAPACITY,
                              WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, SLABBY_CPU_CACHE_BACKEND_RSEQ}), &error),
                     SLABBY_NOT_SUPPORTED);
        assert_null(refused);
        assert_int_equal(error.status, SLABBY_NOT_SUPPORTED);
        assert_int_equal(error.option, SLABBY_OPTION_CPU_CACHE_BACKEND);
        assert_non_null(strstr(error.text, "cpu_cache_backend = rseq"));
        assert_non_null(strstr(error.text, "portable"));
    }
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

/* Guards: every backend the process has works in these surroundings, to the last slab and count. */
static void every_backend_works(void **state) {
    static const int64_t backends[] = {SLABBY_CPU_CACHE_BACKEND_AUTO, SLABBY_CPU_CACHE_BACKEND_RSEQ,
                                       SLABBY_CPU_CACHE_BACKEND_PORTABLE};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(backends); i++) {
        if (!backend_is_here(backends[i]))
            continue;
        slabby_allocator *pool =
            make_pool(256, CAPACITY, WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, backends[i]}));
        uint64_t allocations = exercise_pool(pool, THREADS, scaled(200000));
        slabby_stats stats = stats_of(pool);

        assert_int_equal(stats.total_allocations, allocations);
        assert_int_equal(stats.total_deallocations, allocations);
        finish(pool);
    }
}

/* Guards: the other owner's registration is neither replaced nor written to. */
static void the_other_owner_is_left_alone(void **state) {
    int (*owner_holds)(void) = (int (*)(void))(intptr_t)dlsym(RTLD_DEFAULT, "trap_owner_holds");

    (void)state;
    if (!with_owner)
        skip();
    assert_non_null(owner_holds);
    slabby_allocator *pool = make_pool(256, CAPACITY, NULL);

    (void)exercise_pool(pool, THREADS, scaled(200000));
    assert_int_equal(owner_holds(), 1);
    finish(pool);
}

extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

/* Guards: the first word of a thread's area is not read: other allocators keep marks of their own there. */
static void marks_in_the_first_word_do_not_matter(void **state) {
    (void)state;
    if (with_one_cpu || !backend_is_here(SLABBY_CPU_CACHE_BACKEND_RSEQ) || &__rseq_size == NULL)
        skip();
    volatile uint32_t *word = (volatile uint32_t *)((char *)__builtin_thread_pointer() + __rseq_offset);
    uint32_t before = *word;
    slabby_allocator *pool =
        make_pool(256, CAPACITY, WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, SLABBY_CPU_CACHE_BACKEND_RSEQ}));
    uint64_t pairs = scaled(200000);

    for (uint64_t i = 0; i < pairs; i++) {
        *word = 0x80000000u | (uint32_t)i;
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    }
    *word = before;
    assert_true(stats_of(pool).pcpu_cache_hits > pairs / 2);
    assert_int_equal(stats_of(pool).total_allocations, pairs);
    finish(pool);
}

/* Guards: a thread on a CPU that the tables do not know gets its slabs from the other tiers. */
static void cpus_past_the_table_work(void **state) {
    cpu_set_t before;
    int64_t shards = 0;

    (void)state;
    if (!with_one_cpu)
        skip();
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    if (!CPU_ISSET(1, &before))
        skip_all("this process may not run on a second CPU");
    slabby_allocator *pool = make_pool(256, CAPACITY, NULL);

    CHECK_STATUS(slabby_get_option(&shards, pool, SLABBY_OPTION_SHARDS), SLABBY_OK);
    assert_int_equal(shards, 1); /* the core believed in one CPU */
    assert_true(run_on(1));
    uint64_t allocations = exercise_pool(pool, THREADS, scaled(100000));
    slabby_stats stats = stats_of(pool);

    assert_int_equal(stats.total_allocations, allocations);
    assert_int_equal(stats.pcpu_cache_hits, 0);
    assert_true(run_on(0));
    allocations += exercise_pool(pool, THREADS, scaled(100000));
    assert_true(stats_of(pool).pcpu_cache_hits > 0);
    assert_int_equal(stats_of(pool).total_allocations, allocations);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    finish(pool);
}

static void read_arguments(int count, char **arguments) {
    for (int i = 1; i < count; i++) {
        if (!strcmp(arguments[i], "--owner")) {
            with_owner = 1;
        } else if (!strcmp(arguments[i], "--one-cpu")) {
            with_one_cpu = 1;
        } else if (!strcmp(arguments[i], "--backend") && i + 1 < count) {
            int rseq = !strcmp(arguments[++i], "rseq");

            expected_backend = rseq ? SLABBY_CPU_CACHE_BACKEND_RSEQ : SLABBY_CPU_CACHE_BACKEND_PORTABLE;
        } else {
            fprintf(stderr, "no argument \"%s\"\n", arguments[i]);
            exit(2);
        }
    }
}

int main(int count, char **arguments) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_backend_fits_the_process),
        cmocka_unit_test(every_backend_works),
        cmocka_unit_test(the_other_owner_is_left_alone),
        cmocka_unit_test(marks_in_the_first_word_do_not_matter),
        cmocka_unit_test(cpus_past_the_table_work),
    };

    read_arguments(count, arguments);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
