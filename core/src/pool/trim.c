/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "pool/trim.h"

#include "os/os.h"
#include "pool/free_range.h"
#include "pool/quiesce.h"
#include "protect/slab_pages.h"

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

/* Large pools take larger steps, with their bits in a mapping. If the system refuses the mapping, small steps are
 * used. */
SLB_PRIVATE slabby_status slb_trim(struct slabby_allocator *pool, uint64_t *out_bytes) {
    uint64_t few[SLB_FREE_RANGE / 64];
    uint32_t slabs = pool->reserved, length = slabs / 16;
    uint64_t page = slb_os_page_size();
    uint64_t mapping = (length / 8 + 8 + page - 1) / page * page;
    uint64_t *mapped = length > SLB_FREE_RANGE ? slb_os_map(mapping) : NULL;
    slabby_status status = SLABBY_OK;
    struct slb_free_range range = {.is_free = mapped == NULL ? few : mapped};
    if (mapped == NULL)
        length = SLB_FREE_RANGE;
    *out_bytes = 0;
    for (; range.first < slabs && status == SLABBY_OK; range.first = range.end) {
        range.end = slabs - range.first < length ? slabs : range.first + length;
        status = trim_step(pool, &range, out_bytes);
    }
    slb_os_unmap(mapped, mapping);
    return status;
}
