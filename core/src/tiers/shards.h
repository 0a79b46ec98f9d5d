/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The shards: lock-free stacks of single ids, one per CPU by default, neighbours tried when one is empty. Each owns a
 * range of the pool's slabs and hands out the never-used ones of its range by a bump index, so that making a pool
 * writes nothing. */
#ifndef SLB_TIERS_SHARDS_H
#define SLB_TIERS_SHARDS_H

#include "pool.h"

SLB_PRIVATE void slb_shards_push(struct slabby_allocator *pool, uint32_t hint, uint32_t id);
SLB_PRIVATE bool slb_shards_pop(struct slabby_allocator *pool, uint32_t hint, uint32_t *out_id);

/* Up to `wanted` ids, from one shard where possible; answers how many. */
SLB_PRIVATE uint32_t slb_shards_pop_many(struct slabby_allocator *pool, uint32_t hint, uint32_t *out_ids,
                                         uint32_t wanted);

/* First slab of a shard's range, and whether a slab was ever handed out. */
SLB_PRIVATE uint32_t slb_shard_start(const struct slabby_allocator *pool, uint32_t shard);
SLB_PRIVATE bool slb_slab_was_used(struct slabby_allocator *pool, uint32_t id);

#endif
