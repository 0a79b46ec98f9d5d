/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref.h"

/* A reference with the pool's tag and a generation below the pool's first belongs to an earlier pool with this tag:
 * it was issued once and is stale. With a generation above the slab's word, it was never issued. */
SLB_PRIVATE slabby_status slb_ref_refusal(struct slabby_allocator *pool, slabby_ref ref,
                                          slabby_status stale) {
    uint64_t generation;
    uint32_t id;
    if (!slb_pool_exists(pool))
        return slb_pool_closed_status(pool);
    if ((ref >> SLB_REF_TAG_SHIFT) == slb_pool_tag(pool) && ref < pool->ref_bias)
        return stale;
    if (!slb_ref_split(pool, ref, &generation, &id))
        return SLABBY_INVALID_REFERENCE;
    uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_relaxed);
    if (generation < slb_word_generation(pool->id_bits, word))
        return stale;
    if (generation > slb_word_generation(pool->id_bits, word))
        return SLABBY_INVALID_REFERENCE;
    switch (slb_word_state(word)) {
    case SLABBY_SLAB_STATE_DYING:
    case SLABBY_SLAB_STATE_RETIRED:
        return stale;
    default: /* no reference had been issued under this generation when the caller looked */
        return SLABBY_INVALID_REFERENCE;
    }
}

SLB_PRIVATE bool slb_ref_was_issued(struct slabby_allocator *pool, slabby_ref ref, uint64_t *out_generation,
                                    uint32_t *out_id) {
    uint64_t word;
    uint32_t id;
    return slb_ref_split(pool, ref, out_generation, out_id) &&
           (slb_ref_live_word(pool, ref, &id, &word) ||
            slb_ref_refusal(pool, ref, SLABBY_USE_AFTER_FREE) == SLABBY_USE_AFTER_FREE);
}
