/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The data of a changing capacity; resize.h says how it works. */
#ifndef SLB_RESILIENCE_RESIZE_STATE_H
#define SLB_RESILIENCE_RESIZE_STATE_H

#include "tiers/stack_state.h"

struct slb_live_capacity {
    _Atomic uint32_t in_service; /* slabs that may be in service; under the gate lock */
    _Atomic uint32_t given_up;   /* of the reserved ones: withheld, claimed, replaced; under the gate lock */
    _Atomic uint32_t replaced;   /* retired slabs for which others serve; under the gate lock */
    uint32_t committed; /* so many slabs have memory: the most that were ever needed; under the gate lock */
    slb_stack claimed;  /* ids, linked through pool->next */
    bool changing;      /* a resize was announced and not reported done; under the gate lock */
};

#endif
