/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A debugger that steps through allocate and release one instruction at a time: each step restarts the sequence that
 * runs, so sequences must give up and leave the work to the other tiers. */
#define _GNU_SOURCE
#include "backend.h"
#include "skip.h"
#include "support.h"
#include "threads.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAIRS = 24, CAPACITY = 4000 };

/* A pair takes some thousand steps when every sequence gives up; without a bound it never ends. */
#define MOST_STEPS 1500000l

enum child_exit { CHILD_DONE = 0, CHILD_STATUS = 1, CHILD_COUNT = 2, CHILD_UNTRACED = 3 };

static slabby_allocator *stepped_pool;

static int child_life(void) {
    slabby_stats stats = {.struct_size = sizeof stats};
    slabby_ref refs[PAIRS];

    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        return CHILD_UNTRACED;
    raise(SIGSTOP);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < PAIRS; i++)
            if (slabby_allocate(&refs[i], NULL, stepped_pool) != SLABBY_OK)
                return CHILD_STATUS;
        for (int i = 0; i < PAIRS; i++)
            if (slabby_release(stepped_pool, refs[i]) != SLABBY_OK)
                return CHILD_STATUS;
    }
    raise(SIGSTOP);
    if (slabby_get_stats(&stats, stepped_pool) != SLABBY_OK || stats.used_slabs != 0 ||
        stats.total_allocations != 2 * PAIRS || stats.total_deallocations != 2 * PAIRS)
        return CHILD_COUNT;
    return CHILD_DONE;
}

/* From the child's first stop to its second, one instruction at a time. */
static long step_through(pid_t child) {
    int status = 0;
    long steps = 0;

    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_UNTRACED)
        skip_all("this process may not trace its child");
    assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    do {
        assert_true(steps < MOST_STEPS);
        assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSTOPPED(status));
        steps++;
    } while (WSTOPSIG(status) != SIGSTOP);
    return steps;
}

static void step_on(int64_t backend) {
    int status = 0;

    if (!backend_is_here(backend))
        skip();
    stepped_pool = make_pool(256, CAPACITY, WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, backend}));
    /* with its child: on two CPUs each step would wake the other one */
    (void)run_on((unsigned)sched_getcpu());
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0)
        _exit(child_life());
    long steps = step_through(child);

    assert_int_equal(ptrace(PTRACE_CONT, child, NULL, NULL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), CHILD_DONE);
    printf("%s: %ld steps for %d pairs\n", backend_name(backend), steps, 2 * PAIRS);
    finish(stepped_pool);
}

/* Guards: bounded restarts, and that what a stepped sequence did not do is done once by another tier. */
static void stepping_ends_with_rseq(void **state) {
    (void)state;
    step_on(SLABBY_CPU_CACHE_BACKEND_RSEQ);
}

static void stepping_ends_with_portable(void **state) {
    (void)state;
    step_on(SLABBY_CPU_CACHE_BACKEND_PORTABLE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stepping_ends_with_rseq),
        cmocka_unit_test(stepping_ends_with_portable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
