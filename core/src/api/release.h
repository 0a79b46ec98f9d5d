/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The end of a release, for release itself, unpin, reset and leak reports. */
#ifndef SLB_API_RELEASE_H
#define SLB_API_RELEASE_H

#include "pool.h"

/* The word of the slab has been changed to `new_word`, which says free or retired, and only this thread has the slab:
 * does what the protections require, and puts the id where the next allocation finds it. `fast` counts the release as
 * one by id too. OK, or MemoryCorruption. */
SLB_PRIVATE slabby_status slb_finish_release(struct slabby_allocator *pool, uint32_t id, uint64_t new_word,
                                             bool fast);

/* Releases the slab now, or leaves the release to the last unpin. */
SLB_PRIVATE slabby_status slb_release_deferred(struct slabby_allocator *pool, slabby_ref ref);

/* Releases the first of `count` slabs, as many as are live, biased to this CPU and without protections that act on
 * releases; answers how many. For the first slab that is not, the caller uses slabby_release. */
SLB_PRIVATE uint64_t slb_release_run(struct slabby_allocator *pool, const slabby_ref *refs, uint64_t count);

SLB_PRIVATE slabby_status slb_release_fast(struct slabby_allocator *pool, uint32_t id);

/* The word of a slab after this release: free under the next generation, or retired when there is none. */
SLB_INLINE uint64_t slb_word_released(const struct slabby_allocator *pool, uint64_t generation) {
    if (slb_unlikely(generation + 1 >= pool->generations))
        return slb_word_make(pool->id_bits, generation, SLABBY_SLAB_STATE_RETIRED);
    return slb_word_make(pool->id_bits, generation + 1, SLABBY_SLAB_STATE_FREE);
}

#endif
