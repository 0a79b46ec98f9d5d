/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The data of the depot. */
#ifndef SLB_TIERS_DEPOT_STATE_H
#define SLB_TIERS_DEPOT_STATE_H

#include "tiers/stack_state.h"

/* The depot: full batches waiting, as nodes of `batch` ids each. */
struct slb_depot {
    struct slb_depot_heads *heads;
    _Atomic uint32_t *next; /* per node */
    uint32_t *ids;          /* node n holds ids[n * batch] .. */
    uint32_t nodes;
};

struct slb_depot_heads {
    _Alignas(SLB_CACHE_LINE) slb_stack full;
    _Alignas(SLB_CACHE_LINE) slb_stack empty;
    _Atomic uint64_t used; /* nodes that have been used at least once */
};

#endif
