/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tiers/shards.h"

#include "tiers/id_order.h"
#include "tiers/stack.h"

SLB_PRIVATE uint32_t slb_shard_begins(uint32_t reserved, uint32_t shards, uint32_t shard) {
    return (uint32_t)((uint64_t)reserved * shard / shards);
}

SLB_PRIVATE uint32_t slb_shard_start(const struct slabby_allocator *pool, uint32_t shard) {
    return slb_shard_begins(pool->reserved, pool->shard_mask + 1u, shard);
}

/* Ranges have `least` slabs, or one more. After each shard has the same number, the remaining slabs go to the first
 * shards, or, if the shorter ranges are full, to the first of the longer ones. */
SLB_PRIVATE uint32_t slb_shard_share(uint32_t reserved, uint32_t shards, uint32_t slabs, uint32_t shard) {
    uint32_t least = reserved / shards, each = slabs / shards, left = slabs % shards;
    if (each < least)
        return each + (shard < left);
    uint32_t start = slb_shard_begins(reserved, shards, shard);
    bool longer = slb_shard_begins(reserved, shards, shard + 1) - start > least;
    return each + (longer && start - shard * least < left);
}

static uint32_t shard_range(const struct slabby_allocator *pool, uint32_t shard) {
    return slb_shard_start(pool, shard + 1) - slb_shard_start(pool, shard);
}

static uint64_t load_fresh(const struct slabby_allocator *pool, uint32_t shard) {
    return atomic_load_explicit(&pool->shards[shard].fresh, memory_order_seq_cst);
}

SLB_PRIVATE uint32_t slb_shard_used(const struct slabby_allocator *pool, uint32_t shard) {
    return (uint32_t)load_fresh(pool, shard);
}

SLB_PRIVATE uint32_t slb_shard_withheld(const struct slabby_allocator *pool, uint32_t shard) {
    return (uint32_t)(load_fresh(pool, shard) >> SLB_FRESH_WITHHELD);
}

static uint32_t fresh_left(const struct slabby_allocator *pool, uint32_t shard, uint64_t fresh) {
    return shard_range(pool, shard) - (uint32_t)(fresh >> SLB_FRESH_WITHHELD) - (uint32_t)fresh;
}

SLB_PRIVATE uint32_t slb_shard_unused(const struct slabby_allocator *pool, uint32_t shard) {
    return fresh_left(pool, shard, load_fresh(pool, shard));
}

/* Up to `wanted` slabs that were never used, lowest first; answers how many. */
static uint32_t take_fresh(struct slabby_allocator *pool, uint32_t shard, uint32_t wanted,
                           uint32_t *out_first) {
    uint64_t fresh = atomic_load_explicit(&pool->shards[shard].fresh, memory_order_relaxed);
    for (;;) {
        uint32_t left = fresh_left(pool, shard, fresh);
        uint32_t count = left < wanted ? left : wanted;
        if (count == 0)
            return 0;
        if (atomic_compare_exchange_weak_explicit(&pool->shards[shard].fresh, &fresh, fresh + count,
                                                  memory_order_acq_rel, memory_order_relaxed)) {
            *out_first = (uint32_t)fresh;
            return count;
        }
    }
}

SLB_PRIVATE uint32_t slb_shards_begin(struct slabby_allocator *pool, uint32_t capacity) {
    uint32_t shards = pool->shard_mask + 1;
    for (uint32_t i = 0; i < shards; i++) {
        uint64_t withheld = shard_range(pool, i) - slb_shard_share(pool->reserved, shards, capacity, i);
        /* relaxed: no other thread knows the pool */
        atomic_store_explicit(&pool->shards[i].fresh, withheld << SLB_FRESH_WITHHELD, memory_order_relaxed);
    }
    return pool->reserved - capacity;
}

/* Withheld slabs that have memory. Needs the gate lock, under which alone both numbers change. */
static uint32_t concedable(const struct slabby_allocator *pool, uint32_t shard, uint64_t fresh) {
    uint32_t without_memory =
        shard_range(pool, shard) -
        slb_shard_share(pool->reserved, pool->shard_mask + 1u, pool->capacity.committed, shard);
    SLB_ASSERT((uint32_t)(fresh >> SLB_FRESH_WITHHELD) >= without_memory);
    return (uint32_t)(fresh >> SLB_FRESH_WITHHELD) - without_memory;
}

/* Moves the line between withheld and unused slabs; answers by how much. */
static uint32_t shift_fresh(struct slabby_allocator *pool, uint32_t shard, uint32_t wanted, bool withhold) {
    uint64_t fresh = load_fresh(pool, shard), moved;
    uint32_t count;
    do {
        uint32_t most = withhold ? fresh_left(pool, shard, fresh) : concedable(pool, shard, fresh);
        count = most < wanted ? most : wanted;
        moved = (uint64_t)count << SLB_FRESH_WITHHELD;
    } while (!atomic_compare_exchange_weak_explicit(&pool->shards[shard].fresh, &fresh,
                                                    withhold ? fresh + moved : fresh - moved,
                                                    memory_order_seq_cst, memory_order_relaxed));
    return count;
}

/* The same number from each shard first, then from any shard that has some. */
static uint32_t shift_all(struct slabby_allocator *pool, uint32_t wanted, bool withhold) {
    uint32_t shards = pool->shard_mask + 1, left = wanted;
    for (uint32_t i = 0; i < shards; i++)
        left -= shift_fresh(pool, i, (left + shards - i - 1) / (shards - i), withhold);
    for (uint32_t i = 0; i < shards && left != 0; i++)
        left -= shift_fresh(pool, i, left, withhold);
    return wanted - left;
}

SLB_PRIVATE uint32_t slb_shards_withhold(struct slabby_allocator *pool, uint32_t wanted) {
    return shift_all(pool, wanted, true);
}

SLB_PRIVATE uint32_t slb_shards_concede(struct slabby_allocator *pool, uint32_t wanted) {
    return shift_all(pool, wanted, false);
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
        uint32_t first = 0;
        uint32_t taken = take_fresh(pool, shard, wanted - count, &first);
        for (uint32_t k = 0; k < taken; k++)
            out_ids[count + k] = slb_shard_start(pool, shard) + first + k;
        slb_order_ids(&out_ids[count], taken, false);
        count += taken;
    }
    return count;
}

SLB_PRIVATE bool slb_shards_pop(struct slabby_allocator *pool, uint32_t hint, uint32_t *out_id) {
    return slb_shards_pop_many(pool, hint, out_id, 1) == 1;
}

SLB_PRIVATE bool slb_shards_fetch(struct slabby_allocator *pool, uint32_t hint, uint32_t wanted,
                                  uint32_t *out_id) {
    slb_stack *own = &pool->shards[hint & pool->shard_mask].head;
    for (uint32_t i = 1; i <= pool->shard_mask; i++) {
        uint32_t last, count = slb_stack_pop_chain(&pool->shards[(hint + i) & pool->shard_mask].head,
                                                   pool->next, wanted, out_id, &last);
        if (count == 0)
            continue;
        SLB_POINT(SLB_POINT_REFILL);
        if (count > 1) {
            /* relaxed: this thread has acquired the chain */
            uint32_t second = atomic_load_explicit(&pool->next[*out_id], memory_order_relaxed) - 1;
            slb_stack_push_chain(own, pool->next, second, last);
        }
        return true;
    }
    return slb_shards_pop(pool, hint, out_id);
}

/* The shard whose range holds an id: the division below inverts slb_shard_start, which rounds down. */
static uint32_t shard_of(const struct slabby_allocator *pool, uint32_t id) {
    uint32_t shard = (uint32_t)(((uint64_t)id * (pool->shard_mask + 1u)) / pool->reserved);
    while (shard < pool->shard_mask && slb_shard_start(pool, shard + 1) <= id)
        shard++;
    return shard;
}

SLB_PRIVATE bool slb_slab_was_used(struct slabby_allocator *pool, uint32_t id) {
    if (id >= pool->reserved)
        return id - pool->reserved < atomic_load_explicit(&pool->heap.used, memory_order_acquire);
    uint32_t shard = shard_of(pool, id);
    return id - slb_shard_start(pool, shard) < slb_shard_used(pool, shard);
}

SLB_PRIVATE bool slb_slab_is_withheld(struct slabby_allocator *pool, uint32_t id) {
    uint32_t shard = shard_of(pool, id);
    return slb_shard_start(pool, shard + 1) - id <= slb_shard_withheld(pool, shard);
}
