/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The shards: lock-free stacks of single ids, one per CPU by default. When one is empty, its neighbours are tried.
 * Each shard has a range of the pool's slabs and hands out the never-used ones by a bump index, so that creating a
 * pool writes nothing. */
#ifndef SLB_TIERS_SHARDS_H
#define SLB_TIERS_SHARDS_H

#include "pool.h"

SLB_PRIVATE void slb_shards_push(struct slabby_allocator *pool, uint32_t hint, uint32_t id);
SLB_PRIVATE bool slb_shards_pop(struct slabby_allocator *pool, uint32_t hint, uint32_t *out_id);

/* The same, and where a neighbour has several, up to `wanted` of them, of which the others come into the own shard: a
 * CPU that allocates what another one releases then asks for that one's lines once for all of them. A move. */
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

/* Of `slabs` slabs shared evenly, how many fall to a shard of a pool with `reserved` slabs: the first ones of its
 * range. One slab more gives one shard one more. */
SLB_PRIVATE uint32_t slb_shard_share(uint32_t reserved, uint32_t shards, uint32_t slabs, uint32_t shard);

/* A new pool: each shard withholds what lies beyond its share of the capacity; answers how many that are. */
SLB_PRIVATE uint32_t slb_shards_begin(struct slabby_allocator *pool, uint32_t capacity);

/* Out of service with up to `wanted` unused slabs, and back, as far as they have memory; answer how many. See
 * resilience/resize.h. */
SLB_PRIVATE uint32_t slb_shards_withhold(struct slabby_allocator *pool, uint32_t wanted);
SLB_PRIVATE uint32_t slb_shards_concede(struct slabby_allocator *pool, uint32_t wanted);

#endif
