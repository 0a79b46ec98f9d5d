/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Random numbers, for the order of a batch and for the time of a breaker's probes. Not for secrets, although a secret
 * keys them. */
#ifndef SLB_TIERS_RANDOM_H
#define SLB_TIERS_RANDOM_H

#include "pool.h"

/* From one number to the next: 2^64 divided by the golden ratio, so that every turn differs. */
#define SLB_RANDOM_STEP 0x9E3779B97F4A7C15u

/* Some numbers in a row. */
struct slb_random {
    uint64_t turn, key;
};

/* `count` numbers that no other call draws. */
SLB_PRIVATE struct slb_random slb_random_begin(struct slabby_allocator *pool, uint32_t count);

/* One round of a well-known 64-bit mixer (Steele, Lea, Flood: splittable random numbers, 2014): every input bit reaches
 * every output bit. */
SLB_INLINE uint64_t slb_random_mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

/* The next of them: a counter through the mixer, keyed with the pool's secret. Either half serves alone. */
SLB_INLINE uint64_t slb_random_next(struct slb_random *random) {
    uint64_t x = random->turn ^ random->key;
    random->turn += SLB_RANDOM_STEP;
    return slb_random_mix(x);
}

/* Half a random number, scaled to a number below `limit`, which must be above 0. */
SLB_INLINE uint32_t slb_random_scaled(uint32_t random, uint32_t limit) {
    return (uint32_t)(((uint64_t)random * limit) >> 32);
}

SLB_PRIVATE uint32_t slb_random_below(struct slabby_allocator *pool, uint32_t limit);

#endif
