/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protect/secure.h"

#include "protect/tools.h"
#include "tiers/shards.h"

static void zero_slab_at(struct slabby_allocator *pool, void *data) {
    if (slb_unlikely(atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_TOOLS))
        slb_tools_zero(data, pool->slab_size);
    else
        slb_secure_zero(data, pool->slab_size);
}

SLB_PRIVATE void slb_secure_zero_slab(struct slabby_allocator *pool, uint32_t id) {
    zero_slab_at(pool, slb_slab_data(pool, id));
}

/* Under maintenance nobody takes a slab, so a free word stays free; a slab whose word says free but whose release is
 * still on its way was freed by a thread that may have read the flag before it was set, and is zeroed here as well:
 * zeroing twice is harmless. Slabs that were never used are zero already. */
SLB_PRIVATE void slb_secure_zero_free_slabs(struct slabby_allocator *pool) {
    for (uint32_t id = 0; id < pool->reserved; id++) {
        if (!slb_slab_was_used(pool, id))
            continue;
        uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_acquire);
        uint32_t state = slb_word_state(word);
        if (state != SLABBY_SLAB_STATE_FREE && state != SLABBY_SLAB_STATE_RETIRED &&
            state != SLABBY_SLAB_STATE_CLAIMED)
            continue;
        zero_slab_at(pool, pool->slabs + (uint64_t)id * pool->stride);
    }
}
