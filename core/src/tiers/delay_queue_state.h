/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The data of the queue of reuse_delay, drawn in delay_queue.h. */
#ifndef SLB_TIERS_DELAY_QUEUE_STATE_H
#define SLB_TIERS_DELAY_QUEUE_STATE_H

#include "base.h"

struct slb_delay_cell {
    _Atomic uint32_t turn;
    _Atomic uint32_t id;
};

struct slb_delay {
    struct slb_delay_cell *cells;
    uint32_t mask; /* cells - 1 */
    uint64_t
        limit; /* slabs that are delayed before the oldest becomes free; 0 means that there is no queue */
    _Atomic uint64_t ends; /* {pushed:32, taken:32} */
};

#endif
