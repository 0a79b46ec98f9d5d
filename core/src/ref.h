/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * References.
 *
 *    63        52 51                                  0
 *   +------------+----------------------+--------------+
 *   | tag (12)   | generation           | id (id_bits) |      id_bits: what capacity and heap need, at least 7
 *   +------------+----------------------+--------------+
 *
 * The generation in a reference starts where the last pool under this tag stopped. Subtracting pool->ref_bias removes
 * tag and start in one step and gives the relative reference {generation of the slab's word, id}. For a value that
 * never was a reference of this pool, the result is at or above the pool's limit.
 */
#ifndef SLB_REF_H
#define SLB_REF_H

#include "pool.h"

#define SLB_REF_TAG_SHIFT 52
#define SLB_REF_VALUE_BITS 52

SLB_INLINE slabby_ref slb_ref_make(const struct slabby_allocator *pool, uint64_t generation, uint32_t id) {
    return pool->ref_bias + ((generation << pool->id_bits) | id);
}

/* The reference of a slab that is leaving the free state with this word. */
SLB_INLINE slabby_ref slb_ref_issued(const struct slabby_allocator *pool, uint64_t free_word, uint64_t id) {
    return free_word + id + pool->ref_bias;
}

SLB_INLINE uint64_t slb_ref_relative(const struct slabby_allocator *pool, slabby_ref ref) {
    return ref - pool->ref_bias;
}

/* Splits a reference. False where it cannot be one of this pool: another tag, a generation out of range, an id out of
 * range. The last generation of a slab is in range here; the hot path excludes it by ref_limit. */
SLB_INLINE bool slb_ref_split(struct slabby_allocator *pool, slabby_ref ref, uint64_t *out_generation,
                              uint32_t *out_id) {
    uint64_t relative = slb_ref_relative(pool, ref);
    *out_id = (uint32_t)(relative & pool->id_mask);
    *out_generation = relative >> pool->id_bits;
    return *out_generation < pool->generations &&
           *out_id < atomic_load_explicit(&pool->id_limit, memory_order_acquire);
}

/* Why a reference is refused: `stale` is the name of staleness for this kind of call. */
SLB_PRIVATE slabby_status slb_ref_refusal(struct slabby_allocator *pool, slabby_ref ref, slabby_status stale);

/* Splits a reference that was issued by this pool, live or stale; false for one that never was. */
SLB_PRIVATE bool slb_ref_was_issued(struct slabby_allocator *pool, slabby_ref ref, uint64_t *out_generation,
                                    uint32_t *out_id);

/* Whether a reference names a live slab, and that slab's word. */
SLB_INLINE bool slb_ref_live_word(struct slabby_allocator *pool, slabby_ref ref, uint32_t *out_id,
                                  uint64_t *out_word) {
    uint64_t generation;
    if (slb_unlikely(!slb_ref_split(pool, ref, &generation, out_id)))
        return false;
    /* relaxed: handing the reference to this thread has ordered the slab's content as well */
    *out_word = atomic_load_explicit(&pool->words[*out_id], memory_order_relaxed);
    return slb_word_without_pins(*out_word) ==
           slb_word_make(pool->id_bits, generation, SLABBY_SLAB_STATE_LIVE);
}

#endif
