/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The data of a shard. */
#ifndef SLB_TIERS_SHARD_STATE_H
#define SLB_TIERS_SHARD_STATE_H

#include "tiers/stack_state.h"

/* A shard: a stack of ids linked through pool->next, and the slabs of its range that were never used. fresh =
 * {withheld:32, used:32}: how many have been handed out at least once, from the range's start on, and how many at
 * its end are beyond the pool's capacity. One word, so that no thread takes a slab that is being withheld. */
struct slb_shard {
    _Alignas(SLB_CACHE_LINE) slb_stack head;
    _Atomic uint64_t fresh;
};

#define SLB_FRESH_WITHHELD 32 /* shift */

#endif
