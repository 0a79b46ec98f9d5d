/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protect/shuffle.h"

#include "tiers/gate.h"
#include "tiers/random.h"

/* Swaps a random one of `count` ids into the last place. */
SLB_INLINE void choose_last(uint32_t *ids, uint32_t count, uint32_t random) {
    uint32_t k = slb_random_scaled(random, count), last = ids[count - 1];
    ids[count - 1] = ids[k];
    ids[k] = last;
}

SLB_PRIVATE bool slb_shuffle(struct slabby_allocator *pool, uint32_t *ids, uint32_t count) {
    if ((atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_SHUFFLE) == 0)
        return false;
    struct slb_random random = slb_random_begin(pool, count / 2);
    for (; count > 1; count -= 2) {
        uint64_t both = slb_random_next(&random);
        choose_last(ids, count, (uint32_t)(both >> 32));
        choose_last(ids, count - 1, (uint32_t)both);
    }
    return true;
}

SLB_PRIVATE uint32_t slb_shuffle_hold_back(const struct slabby_allocator *pool, uint32_t count) {
    uint32_t reserve = pool->cache_max == 0 ? 0 : pool->batch / 4;
    return reserve < count ? reserve : count;
}

/* Inside a move: this thread takes all returned ids in hand for a moment. */
static bool mix_returned(struct slabby_allocator *pool, struct slb_stripe *stripe) {
    uint32_t ids[SLB_CACHE_IDS], cpu = slb_os_cpu();
    if (cpu >= slb_used_cpus(pool))
        return false;
    /* relaxed: the take checks again, and gets that many or none */
    uint64_t header = atomic_load_explicit(&pool->return_caches[cpu].cache.header, memory_order_relaxed);
    uint32_t count = slb_header_ids(header), held_back = slb_shuffle_hold_back(pool, count);
    if (count == held_back || !slb_cache_take_batch(pool, &pool->return_caches, ids, count))
        return false;
    SLB_POINT(SLB_POINT_REFILL);
    slb_count(&stripe->cache_out, count);
    (void)slb_shuffle(pool, ids, count);
    slb_cache_fill(pool, stripe, &pool->return_caches, ids, held_back);
    slb_cache_fill(pool, stripe, &pool->caches, &ids[held_back], count - held_back);
    return true;
}

SLB_PRIVATE SLB_COLD bool slb_shuffle_returned(struct slabby_allocator *pool) {
    return slb_gate_move(pool, mix_returned);
}
