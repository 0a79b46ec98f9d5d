/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protect/shuffle.h"
#include "tiers/random.h"

SLB_PRIVATE void slb_shuffle(struct slabby_allocator *pool, uint32_t *ids, uint32_t count) {
    if ((atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_SHUFFLE) == 0)
        return;
    for (uint32_t i = count; i > 1; i--) {
        uint32_t k = slb_random_below(pool, i);
        uint32_t moved = ids[i - 1];
        ids[i - 1] = ids[k];
        ids[k] = moved;
    }
}
