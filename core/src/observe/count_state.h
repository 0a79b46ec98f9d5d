/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Counters of a whole pool that no CPU keeps; counters.h has those that are summed up. */
#ifndef SLB_OBSERVE_COUNT_STATE_H
#define SLB_OBSERVE_COUNT_STATE_H

#include "tiers/counter_state.h"

struct slb_counts {
    _Atomic uint64_t errors[64]; /* refused calls by status */
    _Atomic uint64_t peak_used;  /* most slabs in use, as observed */
    _Atomic uint64_t peak_ticks; /* when a sampled allocation last checked the peak */
    /* As last published: never decreasing. */
    _Atomic uint64_t allocations, releases, references, by_id, by_id_given, hits[SLB_TIER_COUNT];
    _Atomic uint64_t retired, heap_retired; /* slabs whose generations are used up */
    _Atomic uint64_t leaks, guard_violations;
    _Atomic uint64_t last_drain_ticks;
};

#endif
