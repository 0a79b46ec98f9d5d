/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Interrupts a restartable sequence before each of its instructions, once each (x86-64). The parent steps a child
 * through it. The kernel would restart the sequence at the first step, so the child takes its thread's area back from
 * the kernel, and the parent does at the interruption what linux/rseq.h says of the kernel: it moves a thread inside
 * the sequence to the address for restarts, and disarms.
 */
#ifndef SLABBY_TEST_RSEQ_INTERRUPT_H
#define SLABBY_TEST_RSEQ_INTERRUPT_H

#ifdef __x86_64__

#include "support.h"

#include "os/os.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define AT_RSEQ_FEATURE_SIZE_NUMBER 27 /* of linux/auxvec.h, which older systems lack */
#define SIGNATURE_OF_RSEQ 0x53053053u

enum { EXIT_UNTRACED = 255 };

/* As linux/rseq.h has it. */
struct rseq_descriptor {
    uint32_t version, flags;
    uint64_t start, length, abort_address;
};

static inline uint64_t armed_address(void) {
    return (uint64_t)(uintptr_t)slb_os_rseq_area() + 8;
}

/* From here on the kernel restarts nothing in this thread, and no longer writes where it runs: on `cpu`. */
static inline bool take_area_back(uint32_t cpu) {
    volatile uint32_t *area = (uint32_t *)(void *)slb_os_rseq_area();
    unsigned long lengths[] = {32, getauxval(AT_RSEQ_FEATURE_SIZE_NUMBER)};
    for (size_t i = 0; i < COUNT_OF(lengths); i++)
        if (syscall(SYS_rseq, area, (uint32_t)lengths[i], 1 /* unregister */, SIGNATURE_OF_RSEQ) == 0) {
            area[0] = cpu;
            area[1] = cpu;
            return true;
        }
    return false;
}

static inline uint64_t peek(pid_t child, uint64_t address) {
    errno = 0;
    long value = ptrace(PTRACE_PEEKDATA, child, (void *)(uintptr_t)address, NULL);
    assert_int_equal(errno, 0);
    return (uint64_t)value;
}

static inline void poke(pid_t child, uint64_t address, uint64_t value) {
    assert_int_equal(ptrace(PTRACE_POKEDATA, child, (void *)(uintptr_t)address, (void *)(uintptr_t)value), 0);
}

/* What the kernel does with a thread that it has interrupted. */
static inline void interrupt_thread(pid_t child) {
    struct user_regs_struct registers;
    uint64_t descriptor = peek(child, armed_address());
    assert_int_equal(ptrace(PTRACE_GETREGS, child, NULL, &registers), 0);
    uint64_t start = peek(child, descriptor + offsetof(struct rseq_descriptor, start));
    if (registers.rip - start < peek(child, descriptor + offsetof(struct rseq_descriptor, length))) {
        registers.rip = peek(child, descriptor + offsetof(struct rseq_descriptor, abort_address));
        assert_int_equal(ptrace(PTRACE_SETREGS, child, NULL, &registers), 0);
    }
    poke(child, armed_address(), 0);
}

/* The child goes on, by one instruction or as far as it comes. */
static inline void await_stop(pid_t child, bool one, int *status) {
    assert_int_equal(
        one ? ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) : ptrace(PTRACE_CONT, child, NULL, NULL), 0);
    assert_int_equal(waitpid(child, status, 0), child);
}

/* A child that runs life(context) on `cpu`, which answers its exit status, and stops ahead of it. */
static inline pid_t begin_stepped(int (*life)(void *), void *context, uint32_t cpu) {
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0 || !take_area_back(cpu))
            _exit(EXIT_UNTRACED);
        raise(SIGSTOP);
        _exit(life(context));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) {
        print_message("this process may not trace its child, or the area is not the C library's\n");
        skip();
    }
    poke(child, armed_address(), 0); /* what the program armed last */
    return child;
}

/* Steps to the instruction `at` of those for which a sequence is armed; false where the child stops before, which then
 * is killed. */
static inline bool step_to(pid_t child, uint32_t at) {
    int status = 0;
    for (uint32_t met = 0; met <= at; met += peek(child, armed_address()) != 0) {
        await_stop(child, true, &status);
        assert_true(WIFSTOPPED(status));
        if (WSTOPSIG(status) == SIGSTOP && met > 0) {
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            return false;
        }
    }
    return true;
}

/* The exit status of a child that stops once more on its way. */
static inline int end_stepped(pid_t child) {
    int status = 0;
    await_stop(child, false, &status);
    assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    await_stop(child, false, &status);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

#endif

#endif
