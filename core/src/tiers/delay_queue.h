/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The queue of delayed slabs (option reuse_delay), first in, first out.
 *
 * A bounded queue of cells {turn, id}: a cell whose turn equals the tail's number is free for the pusher that raises
 * the tail, one whose turn is the head's number + 1 is full for the popper that raises the head. Turns are stored
 * with release and loaded with acquire, so the id and the zeroes travel with them.
 */
#ifndef SLB_TIERS_DELAY_QUEUE_H
#define SLB_TIERS_DELAY_QUEUE_H

#include "pool.h"

/* Puts an id in; false where the queue is full. */
SLB_PRIVATE bool slb_delay_push(struct slabby_allocator *pool, uint32_t id);

/* The oldest id; false where the queue is empty, or holds at most `keep`. */
SLB_PRIVATE bool slb_delay_take(struct slabby_allocator *pool, uint64_t keep, uint32_t *out_id);

/* For the proof of emptiness: how many ids are in, and a number that grows with every push and pop. */
SLB_PRIVATE uint64_t slb_delay_length(struct slabby_allocator *pool, uint64_t *out_moves);

#endif
