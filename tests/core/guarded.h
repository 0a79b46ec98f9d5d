/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pools that sample allocations for guard slots. */
#ifndef SLABBY_TEST_GUARDED_H
#define SLABBY_TEST_GUARDED_H

#include "support.h"

static inline slabby_allocator *guarded_pool(uint64_t slab_size, uint64_t capacity, int64_t rate,
                                             int64_t slots) {
    return make_pool(slab_size, capacity,
                     WITH({SLABBY_OPTION_GUARD_SAMPLE_RATE, rate}, {SLABBY_OPTION_GUARD_SLOTS, slots}));
}

static inline uint64_t guard_hits(slabby_allocator *pool) {
    return stats_of(pool).guard_hits;
}

/* Whether a slab lies on a guard slot: its address is not among the pool's slabs. */
static inline int on_a_slot(slabby_allocator *pool, const void *data) {
    slabby_view_info view = view_of(pool);
    uint64_t at = (uintptr_t)data;

    return at < view.slabs_address || at >= view.slabs_address + view.capacity * view.stride;
}

#endif
