/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tasks that more than one list of scenarios has. */
#ifndef SLABBY_SCHEDULE_TASKS_H
#define SLABBY_SCHEDULE_TASKS_H

#include <slabby/slabby.h>

/* A slab is free, whatever the others do: a refusal is a lie. */
void allocate_and_keep(void);
void allocate_and_release(void);
void allocate_and_release_twice(void);

/* There may be none; what it gets it gives back. */
void allocate_if_any(void);

/* What prepare has taken first, and second. */
void release_first(void);
void release_second(void);

/* The gate, as a thread that finds no slab closes it. */
void close_and_open(void);

/* Each says so by its flag when it is done. */
void close_pool(void);
void switch_secure_on(void);

/* After task 1 has closed the pool nothing is handed out; before, OK or Closed. */
void allocate_against_close(void);

/* The end of a pool. Task 0 may allocate while task 1 destroys it: one of the two learns of the other. */
void abandon_pool(void);
void destroy_pool(void);
void allocate_or_learn(void);

/* Beside a reset the first slab may have come back already, and the one that task 2 allocates may go at once. */
void reset_pool(void);
void release_or_lose(void);
void allocate_and_lose(void);

/* A slab, however long it takes; and what the wait ended with. Of this task, as all `status` and `ref`. */
void wait_for_ever(void);
slabby_status wait_for_one(uint64_t timeout_ns);

/* Nothing is wrong with a pool that is in use. */
void verify_pool(void);

/* As task 0, or behind task 1 that switches secure on: what is had once secure is on holds nothing of anybody. */
void expect_zeros(void);
void switch_and_expect_zeros(void);

/* A check: the pool is closed, and its pages went with the last slab. */
void pages_are_unmapped(void);

/* Checks: nothing is left of the pool; the same, or task 1 found it in use; the same behind allocate_or_learn. */
void everything_went(void);
void went_or_in_use(void);
void one_of_both(void);

/* A check: what task 2 allocated is out, if the reset has not taken it, and nothing else. */
void reset_left_order(void);

/* A check: the queue is empty, and the gate knows. */
void no_waiters(void);

/* Statistics twice: no counter goes back. */
void check_twice(void);

#endif
