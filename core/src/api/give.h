/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The end of a release: the id of a slab whose word says free, and which only this thread has, goes into a tier. `fast`
 * counts the release as one by id too. */
#ifndef SLB_API_GIVE_H
#define SLB_API_GIVE_H

#include "pool.h"
#include "tiers/in_flight.h"

/* Into the tiers, unprotected or behind every protection. */
SLB_PRIVATE void slb_give(struct slabby_allocator *pool, uint32_t id, bool fast);

/* The same in a pool with reuse_delay: the slab waits for its turn, and a slab that has waited long enough goes into a
 * tier. */
SLB_PRIVATE void slb_give_in_turn(struct slabby_allocator *pool, uint32_t id);

/* Into this CPU's shard, in a pool without CPU caches and delay; false: nothing was done, and the caller must use
 * slb_give. */
SLB_PRIVATE bool slb_give_to_shard(struct slabby_allocator *pool, uint32_t id);

/* Several at once, in a slow operation of the caller. */
SLB_PRIVATE void slb_give_run(struct slabby_allocator *pool, struct slb_stripe *stripe, const uint32_t *ids,
                              uint32_t count);

/* A slab of the heap, which goes back to the system where it is not reusable. */
SLB_PRIVATE void slb_give_heap(struct slabby_allocator *pool, uint32_t id, bool fast, bool reusable);

/* A slab that does not come back: its generation is spent, or it is in quarantine. */
SLB_PRIVATE void slb_keep_out(struct slabby_allocator *pool, bool fast);

/* Ends a slow operation behind a release. */
SLB_PRIVATE void slb_leave_behind_release(struct slabby_allocator *pool, struct slb_stripe *stripe);

#endif
