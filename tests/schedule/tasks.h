/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tasks that more than one list of scenarios has. */
#ifndef SLABBY_SCHEDULE_TASKS_H
#define SLABBY_SCHEDULE_TASKS_H

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

/* As task 0, or behind task 1 that switches secure on: what is had once secure is on holds nothing of anybody. */
void expect_zeros(void);
void switch_and_expect_zeros(void);

/* A check: the pool is closed, and its pages went with the last slab. */
void pages_are_unmapped(void);

/* Statistics twice: no counter goes back. */
void check_twice(void);

#endif
