/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The thread "slabby-health": ticks every pool with `health_checks`, each at its `health_interval`, and takes back
 * what was granted to listeners that limit how long a grant may wait (grants.h). One thread for all pools of the
 * process, with every signal blocked; it starts with the first such pool and ends after the last.
 *
 * It does not retain a pool, so a pool may end while it is being ticked. The thread first announces the pool's entry
 * and then checks that the pool exists and has ticks switched on. A thread that ends a pool first switches its ticks
 * off and then waits until the entry is not announced. Create takes no announced entry. All four accesses are
 * seq_cst, so of two that race, one sees the other. Thus no memory of a pool is unmapped during a tick, and no
 * logger is called after close or destroy has returned.
 */
#ifndef SLB_RESILIENCE_TICKER_H
#define SLB_RESILIENCE_TICKER_H

#include "pool.h"

/* Switches a pool's ticks; NoSystemMemory where no thread could be started. */
SLB_PRIVATE slabby_status slb_ticker_switch(struct slabby_allocator *pool, bool on, slabby_error *error);

/* The shortest time that a grant of the pool may wait; 0: none is limited. Needs the gate lock. */
SLB_PRIVATE void slb_ticker_set_revocations(struct slabby_allocator *pool, uint64_t timeout_ns);

/* Starts or stops what was set. Without the gate lock. OK, Closed, NoSystemMemory. */
SLB_PRIVATE slabby_status slb_ticker_run_revocations(struct slabby_allocator *pool);

/* How long from health tick to health tick, from now on. One that is due sooner stays. */
SLB_PRIVATE void slb_ticker_pace(struct slabby_allocator *pool, uint64_t interval_ns);

/* The pool has ended: no tick is under way when this returns, unless the caller is the logger of one. */
SLB_PRIVATE void slb_ticker_forget(struct slabby_allocator *pool);

/* Whether the thread may be using the pool in this entry. */
SLB_PRIVATE bool slb_ticker_is_at(const struct slabby_allocator *pool);

/* Around fork. The child has no thread until slb_ticker_revive, when a pool with ticks is first used. */
SLB_PRIVATE void slb_ticker_before_fork(void);
SLB_PRIVATE void slb_ticker_after_fork(bool child);
SLB_PRIVATE void slb_ticker_revive(struct slabby_allocator *pool);

#endif
