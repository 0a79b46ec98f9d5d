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
#include "protect/pattern.h"
#include "tiers/random.h"

/* The first byte that differs. offset counts from the user's first byte: negative before the slab. */
struct slb_damage {
    slabby_ref ref;
    int64_t offset;
    uint8_t expected, found;
};

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

/* Both sides of the slab at `data`, of whatever size the pool gives them. Inline: as calls they took a tenth of a pair
 * whose slabs are no whole lines, for the registers to save. */
SLB_INLINE void slb_sides_write(const struct slabby_allocator *pool, unsigned char *data, uint64_t seed) {
    unsigned char *end = data + pool->slab_size;
    uint32_t front = pool->guard_front;
    if (slb_likely(front == SLB_PATTERN_SIDE)) {
        slb_side_write(data - SLB_PATTERN_SIDE, seed, 0);
        slb_pattern_put(end, pool->guard_back, seed, SLB_PATTERN_SIDE);
    } else {
        slb_pattern_put(data - front, front, seed, 0);
        slb_pattern_put(end, pool->guard_back, seed, front);
    }
}

SLB_INLINE bool slb_sides_hold(const struct slabby_allocator *pool, const unsigned char *data,
                               uint64_t seed) {
    const unsigned char *end = data + pool->slab_size;
    const slb_pair nothing = {0, 0};
    uint32_t front = pool->guard_front;
    if (slb_likely(front == SLB_PATTERN_SIDE))
        return slb_pattern_holds(end, pool->guard_back, seed, SLB_PATTERN_SIDE,
                                 slb_side_difference(data - SLB_PATTERN_SIDE, seed, 0));
    return slb_pattern_holds(data - front, front, seed, 0, nothing) &&
           slb_pattern_holds(end, pool->guard_back, seed, front, nothing);
}

SLB_PRIVATE void slb_bit_guard_write(struct slabby_allocator *pool, uint32_t id, uint64_t generation);

/* False where a byte differs; out_damage is filled then, its ref included. */
SLB_PRIVATE bool slb_bit_guard_intact(struct slabby_allocator *pool, uint32_t id, uint64_t generation,
                                      struct slb_damage *out_damage);

#endif
