/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tiers/shards.h"

#include "tiers/stack.h"

SLB_PRIVATE uint32_t slb_shard_start(const struct slabby_allocator *pool, uint32_t shard) {
    return (uint32_t)((uint64_t)pool->capacity * shard / (pool->shard_mask + 1u));
}

static uint32_t shard_range(const struct slabby_allocator *pool, uint32_t shard) {
    return slb_shard_start(pool, shard + 1) - slb_shard_start(pool, shard);
}

SLB_PRIVATE void slb_shards_push(struct slabby_allocator *pool, uint32_t hint, uint32_t id) {
    slb_stack_push(&pool->shards[hint & pool->shard_mask].head, pool->next, id);
}

/* Recently used slabs first: they are in some cache, and untouched pages stay untouched. */
SLB_PRIVATE uint32_t slb_shards_pop_many(struct slabby_allocator *pool, uint32_t hint, uint32_t *out_ids,
                                         uint32_t wanted) {
    uint32_t count = 0;
    for (uint32_t i = 0; i <= pool->shard_mask && count == 0; i++) {
        uint32_t shard = (hint + i) & pool->shard_mask;
        while (count < wanted && slb_stack_pop(&pool->shards[shard].head, pool->next, &out_ids[count]))
            count++;
    }
    for (uint32_t i = 0; i <= pool->shard_mask && count < wanted; i++) {
        uint32_t shard = (hint + i) & pool->shard_mask;
        uint64_t first;
        uint32_t fresh =
            slb_bump(&pool->shards[shard].used, shard_range(pool, shard), wanted - count, &first);
        for (uint32_t k = 0; k < fresh; k++)
            out_ids[count++] = slb_shard_start(pool, shard) + (uint32_t)first + k;
    }
    return count;
}

SLB_PRIVATE bool slb_shards_pop(struct slabby_allocator *pool, uint32_t hint, uint32_t *out_id) {
    return slb_shards_pop_many(pool, hint, out_id, 1) == 1;
}

/* The shard whose range holds an id: the division below inverts slb_shard_start, which rounds down. */
static uint32_t shard_of(const struct slabby_allocator *pool, uint32_t id) {
    uint32_t shard = (uint32_t)(((uint64_t)id * (pool->shard_mask + 1u)) / pool->capacity);
    while (shard < pool->shard_mask && slb_shard_start(pool, shard + 1) <= id)
        shard++;
    return shard;
}

SLB_PRIVATE bool slb_slab_was_used(struct slabby_allocator *pool, uint32_t id) {
    if (id >= pool->capacity)
        return id - pool->capacity < atomic_load_explicit(&pool->heap.used, memory_order_acquire);
    uint32_t shard = shard_of(pool, id);
    return id - slb_shard_start(pool, shard) <
           atomic_load_explicit(&pool->shards[shard].used, memory_order_acquire);
}
