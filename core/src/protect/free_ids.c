/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protect/free_ids.h"

#include "observe/counters.h"
#include "os/os.h"
#include "protect/reuse_delay.h"
#include "tiers/depot.h"
#include "tiers/gate.h"
#include "tiers/in_flight.h"
#include "tiers/shards.h"

static bool split_depot_batch(struct slabby_allocator *pool, struct slb_stripe *stripe, uint32_t *out_id) {
    uint32_t ids[SLB_CACHE_IDS];
    slb_move_begin(stripe);
    bool found = slb_depot_pop(pool, ids);
    SLB_POINT(SLB_POINT_SPLIT);
    if (found) {
        *out_id = ids[0];
        for (uint32_t i = 1; i < pool->batch; i++)
            slb_shards_push(pool, slb_os_cpu(), ids[i]);
    }
    slb_move_end(stripe);
    return found;
}

SLB_PRIVATE bool slb_take_free(struct slabby_allocator *pool, struct slb_stripe *stripe, uint32_t *out_id,
                               enum slb_tier *out_tier) {
    if (slb_shards_pop(pool, slb_os_cpu(), out_id))
        *out_tier = SLB_TIER_SHARD;
    else if (pool->cache_max != 0 && split_depot_batch(pool, stripe, out_id)) /* without caches, no depot */
        *out_tier = SLB_TIER_DEPOT;
    else if (pool->delay.limit != 0 && slb_delay_pop(pool, out_id, NULL))
        *out_tier = SLB_TIER_SHARD;
    else
        return false;
    slb_gate_note_free(pool, -1);
    if (slb_unlikely(slb_gate_recount_is_due(pool)))
        slb_gate_recounted(pool, slb_count_available(pool));
    return true;
}
