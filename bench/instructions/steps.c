/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Each stop of a stepped process restarts the restartable sequence that it is in, so a debugger never sees the fast
 * path. The child therefore takes its thread's area back from the kernel and writes the number of its CPU there
 * itself: nothing restarts it any more. That is sound while it stays on that CPU and nobody else uses the pool.
 *
 *   child    make a pool, run it warm, unregister the area, stop
 *   parent   step; each time the child enters pair_mark, a part of a pair begins or ends
 */
#define _GNU_SOURCE
#include "steps.h"

/* The area is the one that glibc registered, 2.35 or later. */
#if defined(__x86_64__) && __has_include(<sys/rseq.h>)

#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/ptrace.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WARM_UP = 20000, CAPACITY = 4096, PARTS = 3 };

/* Between two marks; a pair with everything on takes some thousand. */
enum { MOST_STEPS = 1000000 };

#define AT_RSEQ_FEATURE_SIZE_NUMBER 27 /* of linux/auxvec.h, which older systems lack */

enum child_exit { CHILD_DONE, CHILD_UNTRACED, CHILD_NO_POOL, CHILD_NO_AREA, CHILD_REFUSED, CHILD_STATUS };

static const char *const child_faults[] = {
    [CHILD_UNTRACED] = "this process may not trace its child",
    [CHILD_NO_POOL] = "the pool cannot be made",
    [CHILD_NO_AREA] = "the C library offers no restartable sequences",
    [CHILD_REFUSED] = "the system keeps the area of restartable sequences, or the thread's CPU",
    [CHILD_STATUS] = "a call was refused",
};

/* The parent counts arrivals here. */
__attribute__((noinline)) static void pair_mark(void) {
    __asm__ volatile("" ::: "memory");
}

static bool stay_on_this_cpu(unsigned *out_cpu) {
    cpu_set_t wanted;
    int cpu = sched_getcpu();
    if (cpu < 0)
        return false;
    CPU_ZERO(&wanted);
    CPU_SET((unsigned)cpu, &wanted);
    *out_cpu = (unsigned)cpu;
    return sched_setaffinity(0, sizeof wanted, &wanted) == 0;
}

/* From here on the kernel restarts nothing in this thread, and no longer writes where it runs. */
static bool take_area_back(unsigned cpu) {
    struct rseq *area = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
    unsigned long lengths[] = {32, getauxval(AT_RSEQ_FEATURE_SIZE_NUMBER), __rseq_size};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        if (syscall(SYS_rseq, area, (uint32_t)lengths[i], RSEQ_FLAG_UNREGISTER, RSEQ_SIG) == 0) {
            area->cpu_id_start = cpu;
            area->cpu_id = cpu;
            return true;
        }
    return false;
}

static slabby_allocator *make_pool(size_t slab_size, const struct steps_setting *settings) {
    slabby_options *options;
    slabby_allocator *pool;
    if (slabby_options_create(&options) != SLABBY_OK)
        return NULL;
    for (; settings->option >= 0; settings++)
        if (slabby_options_set(options, (int32_t)settings->option, settings->value, NULL) != SLABBY_OK)
            return NULL;
    return slabby_create(&pool, slab_size, CAPACITY, options, NULL) == SLABBY_OK ? pool : NULL;
}

/* The parts between the marks: nothing, an allocation, a release. */
static int run_by_reference(slabby_allocator *pool) {
    slabby_ref ref;
    void *data;
    pair_mark();
    pair_mark();
    if (slabby_allocate(&ref, &data, pool) != SLABBY_OK)
        return CHILD_STATUS;
    pair_mark();
    if (slabby_release(pool, ref) != SLABBY_OK)
        return CHILD_STATUS;
    pair_mark();
    return CHILD_DONE;
}

static int run_by_id(slabby_allocator *pool) {
    uint32_t id;
    void *data;
    pair_mark();
    pair_mark();
    if (slabby_allocate_fast(&data, &id, pool) != SLABBY_OK)
        return CHILD_STATUS;
    pair_mark();
    if (slabby_deallocate_fast(pool, id) != SLABBY_OK)
        return CHILD_STATUS;
    pair_mark();
    return CHILD_DONE;
}

static int run_batch(slabby_allocator *pool) {
    slabby_ref refs[STEPS_BATCH_SLABS];
    void *datas[STEPS_BATCH_SLABS];
    pair_mark();
    pair_mark();
    if (slabby_allocate_batch(refs, datas, pool, STEPS_BATCH_SLABS) != SLABBY_OK)
        return CHILD_STATUS;
    pair_mark();
    if (slabby_release_batch(NULL, pool, refs, STEPS_BATCH_SLABS) != SLABBY_OK)
        return CHILD_STATUS;
    pair_mark();
    return CHILD_DONE;
}

/* As a view of Python uses a slab: pinned behind the allocation, unpinned ahead of the release. */
static int run_pinned(slabby_allocator *pool) {
    slabby_ref ref;
    pair_mark();
    pair_mark();
    if (slabby_allocate(&ref, NULL, pool) != SLABBY_OK || slabby_pin(pool, ref) != SLABBY_OK)
        return CHILD_STATUS;
    pair_mark();
    if (slabby_unpin(pool, ref) != SLABBY_OK || slabby_release(pool, ref) != SLABBY_OK)
        return CHILD_STATUS;
    pair_mark();
    return CHILD_DONE;
}

/* The two directions between a reference and its pointer. */
static int run_pointers(slabby_allocator *pool) {
    slabby_ref ref, found;
    void *data, *seen;
    if (slabby_allocate(&ref, &data, pool) != SLABBY_OK)
        return CHILD_STATUS;
    pair_mark();
    pair_mark();
    if (slabby_data(&seen, pool, ref) != SLABBY_OK)
        return CHILD_STATUS;
    pair_mark();
    if (slabby_ref_of(&found, pool, data) != SLABBY_OK)
        return CHILD_STATUS;
    pair_mark();
    return slabby_release(pool, found) == SLABBY_OK && seen == data ? CHILD_DONE : CHILD_STATUS;
}

static int run_pairs(slabby_allocator *pool, enum steps_use use, int count) {
    static int (*const runs[])(slabby_allocator *) = {run_by_reference, run_by_id, run_batch, run_pinned,
                                                      run_pointers};
    for (int i = 0; i < count; i++) {
        int status = runs[use](pool);
        if (status != CHILD_DONE)
            return status;
    }
    return CHILD_DONE;
}

static int child_life(const struct steps_case *wanted) {
    unsigned cpu;
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        return CHILD_UNTRACED;
    if (__rseq_size == 0)
        return CHILD_NO_AREA;
    slabby_allocator *pool = make_pool(wanted->slab_size, wanted->settings);
    if (pool == NULL)
        return CHILD_NO_POOL;
    if (!stay_on_this_cpu(&cpu))
        return CHILD_REFUSED;
    int status = run_pairs(pool, wanted->use, WARM_UP);
    if (status != CHILD_DONE)
        return status;
    if (!take_area_back(cpu))
        return CHILD_REFUSED;
    raise(SIGSTOP);
    status = run_pairs(pool, wanted->use, wanted->pairs);
    raise(SIGSTOP);
    return status;
}

/* Steps to the next arrival at pair_mark and adds the steps to *steps; false when the child stopped or ended. */
static bool step_to_mark(pid_t child, uint32_t *steps, int *out_status) {
    for (uint32_t i = 0; i < MOST_STEPS; i++) {
        if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) != 0 || waitpid(child, out_status, 0) != child ||
            !WIFSTOPPED(*out_status) || WSTOPSIG(*out_status) != SIGTRAP)
            return false;
        ++*steps;
        long at = ptrace(PTRACE_PEEKUSER, child, offsetof(struct user_regs_struct, rip), NULL);
        if ((uintptr_t)at == (uintptr_t)pair_mark)
            return true;
    }
    return false;
}

static int by_size(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static double median(uint32_t *counts, int count) {
    qsort(counts, (size_t)count, sizeof *counts, by_size);
    return counts[count / 2];
}

static void summarise(struct steps *out_steps, uint32_t counts[PARTS][STEPS_MOST_PAIRS], int pairs) {
    double sum = 0;
    for (int i = 0; i < pairs; i++)
        sum += (double)counts[1][i] + counts[2][i];
    double nothing = median(counts[0], pairs);
    *out_steps = (struct steps){.allocate = median(counts[1], pairs) - nothing,
                                .release = median(counts[2], pairs) - nothing,
                                .mean = sum / pairs - 2 * nothing};
}

/* 0, or the status of a child that did not come that far. */
static int step_through(struct steps *out_steps, pid_t child, int pairs) {
    static uint32_t counts[PARTS][STEPS_MOST_PAIRS];
    uint32_t before = 0;
    int status = 0;
    for (int i = 0; i < pairs; i++) {
        if (!step_to_mark(child, &before, &status))
            return status;
        for (int part = 0; part < PARTS; part++) {
            counts[part][i] = 0;
            if (!step_to_mark(child, &counts[part][i], &status))
                return status;
        }
    }
    summarise(out_steps, counts, pairs);
    return 0;
}

static const char *count_in_child(struct steps *out_steps, const struct steps_case *wanted) {
    int status = 0;
    pid_t child = fork();
    if (child < 0)
        return "fork failed";
    if (child == 0)
        _exit(child_life(wanted));
    if (waitpid(child, &status, 0) == child && WIFSTOPPED(status))
        status = step_through(out_steps, child, wanted->pairs);
    if (status == 0 || WIFSTOPPED(status)) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        return status == 0 ? NULL : "the child stopped for another reason";
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) > CHILD_DONE && WEXITSTATUS(status) <= CHILD_STATUS)
        return child_faults[WEXITSTATUS(status)];
    return "the child ended";
}

/* Parent and child share a CPU meanwhile: on two, each step would wake the other one. */
const char *steps_count(struct steps *out_steps, const struct steps_case *wanted) {
    cpu_set_t usual;
    unsigned cpu;
    if (wanted->pairs < 1 || wanted->pairs > STEPS_MOST_PAIRS)
        return "more pairs than can be counted, or none";
    bool known = sched_getaffinity(0, sizeof usual, &usual) == 0 && stay_on_this_cpu(&cpu);
    const char *fault = count_in_child(out_steps, wanted);
    if (known)
        (void)sched_setaffinity(0, sizeof usual, &usual);
    return fault;
}

#else

const char *steps_count(struct steps *out_steps, const struct steps_case *wanted) {
    (void)out_steps;
    (void)wanted;
    return "instructions are counted on x86-64 with glibc 2.35 or later only";
}

#endif
