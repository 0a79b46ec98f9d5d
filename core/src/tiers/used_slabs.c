/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tiers/used_slabs.h"

#include "tiers/shards.h"

SLB_PRIVATE uint32_t slb_next_used(struct slabby_allocator *pool, uint32_t id) {
    if (id < pool->reserved && slb_slab_was_used(pool, id))
        return id;
    for (uint32_t shard = 0; shard <= pool->shard_mask && id < pool->reserved; shard++) {
        uint32_t start = slb_shard_start(pool, shard);
        bool used = slb_shard_used(pool, shard) != 0;
        if (start >= id && used && start < slb_shard_start(pool, shard + 1))
            return start;
    }
    if (id < pool->reserved)
        id = pool->reserved;
    return slb_slab_was_used(pool, id) ? id : atomic_load_explicit(&pool->id_limit, memory_order_acquire);
}
