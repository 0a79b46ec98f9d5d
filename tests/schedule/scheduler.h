/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Runs a few tasks of one scenario in every order that matters, over the real core.
 *
 * The core of this program is compiled with the compiler's ThreadSanitizer instrumentation, but linked with runtime.c
 * instead of ThreadSanitizer: every atomic operation and every plain access calls schedule_access before it happens,
 * and there the scheduler may let another task go on. Tasks are coroutines of one thread, so an order is repeated
 * exactly; the pool is put back to its first state before each run.
 *
 * The search is depth first over all orders with at most so many preemptions (a task is interrupted although it could
 * go on). It finds only what sequential consistency allows; what needs the memory to reorder is left to
 * ThreadSanitizer and to the stress tests.
 *
 * Not every access is a place to switch: one to a location that a single task uses, that nobody writes, or that is
 * only ever added to, commutes with everything the others do. Which locations are shared is learned on the way; when
 * one more turns out to be, the search begins again.
 */
#ifndef SLABBY_SCHEDULER_H
#define SLABBY_SCHEDULER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MOST_TASKS = 4 };

struct scenario {
    const char *name;
    const char *says;      /* the property, in one line */
    void (*prepare)(void); /* once: makes the pool that every run begins with */
    void (*task[MOST_TASKS])(void);
    uint32_t cpu[MOST_TASKS]; /* where each task runs */
    void (*check)(void);      /* after each run */
    uint32_t preemptions;     /* at most, in the quick search */
    uint32_t more;            /* how many more in the full one; 0 means 1 */
    bool time_passes; /* sleeps may end by their deadline at any moment, at the price of a preemption */
};

/* Searches one scenario; ends the program at the first run that breaks something, and says how to repeat it. */
void schedule_search(const struct scenario *scenario, uint32_t preemptions);

/* Runs one order and tells every step. */
void schedule_replay(const struct scenario *scenario, const char *order);

/* The program ends with a message and the order of this run. */
void schedule_broken(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* What a run begins with: memory that is put back before each. Registered by prepare. */
void schedule_restores(void *memory, size_t size);

/* Accesses to slabs count as accesses to the whole slab. Registered by prepare. */
void schedule_slabs(void *base, size_t size, size_t stride);

/* The task does something to all slabs in a range at once. */
void schedule_access_slabs(void *start, size_t size, const void *code);

/* From the instrumented core: an access is about to happen at `place`. */
enum access { ACCESS_READ, ACCESS_WRITE, ACCESS_ADD, ACCESS_ALWAYS };
void schedule_access(const volatile void *location, enum access access, const void *code);

/* The task unmaps a range: from now on an access to it ends the program. */
void schedule_unmap(void *start, size_t size, const void *code);

/* The value at `location` has changed: a task that waited for it may check again. */
void schedule_changed(const volatile void *location);

/* From the surroundings: the task cannot go on until somebody else does; sleeps; wakes. */
bool schedule_is_running(void);
uint32_t schedule_cpu(void);
void schedule_rest(void);
bool schedule_sleep(volatile void *word, bool has_deadline); /* false: the deadline has passed */
void schedule_wake(volatile void *word);

/* Before the runs: from now on the pools are those of a child of fork. */
void schedule_fork(void);

/* From the scheduler: a run begins, with no memory allocated. */
void schedule_forget_allocations(void);

/* The notifier of the scenario's listener, restored with it. */
extern volatile uint32_t schedule_notifier_signals;

/* Simulated sequences: another task on the same CPU restarts them, and a fence restarts all of them. */
void schedule_sequence_begin(void);
bool schedule_sequence_goes_on(void);
void schedule_sequence_end(void);
void schedule_fence(void);

/* The running task, 0 .. MOST_TASKS - 1. */
uint32_t schedule_task(void);

/* Moves the running task to another CPU. */
void schedule_move_to(uint32_t cpu);

#endif
