/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tiers/random.h"

SLB_PRIVATE struct slb_random slb_random_begin(struct slabby_allocator *pool, uint32_t count) {
    /* relaxed: only that no other call draws the same numbers matters */
    uint64_t first =
        atomic_fetch_add_explicit(&pool->shuffle_turn, count * SLB_RANDOM_STEP, memory_order_relaxed);
    return (struct slb_random){.turn = first, .key = pool->guard_key};
}

SLB_PRIVATE uint32_t slb_random_below(struct slabby_allocator *pool, uint32_t limit) {
    struct slb_random random = slb_random_begin(pool, 1);
    return slb_random_scaled((uint32_t)(slb_random_next(&random) >> 32), limit);
}
