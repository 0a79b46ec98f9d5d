/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The data of the rings of reuse_delay, drawn in delay_queue.h. */
#ifndef SLB_TIERS_DELAY_QUEUE_STATE_H
#define SLB_TIERS_DELAY_QUEUE_STATE_H

#include "base.h"

struct slb_delay_ring {
    _Alignas(SLB_CACHE_LINE) _Atomic uint64_t hint; /* a number that may come next: never too high */
    _Atomic uint64_t cells[];                       /* {rounds:32, id + 1:32}; `limit` of them */
};

struct slb_delay {
    uint64_t limit; /* releases into a ring until a slab leaves it; 0 means that there are no rings */
    char *rings;
    uint64_t ring_bytes;
    uint32_t ring_mask; /* rings - 1 */
};

#endif
