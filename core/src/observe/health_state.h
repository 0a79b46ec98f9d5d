/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What health remembers. */
#ifndef SLB_OBSERVE_HEALTH_STATE_H
#define SLB_OBSERVE_HEALTH_STATE_H

#include "base.h"

/* The health window's memory: counters as they were when each half began, and the scores of the last ticks. */
#define SLB_HEALTH_TICKS 32u

struct slb_health_base {
    uint64_t since_ns, allocations, failures, cache_hits;
    uint64_t peak; /* most slabs in use since, as observed */
};

struct slb_health_state {
    _Atomic uint32_t lock;
    struct slb_health_base bases[2]; /* older, younger */
    uint64_t ticks;
    double scores[SLB_HEALTH_TICKS];
};

#endif
