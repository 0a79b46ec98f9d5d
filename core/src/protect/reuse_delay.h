/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * reuse_delay: released slabs wait in a queue, first in first out, before they can be handed out again, zeroed; who
 * writes to one meanwhile is found when it leaves. Short of free slabs the queue is a tier like any other: it is
 * emptied before OutOfMemory is answered.
 */
#ifndef SLB_PROTECT_REUSE_DELAY_H
#define SLB_PROTECT_REUSE_DELAY_H

#include "observe/events.h"
#include "pool.h"
#include "tiers/delay_queue.h"

/* The oldest id whose slab nobody has written to; those that were written to go into quarantine. False where the queue
 * is empty, or holds at most `keep`. */
SLB_PRIVATE bool slb_delay_pop(struct slabby_allocator *pool, uint64_t keep, uint32_t *out_id,
                               struct slb_notification *out_notification);

#endif
