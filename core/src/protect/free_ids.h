/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One free id while the gate is closed: from the shards, from a batch of the depot, or from those that wait for reuse,
 * which are checked on their way out. */
#ifndef SLB_PROTECT_FREE_IDS_H
#define SLB_PROTECT_FREE_IDS_H

#include "pool.h"

/* Not counted. The caller is inside slb_enter or holds the gate lock. */
SLB_PRIVATE bool slb_take_free(struct slabby_allocator *pool, struct slb_stripe *stripe, uint32_t *out_id,
                               enum slb_tier *out_tier);

#endif
