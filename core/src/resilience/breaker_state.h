/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The data of the circuit breaker; breaker.h says how it works. */
#ifndef SLB_RESILIENCE_BREAKER_STATE_H
#define SLB_RESILIENCE_BREAKER_STATE_H

#include "base.h"

#include <slabby/slabby.h>

struct slb_breaker {
    _Atomic uint32_t state, mode; /* enum slabby_breaker_state, enum slabby_breaker_mode */
    _Atomic uint64_t threshold, timeout_ns, probes;
    _Atomic uint64_t failures, allocations_before; /* in a row; allocations at the last of them */
    _Atomic uint64_t window_ns, window_allocations, window_failures;
    _Atomic uint64_t until_ns, admitted; /* open until, or probes admitted until */
};

/* Whether the mode lets an open breaker refuse allocations. */
SLB_INLINE bool slb_breaker_mode_refuses(const struct slb_breaker *breaker) {
    uint32_t mode = atomic_load_explicit(&breaker->mode, memory_order_relaxed);
    return mode == SLABBY_BREAKER_MODE_NORMAL || mode == SLABBY_BREAKER_MODE_FORCED_OPEN;
}

/* Whether allocations are refused now. */
SLB_INLINE bool slb_breaker_refuses(const struct slb_breaker *breaker) {
    return slb_breaker_mode_refuses(breaker) && atomic_load(&breaker->state) == SLABBY_BREAKER_STATE_OPEN;
}

#endif
