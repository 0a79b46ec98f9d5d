/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Walking over the slabs that were ever handed out, without touching the words of the others. */
#ifndef SLB_TIERS_USED_SLABS_H
#define SLB_TIERS_USED_SLABS_H

#include "pool.h"

/* The first id at or after `id` whose slab was ever handed out; pool->id_limit at the end. */
SLB_PRIVATE uint32_t slb_next_used(struct slabby_allocator *pool, uint32_t id);

#endif
