/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Work on the whole pool: reset, destroy, verify, trim. The gate is closed for SLB_GATE_RESETTING, its lock is held,
 * allocations wait outside, releases go on.
 */
#ifndef SLB_POOL_QUIESCE_H
#define SLB_POOL_QUIESCE_H

#include "pool.h"

/* Returns when no slow operation is under way. Returns false, without the lock, in a signal handler that interrupted
 * its own thread inside the core. */
SLB_PRIVATE bool slb_maintenance_begin(struct slabby_allocator *pool);
SLB_PRIVATE void slb_maintenance_end(struct slabby_allocator *pool);

/*
 * Also waits until no fast operation is under way: otherwise a trim could discard what the user of a slab writes, if
 * the allocation had taken an id whose word still said free. Every such operation is counted before its word says
 * live (or after it says free), so none is under way when the counters agree with the words. Returns false when
 * nothing has changed for `attempts` attempts: a thread was stopped in the middle of a call, or the pool is damaged.
 */
#define SLB_QUIESCE_ATTEMPTS_SHORT 6000u /* a tenth of a second; on a busy machine some tenths */
#define SLB_QUIESCE_ATTEMPTS_LONG 24000u /* a second; on a busy machine some seconds */
SLB_PRIVATE bool slb_maintenance_is_quiescent(struct slabby_allocator *pool, uint32_t attempts);

/* The same for a caller that may start over: while it waits, the gate opens for a moment from time to time. A signal
 * handler that interrupted a fast operation may itself be waiting to allocate, and the interrupted thread continues
 * only after the handler. The pool may be destroyed afterwards. */
SLB_PRIVATE bool slb_maintenance_quiesce(struct slabby_allocator *pool, uint32_t attempts);

#endif
