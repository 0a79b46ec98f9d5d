/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bit_guard: a keyed pattern just before and just after the user's bytes, written when the slab is handed out and
 * verified when it comes back.
 *
 *   ... | front pattern | user's slab_size bytes | back pattern | ...
 *
 * The pattern depends on a secret of the pool, the slab and its generation, so neither a copy of a neighbour's pattern
 * nor that of an earlier owner passes. Every byte of it is compared: one flipped byte is found. What lies further off
 * (an overflow by more than the back pattern) lands in the next slab's front pattern or bytes.
 */
#ifndef SLB_PROTECT_BIT_GUARD_H
#define SLB_PROTECT_BIT_GUARD_H

#include "pool.h"
#include "protect/bit_guard_state.h"

/* The first byte that differs. offset counts from the user's first byte: negative before the slab. */
struct slb_damage {
    slabby_ref ref;
    int64_t offset;
    uint8_t expected, found;
};

/* The pattern by itself, for whoever has bytes to watch: `first` numbers its eight-byte words. slb_pattern_compare
 * answers the offset of the first byte that differs, or size. */
SLB_PRIVATE uint64_t slb_pattern_seed(const struct slabby_allocator *pool, uint32_t id, uint64_t generation);
SLB_PRIVATE void slb_pattern_write(unsigned char *at, uint32_t size, uint64_t seed, uint32_t first);
SLB_PRIVATE uint32_t slb_pattern_compare(const unsigned char *at, uint32_t size, uint64_t seed,
                                         uint32_t first, uint8_t *out_expected);

SLB_PRIVATE void slb_bit_guard_write(struct slabby_allocator *pool, uint32_t id, uint64_t generation);

/* False where a byte differs; out_damage is filled then, its ref included. */
SLB_PRIVATE bool slb_bit_guard_intact(struct slabby_allocator *pool, uint32_t id, uint64_t generation,
                                      struct slb_damage *out_damage);

#endif
