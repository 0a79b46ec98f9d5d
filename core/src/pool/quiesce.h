/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Work on the whole pool: reset, destroy, verify, trim. The gate is closed for SLB_GATE_RESETTING, its lock is held,
 * allocations wait outside, releases go on.
 */
#ifndef SLB_POOL_QUIESCE_H
#define SLB_POOL_QUIESCE_H

#include "pool.h"

/* Returns when no slow operation is under way. Answers false, with nothing held, in a signal handler that
 * interrupted its own thread inside the core. */
SLB_PRIVATE bool slb_maintenance_begin(struct slabby_allocator *pool);
SLB_PRIVATE void slb_maintenance_end(struct slabby_allocator *pool);

/*
 * Waits until no fast operation is under way either: an allocation that has taken an id whose word still says free
 * would otherwise lose what its owner writes to a trim. Every such operation is counted before its word says live
 * (or after it says free), so none is under way when the counters agree with the words. Answers false when nothing
 * has changed for `patience` attempts: somebody's thread was stopped in the middle of a call, or the pool is damaged.
 */
#define SLB_QUIESCE_ATTEMPTS_SHORT 6000u /* a tenth of a second: the last 2,000 attempts sleep 50 us each */
#define SLB_QUIESCE_ATTEMPTS_LONG 24000u /* a second */
SLB_PRIVATE bool slb_maintenance_is_quiescent(struct slabby_allocator *pool, uint32_t attempts);

/* The same for those who may begin again: where it takes long, the gate opens for a moment, and again. A signal handler
 * that interrupted a fast operation may itself be waiting to allocate, and its thread goes on only after it. The pool
 * may be gone afterwards. */
SLB_PRIVATE bool slb_maintenance_quiesce(struct slabby_allocator *pool, uint32_t attempts);

#endif
