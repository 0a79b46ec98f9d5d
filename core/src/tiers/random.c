/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tiers/random.h"

/* A counter through a 64-bit mixer, keyed with the pool's secret; the high half scaled to the limit. */
SLB_PRIVATE uint32_t slb_random_below(struct slabby_allocator *pool, uint32_t limit) {
    uint64_t x = atomic_fetch_add_explicit(&pool->shuffle_turn, 0x9E3779B97F4A7C15u, memory_order_relaxed);
    x ^= pool->guard_key;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return (uint32_t)(((x >> 32) * limit) >> 32);
}
