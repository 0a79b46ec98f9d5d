/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The states that statistics and health show. The layer above determines them (resilience/conditions.h). */
#ifndef SLB_OBSERVE_CONDITION_STATE_H
#define SLB_OBSERVE_CONDITION_STATE_H

#include "base.h"

struct slb_conditions {
    int32_t pool_state, breaker_state, degradation_state; /* enumerations of the contract */
    bool refuses;                                         /* the breaker would refuse the next allocation */
};

#endif
