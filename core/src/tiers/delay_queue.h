/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The queue of delayed slabs (option reuse_delay) consists of rings. Each CPU releases into its own ring. A ring has
 * `limit` cells. Each release into it has the next number {round:32, cell:32}, puts its id into this cell, and takes
 * the id that lay there: it came `limit` releases before.
 *
 *                  next number {5, 3}
 *                        |
 *      cell    0    1    2    3    4    5    6    7
 *      rounds  6    6    6    5    5    5    5    5      how many ids have come to this cell
 *      id      p    q    r    -    -    k    l    m      oldest: k; newest: r; two were taken early
 *
 * One compare-and-swap of the cell decides. It raises `rounds`, so it succeeds once for each number: numbers are used
 * in order, and a slab leaves by the release that comes exactly `limit` behind its own. A thread that stops before the
 * swap has changed nothing, and a thread that stops after it has changed everything: no thread makes another one wait,
 * and there is always a cell for a release.
 *
 * `hint` is where the next swap is tried. It is stored plainly behind the swap, so a thread that stops in between sets
 * it back later; it is never too high. If the cell at `hint` has been used already, a binary search finds the next
 * number, because numbers come in order.
 *
 * When free slabs are short, the oldest id is taken early, and its cell then has 0 in the place of the id. The oldest
 * id lies behind the last such cell: a thread takes an id only after it has seen that the id before it is gone, and no
 * id comes back. So a binary search finds the oldest id too, and a ring whose newest id is gone is empty.
 *
 * The swap releases the id and the zeroes of its slab, and acquires those of the oldest. It is seq_cst, because the
 * check of the gate comes after it, see resilience/waiters.h. A thread that sleeps between its load of a cell and its
 * swap, or before its store of `hint`, for exactly 2^32 rounds would not notice the change.
 */
#ifndef SLB_TIERS_DELAY_QUEUE_H
#define SLB_TIERS_DELAY_QUEUE_H

#include "pool.h"

/* Puts an id into this CPU's ring; this always succeeds. False if no id comes out of the ring. */
SLB_PRIVATE bool slb_delay_exchange(struct slabby_allocator *pool, uint32_t id, uint32_t *out_oldest);

/* The oldest id of the ring in which most wait; false where none waits in any. */
SLB_PRIVATE bool slb_delay_take(struct slabby_allocator *pool, uint32_t *out_id);

/* For the proof of emptiness: whether no id waits, and a number that changes with every id that comes. */
SLB_PRIVATE bool slb_delay_is_empty(struct slabby_allocator *pool, uint64_t *out_moves);

/* The id in the n-th of all cells at some moment of the call; false: the cell had none. */
SLB_PRIVATE uint64_t slb_delay_cells(const struct slabby_allocator *pool);
SLB_PRIVATE bool slb_delay_at(struct slabby_allocator *pool, uint64_t n, uint32_t *out_id);

/* Forgets what was delayed, in a process with one thread. */
SLB_PRIVATE void slb_delay_forget(struct slabby_allocator *pool);

#endif
