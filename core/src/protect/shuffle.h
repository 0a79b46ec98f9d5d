/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * shuffle: slabs are handed out in random order, so that nobody can predict which slab comes next, or which two lie
 * next to each other. A CPU has two stacks of ids, both with the sequences and the locks of any CPU cache:
 *
 *      release --> return_caches[cpu]  -- all of it, shuffled, once `caches` is empty -->  caches[cpu] --> allocate
 *                         ^   |
 *                         |   | full: a batch goes to the depot
 *                         +---+ the first of what was shuffled is held back: a quarter of a batch
 *
 * So allocations and releases cost the same as without the option, and a slab that came back is never the next one.
 * Because of the ids that are held back, the last slab of a stack is no easier to predict: it is one of a quarter of a
 * batch and one more. Small pools without caches choose among a few slabs.
 */
#ifndef SLB_PROTECT_SHUFFLE_H
#define SLB_PROTECT_SHUFFLE_H

#include "pool.h"
#include "tiers/cpu_cache.h"

#define SLB_SHUFFLE_AMONG 8u

/* Brings ids into random order where the option is on, and says whether it is. */
SLB_PRIVATE bool slb_shuffle(struct slabby_allocator *pool, uint32_t *ids, uint32_t count);

/* How many of `count` shuffled ids go back to the stack of returned ids. */
SLB_PRIVATE uint32_t slb_shuffle_hold_back(const struct slabby_allocator *pool, uint32_t count);

/* Shuffles the ids that came back to this CPU, and moves them to the stack that allocations take from. False if they
 * are too few, or the gate is closed. */
SLB_PRIVATE bool slb_shuffle_returned(struct slabby_allocator *pool);

/* slb_cache_take; with the option, and if no other id is left, it first shuffles the ids that came back. */
SLB_INLINE bool slb_shuffled_take(struct slabby_allocator *pool, uint32_t *out_id, bool fast) {
    if (slb_likely(slb_cache_take(pool, out_id, fast)))
        return true;
    return slb_unlikely(pool->return_caches != pool->caches) && slb_shuffle_returned(pool) &&
           slb_cache_take(pool, out_id, fast);
}

#endif
