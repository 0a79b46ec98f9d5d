/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The gate: it keeps rare operations off the fast path.
 *
 *   open    pool->gate.reasons == 0, epoch even. CPU caches work.
 *   closed  some reason bit is set, epoch odd. Every cache header is locked and every cache empty; ids move singly
 *           between the shards and their users.
 *
 * Closing (under the gate lock): set the reason, lock every header, fence, check again, move the ids to the shards,
 * raise the epoch to odd. Opening (under the lock, every reason cleared): raise the epoch to even, clear the word,
 * unlock.
 *
 * The proof of emptiness. OutOfMemory is answered only after two equal collects of
 *   { finished, epoch, depot head, next numbers of the delay rings, every shard head and its unused slabs, started }
 * with everything empty and started == finished.
 * All numbers only grow and every head carries a tag, so equal values mean: no tier changed from the end of the
 * first collect to the start of the second. finished was read before the tiers and started after them, so no batch was
 * in transit in between either. The epoch was odd throughout, so the caches were empty. At that moment every slab was
 * live, out of service, or held singly by an unfinished allocate or release: the caller's demand exceeds the pool.
 */
#ifndef SLB_TIERS_GATE_H
#define SLB_TIERS_GATE_H

#include "pool.h"

enum slb_proof {
    SLB_PROOF_EMPTY,   /* every slab is in use */
    SLB_PROOF_DRAINED, /* this call brought slabs out of CPU caches: try again */
    SLB_PROOF_MOVED,   /* something moved meanwhile: try again */
    SLB_PROOF_WAIT /* an operation on the whole pool is under way, or a handler may not wait: leave and try again */
};

/* Whether the pool has no slab left. `nested`: the caller interrupted its own thread inside the core. */
SLB_PRIVATE enum slb_proof slb_gate_prove_empty(struct slabby_allocator *pool, bool nested);

/* Sets a reason, drains the caches, and answers how many ids came out of them. Needs the lock. */
SLB_PRIVATE uint64_t slb_gate_close(struct slabby_allocator *pool, uint32_t reason);

/* Takes a reason back and opens where none is left. Needs the lock. */
SLB_PRIVATE void slb_gate_open(struct slabby_allocator *pool, uint32_t reason);

/* A slab came back (+1) or was taken (-1) while the gate was closed; opens it when enough are free. Never waits. */
SLB_PRIVATE void slb_gate_note_free(struct slabby_allocator *pool, int64_t change);

/* Batches that threads had in hand as the gate closed reach the tiers without slb_gate_note_free. So the number of free
 * slabs is counted anew once a millisecond, for as long as the gate is closed for scarcity: whether that is due, and
 * what it was. */
SLB_PRIVATE bool slb_gate_recount_is_due(struct slabby_allocator *pool);
SLB_PRIVATE void slb_gate_recounted(struct slabby_allocator *pool, uint64_t free_now);

/* Runs `work` as a move (in_flight.h) where the gate is open, and answers what it answers; false where it did not run.
 * For a caller outside, which holds nothing; a slab that comes back while the gate closes is found. */
SLB_PRIVATE bool slb_gate_move(struct slabby_allocator *pool,
                               bool (*work)(struct slabby_allocator *pool, struct slb_stripe *stripe));

/* For a new pool in this entry of the table: open, nothing counted. The lock outlives pools. */
SLB_PRIVATE void slb_gate_forget(struct slabby_allocator *pool);

/* At how many free slabs a gate that was closed for scarcity opens again. */
SLB_PRIVATE void slb_gate_size(struct slabby_allocator *pool, uint32_t capacity);

SLB_PRIVATE void slb_gate_lock(struct slabby_allocator *pool);
SLB_PRIVATE bool slb_gate_try_lock(struct slabby_allocator *pool);
SLB_PRIVATE void slb_gate_unlock(struct slabby_allocator *pool);

/* Whether this thread holds the lock: then the caller is a signal handler that interrupted it. */
SLB_PRIVATE bool slb_gate_is_locked_here(struct slabby_allocator *pool);

/* The unlock of slb_pool_run_deferred itself, which checks the pending flag on its own. */
SLB_PRIVATE void slb_gate_release_lock(struct slabby_allocator *pool);

#endif
