/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fork. The child has a copy of every pool and one thread. The other threads vanished wherever they were, perhaps
 * holding locks and ids. The words are consistent all the same, because each changes in one step. So the child
 * releases the locks, locks every CPU cache and sets a gate reason at once. It rebuilds the lists of a pool from its
 * words when it first allocates from the pool or inspects it:
 *
 *   free words, wherever their ids were, go to the shards;     live words of vanished threads stay live;
 *   the health thread starts again, if the pool has one;
 *   waiters are dropped;                                       listeners get descriptors of their own.
 *
 * Releases in the child need no rebuilding: they push to shards that are rebuilt with what they hold.
 */
#ifndef SLB_RESILIENCE_FORK_H
#define SLB_RESILIENCE_FORK_H

#include "pool.h"

/* Before the pool of each create; false where the system has no memory for the handlers of fork. */
SLB_PRIVATE bool slb_fork_prepare_process(void);

SLB_PRIVATE void slb_fork_rebuild(struct slabby_allocator *pool);

/* Cheap if no fork happened. Not for callers inside slb_enter: rebuilding waits for them to leave. */
SLB_INLINE void slb_fork_check(struct slabby_allocator *pool) {
    if (slb_unlikely(atomic_load_explicit(&pool->gate.reasons, memory_order_relaxed) & SLB_GATE_FORKED))
        slb_fork_rebuild(pool);
}

/* The lock of the pool table, which create takes and fork must hold. */
SLB_PRIVATE void slb_pool_table_lock(void);
SLB_PRIVATE void slb_pool_table_unlock(void);

/* A pool's listeners get notifiers of their own in the child. */
SLB_PRIVATE void slb_listeners_renew(struct slabby_allocator *pool);

#endif
