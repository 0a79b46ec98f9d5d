/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The data of degradation; degrade.h says how it works. */
#ifndef SLB_RESILIENCE_DEGRADE_STATE_H
#define SLB_RESILIENCE_DEGRADE_STATE_H

#include "base.h"

#include <slabby/slabby.h>

struct slb_degrade {
    _Atomic uint32_t state;                  /* enum slabby_degradation_state; changes under the gate lock */
    _Atomic uint32_t degrade_at, survive_at; /* percent; 0: never */
    _Atomic uint32_t every;    /* slow operations of a CPU between checks; 0: both thresholds are off */
    uint32_t tracking;         /* latency_tracking as requested; under the gate lock */
    _Atomic uint64_t calm_ns;  /* since when a lower state has been enough; 0: it is not enough */
    _Atomic uint64_t left_out; /* audit records since the last step */
};

/* While degraded, records are stored only for slabs whose number is a multiple of this. */
#define SLB_DEGRADE_THINNING 16u

SLB_INLINE uint32_t slb_degrade_state_of(const struct slb_degrade *degrade) {
    return atomic_load_explicit(&degrade->state, memory_order_relaxed);
}

/* Whether records about a slab are left out at the moment. */
SLB_INLINE bool slb_degrade_thins(const struct slb_degrade *degrade, uint64_t id) {
    return slb_unlikely(slb_degrade_state_of(degrade) != SLABBY_DEGRADATION_STATE_HEALTHY) &&
           id % SLB_DEGRADE_THINNING != 0;
}

#endif
