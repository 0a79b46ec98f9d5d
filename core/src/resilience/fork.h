/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fork. The child has a copy of every pool and one thread. The other threads vanished wherever they were, perhaps
 * holding locks and ids. The words are consistent all the same, because each changes in one step. So the child
 * releases the locks, locks every CPU cache and sets a gate reason at once. It rebuilds the lists of a pool from its
 * words when it first allocates from the pool, changes a word (release, pin, unpin) or inspects it:
 *
 *   free words, wherever their ids were, go to the shards;     live words of vanished threads stay live;
 *   the health thread starts again, if the pool has one;
 *   waiters are dropped;                                       listeners get descriptors of their own.
 *
 * Rebuilding gives each id whose word says free to the shards. So until it is done no thread may have freed a word and
 * still have the id in hand: the shards would get the id twice. The child begins with 0 as the limits of all sequences
 * that change words. Each change then comes to slb_word_swap_held, which rebuilds the pool first. The limits come back
 * under the gate lock, after the words have been read. The child has one thread when it sets the reason and the limits,
 * so no thread misses them.
 *
 * Rebuilding blocks the signals of its thread, so that no handler releases in the middle of it. A handler may have
 * interrupted the holder of the gate lock: it cannot rebuild, and need not, because no thread rebuilds before the
 * handler has returned.
 */
#ifndef SLB_RESILIENCE_FORK_H
#define SLB_RESILIENCE_FORK_H

#include "pool.h"

/* Before the pool of each create; false where the system has no memory for the handlers of fork. */
SLB_PRIVATE bool slb_fork_prepare_process(void);

/* Cheap if no fork happened. */
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
