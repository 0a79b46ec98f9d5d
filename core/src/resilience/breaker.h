/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The circuit breaker: after repeated failures, a pool refuses allocations at once for some time, so that callers
 * need not wait to fail.
 *
 *             threshold failures in a row, or                         timeout is over
 *   closed -- half of the calls of a window failed --> open ----------------------------> half open
 *      ^                                                 ^                                 |   |
 *      |                                                 +-------- a probe failed ---------+   |
 *      +------------------------------- a probe succeeded -------------------------------------+
 *
 * A failure is an allocation that ended with OutOfMemory or LatencyExceeded, or took longer than max_alloc_latency;
 * never a caller's mistake, never a wait in progress. In a row: no allocation succeeded in between. The timeout varies
 * by up to a tenth, so that pools which opened together do not probe together. Half open admits circuit_breaker_probes
 * allocations at a time. If a probe ends without success and without failure, for example a wait that times out, the
 * next allocation may probe in its place. If a probe has not ended after another timeout, the next one is admitted too.
 *
 * In the states open and half open the breaker is a gate reason, so a closed breaker costs nothing. Each change of
 * state is an event.
 *
 * With metrics_only no allocation is refused, so none is a probe. After the timeout a failure or a tick makes the
 * breaker half open, or closes it if an allocation has succeeded since the end of the timeout was first noticed.
 *
 * Statistics and health show what the next allocation would meet: half open from the end of the timeout on. They
 * change no state and raise no event.
 */
#ifndef SLB_RESILIENCE_BREAKER_H
#define SLB_RESILIENCE_BREAKER_H

#include "pool.h"

/* Whether an allocation may continue while the gate is closed for the breaker. *out_probe is its number as a probe, or
 * 0 where the breaker has closed meanwhile. For callers inside slb_enter, which deliver events after they have left. */
SLB_PRIVATE bool slb_breaker_admits(struct slabby_allocator *pool, uint64_t *out_probe);

/* Call this when a probe has ended without success and without failure. 0 means that there was no probe; a probe of an
 * earlier round no longer counts. */
SLB_PRIVATE SLB_COLD void slb_breaker_return(struct slabby_allocator *pool, uint64_t probe);

SLB_INLINE void slb_probe_return(struct slabby_allocator *pool, uint64_t probe) {
    if (slb_unlikely(probe != 0))
        slb_breaker_return(pool, probe);
}

/* Whether an allocation that ended so is a failure of the pool. */
SLB_INLINE bool slb_breaker_counts(slabby_status status) {
    return status == SLABBY_OUT_OF_MEMORY || status == SLABBY_LATENCY_EXCEEDED;
}

/* An allocation ended. `slow`: it succeeded, but took longer than max_alloc_latency. */
SLB_PRIVATE void slb_breaker_failed(struct slabby_allocator *pool, bool slow);
SLB_PRIVATE void slb_breaker_succeeded(struct slabby_allocator *pool);

/* A wait ended with a slab: to a breaker that is half open, a probe that succeeded. */
SLB_INLINE void slb_breaker_served(struct slabby_allocator *pool) {
    if (slb_unlikely(atomic_load_explicit(&pool->breaker.state, memory_order_relaxed) ==
                     SLABBY_BREAKER_STATE_HALF_OPEN))
        slb_breaker_succeeded(pool);
}

/* With metrics_only, changes the state when it is time: for failures and ticks. */
SLB_PRIVATE void slb_breaker_poll(struct slabby_allocator *pool);

/* The state as the next allocation would meet it, and whether it would be refused. */
SLB_PRIVATE int32_t slb_breaker_check(struct slabby_allocator *pool, bool *out_refuses);

SLB_PRIVATE void slb_breaker_set_threshold(struct slabby_allocator *pool, int64_t threshold);
SLB_PRIVATE slabby_status slb_breaker_force(struct slabby_allocator *pool, int32_t mode);

#endif
