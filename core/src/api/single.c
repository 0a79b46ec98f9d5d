/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "api/single.h"

#include "protect/reuse_delay.h"
#include "tiers/shards.h"

/* How many of a neighbour's slabs are taken at once. */
#define FETCHED_AT_ONCE 32u

static bool fetch(struct slabby_allocator *pool, struct slb_stripe *stripe, uint32_t cpu, uint32_t *out_id) {
    slb_move_begin(stripe);
    bool found = slb_shards_fetch(pool, cpu, FETCHED_AT_ONCE, out_id);
    slb_move_end(stripe);
    return found;
}

/* For one id of this CPU's own shard, exactly one thread or list has the id at any time, so this is no move. */
SLB_PRIVATE bool slb_search_singly(struct slabby_allocator *pool, struct slb_stripe *stripe,
                                   uint32_t *out_id) {
    uint32_t cpu = slb_os_cpu();
    return (pool->shard_mask == 0
                ? slb_shards_pop(pool, cpu, out_id)
                : slb_stack_pop(&pool->shards[cpu & pool->shard_mask].head, pool->next, out_id) ||
                      fetch(pool, stripe, cpu, out_id)) ||
           (pool->delay.limit != 0 && slb_delay_pop(pool, out_id, NULL));
}

SLB_PRIVATE SLB_COLD void slb_single_note(struct slabby_allocator *pool, struct slb_stripe *stripe,
                                          uint64_t started) {
    struct slb_timing timing = {started, SLB_SAMPLE_MEAN};
    (void)slb_timing_end(pool, &timing, 1); /* without a limit none is too slow */
    if (!slb_in_flight())
        slb_note_peak_single(pool, stripe);
}
