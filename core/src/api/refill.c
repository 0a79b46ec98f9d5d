/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "api/refill.h"

#include "api/single.h"
#include "observe/counters.h"
#include "os/os.h"
#include "protect/reuse_delay.h"
#include "protect/shuffle.h"
#include "tiers/cpu_cache.h"
#include "tiers/depot.h"
#include "tiers/gate.h"
#include "tiers/id_order.h"
#include "tiers/shards.h"
#include "tiers/word_bias.h"

SLB_PRIVATE bool slb_refill(struct slabby_allocator *pool, struct slb_stripe *stripe, uint32_t *out_id,
                            enum slb_tier *out_tier) {
    uint32_t ids[SLB_CACHE_IDS];
    uint32_t count = 0;
    if (slb_searches_singly(pool)) {
        *out_tier = SLB_TIER_SHARD;
        return slb_search_singly(pool, stripe, out_id);
    }
    slb_move_begin(stripe);
    if (slb_depot_pop(pool, ids)) {
        count = pool->batch;
        *out_tier = SLB_TIER_DEPOT;
    } else {
        count = slb_shards_pop_many(pool, slb_os_cpu(), ids,
                                    pool->cache_max != 0 ? pool->batch : SLB_SHUFFLE_AMONG);
        *out_tier = SLB_TIER_SHARD;
    }
    if (count == 0 && pool->delay.limit != 0)
        count = slb_delay_pop(pool, ids, NULL);
    SLB_POINT(SLB_POINT_REFILL);
    if (count != 0) {
        bool shuffled = slb_shuffle(pool, ids, count);
        uint32_t held_back = shuffled ? slb_shuffle_hold_back(pool, count - 1) : 0;
        if (!shuffled)
            slb_order_ids(ids, count, slb_bias_is_remote(pool, slb_os_cpu()));
        *out_id = ids[0];
        slb_cache_fill(pool, stripe, &pool->return_caches, &ids[1], held_back);
        slb_cache_fill(pool, stripe, &pool->caches, &ids[1 + held_back], count - 1 - held_back);
        slb_cache_fold(pool);
    }
    slb_move_end(stripe);
    return count != 0;
}

/* Puts the ids of the line on top of the cache first, which is the bottom: the other CPU has the rest of this line.
 * Answers how many they are. */
static uint32_t sink_top_line(uint32_t *ids, uint32_t count) {
    uint32_t line = ids[count - 1] / SLB_WORDS_A_LINE, sunk = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t id = ids[i];
        if (id / SLB_WORDS_A_LINE != line)
            continue;
        ids[i] = ids[sunk];
        ids[sunk++] = id;
    }
    return sunk;
}

/* Inside a move: this thread takes all ids of its CPU's cache in hand for a moment. */
static bool put_apart(struct slabby_allocator *pool, struct slb_stripe *stripe) {
    uint32_t ids[SLB_CACHE_IDS], cpu = slb_os_cpu();
    if (cpu >= pool->rseq_cpus)
        return false;
    (void)atomic_fetch_and_explicit(&pool->rearranges, ~(1ull << cpu % 64),
                                    memory_order_relaxed); /* a hint */
    /* relaxed: fixed by create; a random order parts neighbours as well */
    if ((atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_SHUFFLE) != 0)
        return false;
    /* relaxed: the take checks again, and gets that many or none */
    uint64_t header = atomic_load_explicit(&pool->caches[cpu].cache.header, memory_order_relaxed);
    uint32_t count = slb_header_ids(header);
    if (count == 0 || !slb_cache_take_batch(pool, &pool->caches, ids, count))
        return false;
    SLB_POINT(SLB_POINT_REFILL);
    slb_count(&stripe->cache_out, count);
    uint32_t sunk = sink_top_line(ids, count);
    if (sunk == count) { /* no others: the next allocation gets a batch */
        for (uint32_t i = 0; i < count; i++)
            slb_shards_push(pool, slb_os_cpu(), ids[i]);
        return true;
    }
    slb_order_ids(&ids[sunk], count - sunk, false);
    slb_cache_fill(pool, stripe, &pool->caches, ids, count);
    return true;
}

SLB_PRIVATE SLB_COLD void slb_rearrange(struct slabby_allocator *pool, uint64_t due) {
    if ((due >> slb_os_cpu() % 64 & 1) != 0)
        (void)slb_gate_move(pool, put_apart);
}
