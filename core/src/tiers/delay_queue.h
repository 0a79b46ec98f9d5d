/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The queue of delayed slabs (option reuse_delay): rings, a CPU releases into its own. A ring has `limit` cells. Each
 * release into it has the next number {round:32, cell:32}, puts its id into this cell, and takes what lay there: the id
 * that came `limit` releases before.
 *
 *                  next number {5, 3}
 *                        |
 *      cell    0    1    2    3    4    5    6    7
 *      rounds  6    6    6    5    5    5    5    5      how many ids have come to this cell
 *      id      p    q    r    -    -    k    l    m      oldest: k; newest: r; two were taken early
 *
 * One compare-and-swap of the cell decides. It raises `rounds`, so it succeeds once for each number: numbers are used
 * in order, and a slab leaves by the release that comes exactly `limit` behind its own. A thread that stops ahead of
 * the swap has done nothing, and one that stops behind it has done all: no thread keeps another one waiting, and there
 * is always a cell for a release.
 *
 * `hint` is where the next swap is tried. It is stored plainly behind the swap, so a thread that stops in between sets
 * it back later; it is never too high. Where the cell has had its turn, the next number is searched: as numbers come in
 * order, half of the ring is left at each step.
 *
 * Short of free slabs, the oldest id is taken early, and its cell says 0. The oldest lies behind the last such cell: a
 * thread takes an id only where it has seen that the one before has gone, and none comes back. So the oldest is
 * searched by halves too, and a ring whose newest id has gone is empty.
 *
 * The swap releases the id and the zeroes of its slab, and acquires those of the oldest. It is seq_cst: the look at the
 * gate comes behind it, see resilience/waiters.h. A thread that sleeps between its look at a cell and its swap, or
 * ahead of its store of `hint`, while exactly 2^32 rounds go by, would not notice.
 */
#ifndef SLB_TIERS_DELAY_QUEUE_H
#define SLB_TIERS_DELAY_QUEUE_H

#include "pool.h"

/* Puts an id into this CPU's ring, always. False where none comes out of it. */
SLB_PRIVATE bool slb_delay_exchange(struct slabby_allocator *pool, uint32_t id, uint32_t *out_oldest);

/* The oldest id of the ring in which most wait; false where none waits in any. */
SLB_PRIVATE bool slb_delay_take(struct slabby_allocator *pool, uint32_t *out_id);

/* For the proof of emptiness: whether no id waits, and a number that changes with every id that comes. */
SLB_PRIVATE bool slb_delay_is_empty(struct slabby_allocator *pool, uint64_t *out_moves);

/* What lies in the n-th of all cells, while no thread releases or takes; false: nothing. */
SLB_PRIVATE uint64_t slb_delay_cells(const struct slabby_allocator *pool);
SLB_PRIVATE bool slb_delay_at(struct slabby_allocator *pool, uint64_t n, uint32_t *out_id);

/* Forgets what was delayed, in a process with one thread. */
SLB_PRIVATE void slb_delay_forget(struct slabby_allocator *pool);

#endif
