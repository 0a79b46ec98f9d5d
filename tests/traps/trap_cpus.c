/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A machine with many CPUs that the process hardly uses, as in a container: a pair and a refusal must take as many
 * instructions as on a machine with two. Counted by stepping through them, without restartable sequences, which each
 * step would restart. */
#define _GNU_SOURCE
#include "skip.h"
#include "support.h"

#include <dlfcn.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLABS = 500, BURST = 100, ROUNDS = 1, REFUSALS = 5, CHILD_FAILED = 1, CHILD_UNTRACED = 3 };

/* In hundredths of what it is with two CPUs. */
enum { MOST_GROWTH = 120 };

static long pretended_cpus;

/* In place of the C library's, for the core as well. */
__attribute__((visibility("default"))) long sysconf(int name) {
    long (*next)(int) = (long (*)(int))(intptr_t)dlsym(RTLD_NEXT, "sysconf");

    if (pretended_cpus != 0 && (name == _SC_NPROCESSORS_CONF || name == _SC_NPROCESSORS_ONLN))
        return pretended_cpus;
    return next(name);
}

struct counts {
    long pairs, refusals;
};

/* With its child: on two CPUs each step would wake the other one. */
static void stay_on_one_cpu(void) {
    cpu_set_t only;
    int cpu = sched_getcpu();

    CPU_ZERO(&only);
    CPU_SET((size_t)(cpu < 0 ? 0 : cpu), &only);
    (void)sched_setaffinity(0, sizeof only, &only);
}

static int take_many(slabby_allocator *pool, slabby_ref *refs, int count) {
    for (int i = 0; i < count; i++)
        if (slabby_allocate(&refs[i], NULL, pool) != SLABBY_OK)
            return CHILD_FAILED;
    return 0;
}

static int burst(slabby_allocator *pool, slabby_ref *refs) {
    if (take_many(pool, refs, BURST) != 0)
        return CHILD_FAILED;
    for (int i = 0; i < BURST; i++)
        if (slabby_release(pool, refs[i]) != SLABBY_OK)
            return CHILD_FAILED;
    return 0;
}

/* Pairs are counted between the first two stops, each refusal between two of the others. */
static int child_life(void) {
    static slabby_ref refs[SLABS];
    slabby_allocator *pool =
        make_pool(64, SLABS, WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, SLABBY_CPU_CACHE_BACKEND_PORTABLE}));
    slabby_ref ref;
    int failed = 0;

    failed |= burst(pool, refs);
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        return CHILD_UNTRACED;
    raise(SIGSTOP);
    for (int round = 0; round < ROUNDS; round++)
        failed |= burst(pool, refs);
    raise(SIGSTOP);
    failed |= take_many(pool, refs, SLABS);
    failed |= slabby_allocate(&ref, NULL, pool) != SLABBY_OUT_OF_MEMORY; /* closes the gate */
    raise(SIGSTOP);
    for (int i = 0; i < REFUSALS; i++) {
        failed |= slabby_allocate(&ref, NULL, pool) != SLABBY_OUT_OF_MEMORY;
        raise(SIGSTOP);
    }
    return failed;
}

static void expect_stop(pid_t child) {
    int status = 0;

    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_UNTRACED)
        skip_all("this process may not trace its child");
    assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
}

/* Steps to the child's next stop. */
static long count_steps(pid_t child) {
    long steps = 0;
    int status = 0;

    do {
        assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSTOPPED(status));
        steps++;
    } while (WSTOPSIG(status) != SIGSTOP);
    return steps;
}

/* The cheapest: how many of them write an event depends on how long the steps take. */
static long count_refusals(pid_t child) {
    long least = count_steps(child);

    for (int i = 1; i < REFUSALS; i++) {
        long steps = count_steps(child);

        least = steps < least ? steps : least;
    }
    return least;
}

static struct counts count_with(long cpus) {
    struct counts counts;
    int status = 0;

    pretended_cpus = cpus;
    stay_on_one_cpu();
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0)
        _exit(child_life());
    expect_stop(child);
    counts.pairs = count_steps(child) / (ROUNDS * BURST);
    assert_int_equal(ptrace(PTRACE_CONT, child, NULL, NULL), 0);
    expect_stop(child);
    counts.refusals = count_refusals(child);
    assert_int_equal(ptrace(PTRACE_CONT, child, NULL, NULL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    printf("%4ld CPUs configured: %ld instructions a pair, %ld a refusal\n", cpus, counts.pairs,
           counts.refusals);
    return counts;
}

static bool is_more(struct counts many, struct counts few) {
    return many.pairs * 100 > few.pairs * MOST_GROWTH || many.refusals * 100 > few.refusals * MOST_GROWTH;
}

/* Guards: caches, counters and shards that no CPU in use has touched cost nothing. How many pairs are timed depends on
 * how long the steps take, so a count that is too high is taken again. */
static void cost_follows_the_cpus_in_use(void **state) {
    static const long configured[] = {64, 256, 1024};
    struct counts two = count_with(2);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(configured); i++) {
        struct counts many = count_with(configured[i]);

        for (int again = 0; again < 4 && is_more(many, two); again++)
            many = count_with(configured[i]);
        assert_false(is_more(many, two));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(cost_follows_the_cpus_in_use)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
