/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The work of protections where a slab changes its owner. There are two such places, and each runs every protection in
 * its order. */
#ifndef SLB_PROTECT_PROTECT_H
#define SLB_PROTECT_PROTECT_H

#include "observe/events.h"
#include "pool.h"

/* Before the word says live: only the allocating thread has the slab. */
SLB_PRIVATE void slb_protect_issue_slowly(struct slabby_allocator *pool, uint32_t id);

SLB_INLINE void slb_protect_issue(struct slabby_allocator *pool, uint32_t id) {
    if (slb_unlikely(atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_ON_ALLOCATE))
        slb_protect_issue_slowly(pool, id);
}

/* After the word says free, under the generation that was released: verifies, zeroes. Answers MemoryCorruption where
 * guard bytes were overwritten; out_stored then says whether the slab stays out of service. out_notification: see
 * slb_corruption_found. */
SLB_PRIVATE slabby_status slb_protect_return(struct slabby_allocator *pool, uint32_t id, uint64_t generation,
                                             bool *out_stored, struct slb_notification *out_notification);

#endif
