/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The queue of delayed slabs (option reuse_delay), first in, first out.
 *
 *      ends   {tail:32, head:32}: how many ids have been pushed and taken, modulo 2^32
 *      cells  {turn, id}          number n lies in cell n % cells, in round n - n % cells
 *
 *      turn = round       free for the pusher of this round      turn = round + 1     full, for its taker
 *
 * One swap of `ends` decides who pushes into the tail's cell, who takes from the head's, or who does both at once: a
 * queue that is as long as it should be moves on by that. The id is stored behind the swap, then the turn, with
 * release; it is loaded with acquire, so the id and the zeroes of the slab travel with it. A call that finds the
 * pusher or the taker of the round before still on the way gives up. A thread that sleeps between its look at `ends`
 * and its swap, while exactly 2^32 ids are pushed and as many taken, would not notice.
 */
#ifndef SLB_TIERS_DELAY_QUEUE_H
#define SLB_TIERS_DELAY_QUEUE_H

#include "pool.h"

/* Puts an id in; false where the queue is full. */
SLB_PRIVATE bool slb_delay_push(struct slabby_allocator *pool, uint32_t id);

/* The oldest id; false where the queue is empty, or holds at most `keep`. */
SLB_PRIVATE bool slb_delay_take(struct slabby_allocator *pool, uint64_t keep, uint32_t *out_id);

/* Both at once; false, and nothing happens, where the queue is empty or full, or holds less than `keep`. */
SLB_PRIVATE bool slb_delay_exchange(struct slabby_allocator *pool, uint64_t keep, uint32_t id,
                                    uint32_t *out_oldest);

/* For the proof of emptiness: how many ids are in, and a number that changes with every push and take. */
SLB_PRIVATE uint64_t slb_delay_length(struct slabby_allocator *pool, uint64_t *out_moves);

/* The id that waits as the n-th, while no thread pushes or takes. */
SLB_PRIVATE uint32_t slb_delay_at(struct slabby_allocator *pool, uint64_t n);

/* Forgets what was in the queue, in a process with one thread. */
SLB_PRIVATE void slb_delay_forget(struct slabby_allocator *pool);

#endif
