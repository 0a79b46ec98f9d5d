/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "pool/free_range.h"

#include "observe/counters.h"
#include "pool/quiesce.h"

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

/* Releases continue under maintenance, and the word of a release in progress says free before its patterns have been
 * checked. If the pool is quiescent afterwards and no slab has come back, none was in progress when the bits were
 * read. */
SLB_PRIVATE bool slb_find_free(struct slabby_allocator *pool, const struct slb_free_range *range) {
    while (slb_maintenance_quiesce(pool, SLB_QUIESCE_ATTEMPTS_SHORT)) {
        uint64_t before = slb_count_live(pool);
        note_free_slabs(pool, range);
        if (slb_maintenance_is_quiescent(pool, 1) && slb_count_live(pool) == before)
            return true;
    }
    return false;
}
