/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Several free ids at once, while the gate is open: one for an allocation, the rest for this CPU's cache. */
#ifndef SLB_API_REFILL_H
#define SLB_API_REFILL_H

#include "pool.h"

/* Inside slb_enter. False: depot, shards and delay queue seem to be empty. */
SLB_PRIVATE bool slb_refill(struct slabby_allocator *pool, struct slb_stripe *stripe, uint32_t *out_id,
                            enum slb_tier *out_tier);

#endif
