/* SPDX-License-Identifier: GPL-3.0-or-later */
/* When a pool is ticked; ticker.h says by whom. */
#ifndef SLB_RESILIENCE_TICKER_STATE_H
#define SLB_RESILIENCE_TICKER_STATE_H

#include "base.h"

struct slb_ticking {
    _Atomic uint32_t on;
    _Atomic uint64_t interval_ns, next_ns;
};

#endif
