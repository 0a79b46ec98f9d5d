/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The data of a label. */
#ifndef SLB_OBSERVE_LABEL_STATE_H
#define SLB_OBSERVE_LABEL_STATE_H

#include "base.h"

/* A user's label of one allocation; owner = generation + 1 of the reference it belongs to, bit 63 while written. */
struct slb_label {
    _Atomic uint64_t owner;
    _Atomic uint64_t label;
};

#endif
