/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protect/secure.h"

#include "protect/tools.h"
#include "protect/zero.h"
#include "tiers/shards.h"

static void zero_slab_at(struct slabby_allocator *pool, void *data) {
    if (slb_unlikely(atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_TOOLS))
        slb_tools_zero(data, pool->slab_size);
    else
        slb_zero(data, pool->slab_size);
}

SLB_PRIVATE void slb_secure_zero_slab(struct slabby_allocator *pool, uint32_t id) {
    zero_slab_at(pool, slb_slab_data(pool, id));
}

SLB_PRIVATE void slb_secure_zero_free_slab(struct slabby_allocator *pool, uint32_t id) {
    if (slb_slab_was_used(pool, id))
        zero_slab_at(pool, pool->slabs + (uint64_t)id * pool->stride);
}
