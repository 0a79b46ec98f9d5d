/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is done to a pool as a whole while it lives: reset, trim, hot options. */
#ifndef SLB_UPKEEP_H
#define SLB_UPKEEP_H

#include "pool.h"

SLB_PRIVATE slabby_status slb_reset(struct slabby_allocator *pool);
SLB_PRIVATE slabby_status slb_trim(struct slabby_allocator *pool, uint64_t *out_bytes);
SLB_PRIVATE slabby_status slb_option_change(struct slabby_allocator *pool, int32_t id, int64_t value,
                                            slabby_error *error);

/* What the pool uses now. */
SLB_PRIVATE int64_t slb_option_effective(struct slabby_allocator *pool, int32_t id);

#endif
