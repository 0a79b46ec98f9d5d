/* SPDX-License-Identifier: GPL-3.0-or-later */
/* When a pool is ticked; ticker.h says by whom. */
#ifndef SLB_RESILIENCE_TICKER_STATE_H
#define SLB_RESILIENCE_TICKER_STATE_H

#include "base.h"

enum slb_tick {
    SLB_TICK_HEALTH = 1u << 0,     /* health_checks */
    SLB_TICK_REVOCATIONS = 1u << 1 /* some listener limits how long a grant may wait */
};

struct slb_ticking {
    _Atomic uint32_t on; /* enum slb_tick */
    _Atomic uint64_t interval_ns, next_ns;
    _Atomic uint64_t revoke_interval_ns, revoke_next_ns; /* 0: no revocations */
};

#endif
