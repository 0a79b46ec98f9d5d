/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The shards: lock-free stacks of single ids, one per CPU by default. When one is empty, its neighbours are tried.
 * Each shard has a range of the pool's slabs and hands out the never-used ones by a bump index, so that creating a
 * pool writes nothing. */
#ifndef SLB_TIERS_SHARDS_H
#define SLB_TIERS_SHARDS_H

#include "pool.h"

SLB_PRIVATE void slb_shards_push(struct slabby_allocator *pool, uint32_t hint, uint32_t id);
SLB_PRIVATE bool slb_shards_pop(struct slabby_allocator *pool, uint32_t hint, uint32_t *out_id);

/* The same; but from a neighbour that has several ids it takes up to `wanted` of them, and puts all but one into this
 * CPU's own shard. So a CPU that allocates slabs that another CPU releases requests the other CPU's cache lines once
 * for all of these ids. Several ids move, so the caller is inside a move. */
SLB_PRIVATE bool slb_shards_fetch(struct slabby_allocator *pool, uint32_t hint, uint32_t wanted,
                                  uint32_t *out_id);

/* Up to `wanted` ids, from one shard where possible; answers how many. */
SLB_PRIVATE uint32_t slb_shards_pop_many(struct slabby_allocator *pool, uint32_t hint, uint32_t *out_ids,
                                         uint32_t wanted);

/* First slab of a shard's range, and whether a slab was ever handed out. */
SLB_PRIVATE uint32_t slb_shard_start(const struct slabby_allocator *pool, uint32_t shard);
SLB_PRIVATE uint32_t slb_shard_begins(uint32_t reserved, uint32_t shards, uint32_t shard);
SLB_PRIVATE bool slb_slab_was_used(struct slabby_allocator *pool, uint32_t id);

/* Of a shard's range: slabs that were handed out at least once, at its start; those beyond the pool's capacity, at
 * its end; and those in between, which were never used. */
SLB_PRIVATE uint32_t slb_shard_used(const struct slabby_allocator *pool, uint32_t shard);
SLB_PRIVATE uint32_t slb_shard_withheld(const struct slabby_allocator *pool, uint32_t shard);
SLB_PRIVATE uint32_t slb_shard_unused(const struct slabby_allocator *pool, uint32_t shard);

/* Whether a slab that was never used is withheld. */
SLB_PRIVATE bool slb_slab_is_withheld(struct slabby_allocator *pool, uint32_t id);

/* How many slabs one shard of a pool with `reserved` slabs gets when `slabs` slabs are shared evenly: they are the
 * first ones of its range. With one slab more, one shard gets one more. */
SLB_PRIVATE uint32_t slb_shard_share(uint32_t reserved, uint32_t shards, uint32_t slabs, uint32_t shard);

/* For a new pool: each shard withholds the slabs beyond its share of the capacity; answers how many those are. */
SLB_PRIVATE uint32_t slb_shards_begin(struct slabby_allocator *pool, uint32_t capacity);

/* Take up to `wanted` unused slabs out of service (withhold), or return up to `wanted` that have memory to service
 * (concede); answer how many. See resilience/resize.h. */
SLB_PRIVATE uint32_t slb_shards_withhold(struct slabby_allocator *pool, uint32_t wanted);
SLB_PRIVATE uint32_t slb_shards_concede(struct slabby_allocator *pool, uint32_t wanted);

#endif
