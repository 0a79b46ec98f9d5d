/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The depot: a lock-free stack of full batches, so that ids travel between CPUs a batch at a time. */
#ifndef SLB_TIERS_DEPOT_H
#define SLB_TIERS_DEPOT_H

#include "pool.h"

/* Parks exactly pool->batch ids; false where every node is taken (the ids then belong in the shards). */
SLB_PRIVATE bool slb_depot_push(struct slabby_allocator *pool, const uint32_t *ids);

/* Copies one full batch out. */
SLB_PRIVATE bool slb_depot_pop(struct slabby_allocator *pool, uint32_t *out_ids);

#endif
