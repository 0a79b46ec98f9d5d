/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Several free ids at once, while the gate is open: one for an allocation, the rest for this CPU's cache. */
#ifndef SLB_API_REFILL_H
#define SLB_API_REFILL_H

#include "pool.h"

/* Inside slb_enter. False: depot, shards and delay queue seem to be empty. */
SLB_PRIVATE bool slb_refill(struct slabby_allocator *pool, struct slb_stripe *stripe, uint32_t *out_id,
                            enum slb_tier *out_tier);

/* For slow paths: where slabs no longer travel between this CPU and another, the ids in its cache, which lie line by
 * line, are put apart (tiers/id_order.h). Waits for nothing. */
SLB_PRIVATE SLB_COLD void slb_rearrange(struct slabby_allocator *pool, uint64_t due);

/* relaxed: a hint */
SLB_INLINE void slb_rearrange_if_due(struct slabby_allocator *pool) {
    uint64_t due = atomic_load_explicit(&pool->rearranges, memory_order_relaxed);
    if (slb_unlikely(due != 0))
        slb_rearrange(pool, due);
}

#endif
