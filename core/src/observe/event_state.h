/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The data of events. */
#ifndef SLB_OBSERVE_EVENT_STATE_H
#define SLB_OBSERVE_EVENT_STATE_H

#include "base.h"

#define SLB_EVENTS_CAPACITY 256u
#define SLB_EVENT_CODES 32u
#define SLB_EVENT_WORDS 30u
#define SLB_EVENT_STRIDE 32u

/* How often one code was reported in the current second: {second:40, count:24}; and how many were suppressed since.
 * */
struct slb_event_rate {
    _Atomic uint64_t window;
    _Atomic uint64_t suppressed;
};

#endif
