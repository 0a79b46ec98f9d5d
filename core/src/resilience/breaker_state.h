/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The data of the circuit breaker; breaker.h says how it works. */
#ifndef SLB_RESILIENCE_BREAKER_STATE_H
#define SLB_RESILIENCE_BREAKER_STATE_H

#include "base.h"

#include <slabby/slabby.h>

#define SLB_PROBE_BITS 32

struct slb_breaker {
    _Atomic uint32_t state, mode; /* enum slabby_breaker_state, enum slabby_breaker_mode */
    _Atomic uint64_t threshold, timeout_ns, probes;
    _Atomic uint64_t failures, allocations_before; /* in a row; allocations at the last of them */
    _Atomic uint64_t window_ns, window_allocations, window_failures;
    _Atomic uint64_t until_ns;       /* open until, or probes admitted until */
    _Atomic uint64_t probes_running; /* the number of their round above SLB_PROBE_BITS, their count below */
    _Atomic uint64_t
        expired_at; /* metrics_only: allocations when a thread first saw the end of the timeout, + 1; or 0 */
};

/* Whether the mode lets an open breaker refuse allocations. */
SLB_INLINE bool slb_breaker_mode_refuses(const struct slb_breaker *breaker) {
    uint32_t mode = atomic_load_explicit(&breaker->mode, memory_order_relaxed);
    return mode == SLABBY_BREAKER_MODE_NORMAL || mode == SLABBY_BREAKER_MODE_FORCED_OPEN;
}

#endif
