/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "pool/free_range.h"

#include "observe/counters.h"
#include "os/os.h"
#include "pool/quiesce.h"
#include "tiers/delay_queue.h"
#include "tiers/shards.h"

#include <string.h>

static void note_free_slabs(struct slabby_allocator *pool, const struct slb_free_range *range) {
    memset(range->is_free, 0, ((range->end - range->first + 63) / 64) * sizeof *range->is_free);
    for (uint32_t id = range->first; id < range->end; id++) {
        uint32_t state = slb_word_state(atomic_load_explicit(&pool->words[id], memory_order_acquire));
        if (state == SLABBY_SLAB_STATE_FREE || state == SLABBY_SLAB_STATE_RETIRED ||
            state == SLABBY_SLAB_STATE_CLAIMED)
            range->is_free[(id - range->first) / 64] |= 1ull << ((id - range->first) % 64);
    }
}

/* Slabs that wait for reuse are not free: a late write to one is still to be found, so its bytes stay. */
static void except_delayed(struct slabby_allocator *pool, const struct slb_free_range *range) {
    uint64_t cells = pool->delay.limit == 0 ? 0 : slb_delay_cells(pool);
    uint32_t id;
    for (uint64_t n = 0; n < cells; n++)
        if (slb_delay_at(pool, n, &id) && id >= range->first && id < range->end)
            range->is_free[(id - range->first) / 64] &= ~(1ull << ((id - range->first) % 64));
}

/* Releases continue under maintenance, and the word of a release in progress says free before its patterns have been
 * checked. If the pool is quiescent afterwards and no slab has come back, none was in progress when the bits and the
 * rings were read. */
SLB_PRIVATE bool slb_find_free(struct slabby_allocator *pool, const struct slb_free_range *range) {
    while (slb_maintenance_quiesce(pool, SLB_QUIESCE_ATTEMPTS_SHORT)) {
        uint64_t before = slb_count_live(pool);
        note_free_slabs(pool, range);
        except_delayed(pool, range);
        if (slb_maintenance_is_quiescent(pool, 1) && slb_count_live(pool) == before)
            return true;
    }
    return false;
}

static uint64_t mapping_size(uint32_t slabs) {
    uint64_t page = slb_os_page_size();
    return (slabs / 8 + 8 + page - 1) / page * page;
}

SLB_PRIVATE void slb_ranges_begin(struct slb_free_range *range, const struct slabby_allocator *pool) {
    range->first = range->end = 0;
    range->length = pool->reserved / 16;
    range->is_free = range->length > SLB_FREE_RANGE ? slb_os_map(mapping_size(range->length)) : NULL;
    if (range->is_free != NULL)
        return;
    range->length = SLB_FREE_RANGE;
    range->is_free = range->few;
}

SLB_PRIVATE void slb_ranges_end(struct slb_free_range *range) {
    if (range->is_free != range->few)
        slb_os_unmap(range->is_free, mapping_size(range->length));
}

/* Shards that lie close together share a range. */
SLB_PRIVATE bool slb_next_range(struct slabby_allocator *pool, struct slb_free_range *range,
                                slb_range_count *count) {
    uint32_t from = range->end;
    bool found = false;
    for (uint32_t shard = 0; shard <= pool->shard_mask; shard++) {
        uint32_t first = slb_shard_start(pool, shard), end = first + count(pool, shard);
        first = first < from ? from : first;
        if (end <= first)
            continue;
        if (found && end - range->first > SLB_FREE_RANGE)
            break;
        range->first = found ? range->first : first;
        range->end = end - range->first > range->length ? range->first + range->length : end;
        found = true;
    }
    return found;
}
