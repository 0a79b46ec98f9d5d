/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * reuse_delay: released slabs wait in a queue, first in first out, before they can be handed out again, zeroed; who
 * writes to one meanwhile is found when it leaves. Short of free slabs the queue is a tier like any other: it is
 * emptied before OutOfMemory is answered.
 *
 * A bounded queue of cells {turn, id}: a cell whose turn equals the tail's number is free for the pusher that raises
 * the tail, one whose turn is the head's number + 1 is full for the popper that raises the head. Turns are stored with
 * release and loaded with acquire, so the id and the zeroes travel with them.
 */
#ifndef SLB_PROTECT_REUSE_DELAY_H
#define SLB_PROTECT_REUSE_DELAY_H

#include "observe/events.h"
#include "pool.h"

/* Puts an id in; false where the queue is full. */
SLB_PRIVATE bool slb_delay_push(struct slabby_allocator *pool, uint32_t id);

/* The oldest id whose slab nobody has written to; those that were written to go into quarantine. False where the queue
 * is empty, or holds at most `keep`. */
SLB_PRIVATE bool slb_delay_pop(struct slabby_allocator *pool, uint64_t keep, uint32_t *out_id,
                               struct slb_notification *out_notification);

/* For the proof of emptiness: how many ids are in, and a number that grows with every push and pop. */
SLB_PRIVATE uint64_t slb_delay_length(struct slabby_allocator *pool, uint64_t *out_moves);

#endif
