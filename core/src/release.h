/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The journey back: the word decides, then protections, then the tiers. */
#ifndef SLB_RELEASE_H
#define SLB_RELEASE_H

#include "allocate.h"
#include "pool.h"

/* The word of the slab already says free under the generation after `generation`, and this thread alone knows it: does
 * what the protections ask and puts the id where the next allocation finds it. `fast` counts the release as one by id
 * too. OK, or MemoryCorruption. */
SLB_PRIVATE slabby_status slb_return_slab(struct slabby_allocator *pool, uint32_t id, uint64_t generation,
                                          bool fast);

/* Everything that the hot path of slabby_release does not settle by itself. */
SLB_PRIVATE slabby_status slb_release_slowly(struct slabby_allocator *pool, slabby_ref ref);

SLB_PRIVATE slabby_status slb_release_deferred(struct slabby_allocator *pool, slabby_ref ref);
SLB_PRIVATE slabby_status slb_release_fast(struct slabby_allocator *pool, uint32_t id);
SLB_PRIVATE slabby_status slb_pin(struct slabby_allocator *pool, slabby_ref ref);
SLB_PRIVATE slabby_status slb_unpin(struct slabby_allocator *pool, slabby_ref ref);

/* The word of a slab after this release: free under the next generation, or retired when there is none. */
SLB_INLINE uint64_t slb_word_released(const struct slabby_allocator *pool, uint64_t generation) {
    if (slb_unlikely(generation + 1 >= pool->generations))
        return slb_word_make(pool->id_bits, generation, SLABBY_SLAB_STATE_RETIRED);
    return slb_word_make(pool->id_bits, generation + 1, SLABBY_SLAB_STATE_FREE);
}

#endif
