/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Live capacity. A pool has address space for `reserved` slabs (option max_capacity), of which `capacity.in_service`
 * may be in service; the others are given up:
 *
 *   withheld   never used, at the end of a shard's range: costs nothing to give up or to return to service
 *   claimed    used before: the word says claimed, the id waits in capacity.claimed, its pages went back to the system
 *   replaced   retired: its generations are used up, and another slab serves for it
 *
 * Every change is a step towards  reserved = given_up + capacity,  made under the gate lock, which alone may change
 * given_up. Slabs above the capacity are given up: withheld slabs first, then free ones, a few at a time while other
 * threads continue to allocate. If no tier has a free slab left, the gate is closed for SLB_GATE_SHRINKING, which
 * collects the slabs of the CPU caches. If live slabs still exceed the capacity, the reason stays set. From then on no
 * allocation takes a slab, and each released slab is withdrawn until the target is reached: the release pushes its id,
 * then checks the gate, sees the reason and takes a step (or leaves the step to the holder of the lock). A resize sets
 * the reason first and then checks the tiers. Of the two sequences {push, check the gate} and {set the reason, check
 * the tiers}, at least one sees the other, as with waiters.
 *
 * OutOfMemory stays truthful meanwhile: the proof of emptiness finds every slab in service in use, and there are at
 * least as many as the new capacity, which is stored before the first slab is given up.
 *
 * Of the retired slabs as many are replaced as there are slabs above the capacity, min(retired, reserved - capacity).
 * So a pool with a max_capacity above its capacity stays whole until it has used up the generations of all its
 * reserved slabs. A retirement asks for a step that gives the slab up and returns another one to service.
 *
 * Growing returns claimed slabs to service first, then withheld ones. A larger range of a shard changes no tag, so
 * this counts as a move of several ids, and no proof of emptiness spans it.
 */
#ifndef SLB_RESILIENCE_RESIZE_H
#define SLB_RESILIENCE_RESIZE_H

#include "pool.h"

/* out_awaited: live slabs that will be given up when they are released. */
SLB_PRIVATE slabby_status slb_resize(struct slabby_allocator *pool, uint64_t capacity, uint64_t *out_awaited,
                                     slabby_error *error);

/* Continues a resize as far as possible without waiting. Needs the gate lock. */
SLB_PRIVATE void slb_resize_run_deferred(struct slabby_allocator *pool);

/* Whether another slab is to serve for one that has retired. */
SLB_PRIVATE bool slb_resize_replaces(struct slabby_allocator *pool);

/* Whether one is left that could. relaxed: for a text. */
SLB_INLINE bool slb_resize_has_spare(const struct slabby_allocator *pool) {
    return pool->reserved - slb_capacity(pool) >
           atomic_load_explicit(&pool->capacity.replaced, memory_order_relaxed);
}

/* The capacity that a pool begins with. */
SLB_PRIVATE void slb_resize_begin(struct slabby_allocator *pool, uint32_t capacity);

/* In a child of fork, under the lock: forgets the list of claimed slabs; counts one that a word tells of. */
SLB_PRIVATE void slb_resize_forget(struct slabby_allocator *pool);
SLB_PRIVATE void slb_resize_regain(struct slabby_allocator *pool, uint32_t id);

/* Returns the pages of claimed slabs to the system, after a write to them. Needs the lock. */
SLB_PRIVATE void slb_resize_discard_claimed(struct slabby_allocator *pool);

#endif
