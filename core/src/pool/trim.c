/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "pool/trim.h"

#include "os/os.h"
#include "pool/free_range.h"
#include "pool/quiesce.h"
#include "protect/slab_pages.h"
#include "tiers/shards.h"

/* The whole pages between the end of one slab in use and the start of the next go back. */
static uint64_t discard_between(struct slabby_allocator *pool, uint64_t from, uint64_t to) {
    uint64_t page = slb_os_page_size();
    uint64_t start = (from + page - 1) / page * page;
    uint64_t end = to / page * page;
    if (end <= start || !slb_discard_slab_pages(pool, start, end))
        return 0;
    return end - start;
}

static uint64_t trim_range(struct slabby_allocator *pool, const struct slb_free_range *range) {
    uint64_t bytes = 0;
    uint64_t from = range->first * pool->stride;
    SLB_POINT(SLB_POINT_AT_REST);
    for (uint32_t id = range->first; id < range->end; id++) {
        if (slb_range_has_free(range, id))
            continue;
        bytes += discard_between(pool, from, id * pool->stride);
        from = (id + 1) * pool->stride;
    }
    return bytes + discard_between(pool, from, range->end * pool->stride);
}

static slabby_status trim_step(struct slabby_allocator *pool, const struct slb_free_range *range,
                               uint64_t *inout_bytes) {
    slabby_status status = SLABBY_OK;
    if (!slb_maintenance_begin(pool))
        return SLABBY_BUSY;
    if (!slb_pool_exists(pool))
        status = slb_pool_closed_status(pool);
    else if (!slb_find_free(pool, range))
        status = slb_pool_exists(pool) ? SLABBY_BUSY : slb_pool_closed_status(pool);
    else
        *inout_bytes += trim_range(pool, range);
    slb_maintenance_end(pool);
    return status;
}

/* What the first touch of a slab may bring into memory on most systems. Asking for the size would open a file. */
#define HUGE_PAGE 0x200000u

/* Slabs that may have memory: of a shard's range the first, which were used, and those that share a huge page with
 * them; with prefault all. */
static uint32_t count_touched(const struct slabby_allocator *pool, uint32_t shard) {
    uint32_t used = slb_shard_used(pool, shard);
    uint64_t range = slb_shard_start(pool, shard + 1) - slb_shard_start(pool, shard);
    uint64_t touched = used + HUGE_PAGE / pool->stride + 1;
    if (slb_option(&pool->options, SLABBY_OPTION_PREFAULT))
        return (uint32_t)range;
    return used == 0 ? 0 : (uint32_t)(touched < range ? touched : range);
}

/* Between two steps: long enough for threads that waited for one, which look every 50 us (slb_os_wait_a_little). */
#define BETWEEN_STEPS_NS 200000u

SLB_PRIVATE slabby_status slb_trim(struct slabby_allocator *pool, uint64_t *out_bytes) {
    struct slb_free_range range;
    slabby_status status = SLABBY_OK;
    slb_ranges_begin(&range, pool);
    *out_bytes = 0;
    while (status == SLABBY_OK && slb_next_range(pool, &range, count_touched)) {
        if (range.first != 0)
            slb_os_sleep(BETWEEN_STEPS_NS);
        status = trim_step(pool, &range, out_bytes);
    }
    slb_ranges_end(&range);
    return status;
}
