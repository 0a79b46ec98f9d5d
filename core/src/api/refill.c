/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "api/refill.h"

#include "api/single.h"
#include "observe/counters.h"
#include "os/os.h"
#include "protect/reuse_delay.h"
#include "protect/shuffle.h"
#include "tiers/cpu_cache.h"
#include "tiers/depot.h"
#include "tiers/shards.h"

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
        uint32_t held_back = slb_shuffle(pool, ids, count) ? slb_shuffle_hold_back(pool, count - 1) : 0;
        *out_id = ids[0];
        slb_cache_fill(pool, stripe, &pool->return_caches, &ids[1], held_back);
        slb_cache_fill(pool, stripe, &pool->caches, &ids[1 + held_back], count - 1 - held_back);
        slb_cache_fold(pool);
    }
    slb_move_end(stripe);
    return count != 0;
}
