/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bit_guard: a keyed pattern just before and just after the user's bytes, written when the slab is handed out and
 * verified when it comes back.
 *
 *   ... | front pattern | user's slab_size bytes | back pattern | ...
 *
 * The pattern depends on a secret of the pool, the slab and its generation, so neither a copy of a neighbour's pattern
 * nor that of an earlier owner passes. Every byte of it is compared, so one flipped byte is found. A write further away
 * (an overflow by more than the back pattern) lands in the next slab's front pattern or bytes.
 */
#ifndef SLB_PROTECT_BIT_GUARD_H
#define SLB_PROTECT_BIT_GUARD_H

#include "pool.h"
#include "protect/bit_guard_state.h"
#include "tiers/random.h"

/* The first byte that differs. offset counts from the user's first byte: negative before the slab. */
struct slb_damage {
    slabby_ref ref;
    int64_t offset;
    uint8_t expected, found;
};

/* Word k of a pattern is seed + k x SLB_PATTERN_STEP; front and back are numbered together. */
#define SLB_PATTERN_STEP 0x9E3779B97F4A7C15u

SLB_INLINE uint64_t slb_pattern_word(uint64_t seed, uint32_t k) {
    return seed + k * SLB_PATTERN_STEP;
}

/* Mixes the pool's secret with the relative reference, which no two allocations of a pool share. */
SLB_INLINE uint64_t slb_pattern_seed_of(const struct slabby_allocator *pool, uint64_t relative_ref) {
    return slb_random_mix(pool->guard_key + relative_ref);
}

SLB_INLINE uint64_t slb_pattern_seed(const struct slabby_allocator *pool, uint32_t id, uint64_t generation) {
    return slb_pattern_seed_of(pool, generation << pool->id_bits | id);
}

/* A pattern of any size. Word k has the machine's byte order, as the other functions here have it.
 * slb_pattern_compare answers the offset of the first byte that differs, or size. */
SLB_PRIVATE void slb_pattern_write(unsigned char *at, uint32_t size, uint64_t seed, uint32_t first);
SLB_PRIVATE uint32_t slb_pattern_compare(const unsigned char *at, uint32_t size, uint64_t seed,
                                         uint32_t first, uint8_t *out_expected);

/* Sixteen bytes at any address, in one vector register. */
typedef uint64_t slb_pair __attribute__((vector_size(16), aligned(1), may_alias));

#define SLB_PATTERN_SIDE 64u /* what the default alignment leaves on either side */

#define SLB_PAIR_STEP ((slb_pair){2 * SLB_PATTERN_STEP, 2 * SLB_PATTERN_STEP})

SLB_INLINE slb_pair slb_side_begin(uint64_t seed, uint32_t first) {
    return (slb_pair){slb_pattern_word(seed, first), slb_pattern_word(seed, first + 1)};
}

SLB_INLINE void slb_side_write(unsigned char *at, uint64_t seed, uint32_t first) {
    slb_pair words = slb_side_begin(seed, first), *pairs = (slb_pair *)(void *)at;
    pairs[0] = words;
    pairs[1] = words += SLB_PAIR_STEP;
    pairs[2] = words += SLB_PAIR_STEP;
    pairs[3] = words + SLB_PAIR_STEP;
}

SLB_INLINE slb_pair slb_side_difference(const unsigned char *at, uint64_t seed, uint32_t first) {
    slb_pair words = slb_side_begin(seed, first), different;
    const slb_pair *pairs = (const slb_pair *)(const void *)at;
    different = pairs[0] ^ words;
    words += SLB_PAIR_STEP;
    different |= pairs[1] ^ words;
    words += SLB_PAIR_STEP;
    different |= pairs[2] ^ words;
    words += SLB_PAIR_STEP;
    return different | (pairs[3] ^ words);
}

/* Whether both sides have the size that the default alignment leaves; fixed when the pool is made. */
SLB_INLINE bool slb_sides_are_usual(const struct slabby_allocator *pool) {
    return slb_likely(pool->guard_front == SLB_PATTERN_SIDE && pool->guard_back == SLB_PATTERN_SIDE);
}

/* Both sides of the slab at `data`, of the usual size. */
SLB_INLINE void slb_usual_sides_write(const struct slabby_allocator *pool, unsigned char *data,
                                      uint64_t seed) {
    slb_side_write(data - SLB_PATTERN_SIDE, seed, 0);
    slb_side_write(data + pool->slab_size, seed, SLB_PATTERN_SIDE);
}

SLB_INLINE bool slb_usual_sides_hold(const struct slabby_allocator *pool, const unsigned char *data,
                                     uint64_t seed) {
    slb_pair different = slb_side_difference(data - SLB_PATTERN_SIDE, seed, 0) |
                         slb_side_difference(data + pool->slab_size, seed, SLB_PATTERN_SIDE);
    return (different[0] | different[1]) == 0;
}

/* Requests the first lines of both sides ahead of reading them. */
SLB_INLINE void slb_sides_request(const struct slabby_allocator *pool, const unsigned char *data) {
    __builtin_prefetch(data - 1);
    __builtin_prefetch(data + pool->slab_size);
}

/* Both sides of the slab at `data`, of whatever size the pool gives them. */
SLB_PRIVATE void slb_sides_write(const struct slabby_allocator *pool, unsigned char *data, uint64_t seed);
SLB_PRIVATE bool slb_sides_hold(const struct slabby_allocator *pool, const unsigned char *data,
                                uint64_t seed);

SLB_PRIVATE void slb_bit_guard_write(struct slabby_allocator *pool, uint32_t id, uint64_t generation);

/* False where a byte differs; out_damage is filled then, its ref included. */
SLB_PRIVATE bool slb_bit_guard_intact(struct slabby_allocator *pool, uint32_t id, uint64_t generation,
                                      struct slb_damage *out_damage);

#endif
