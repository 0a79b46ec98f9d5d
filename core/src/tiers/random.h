/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Random numbers: which id of a cache, when a breaker probes. */
#ifndef SLB_TIERS_RANDOM_H
#define SLB_TIERS_RANDOM_H

#include "pool.h"

/* A number below `limit`, which must be above 0; not for secrets, but seeded by one. */
SLB_PRIVATE uint32_t slb_random_below(struct slabby_allocator *pool, uint32_t limit);

#endif
