/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Options that change while a pool is in use. */
#ifndef SLB_POOL_HOT_OPTIONS_H
#define SLB_POOL_HOT_OPTIONS_H

#include "pool.h"

SLB_PRIVATE slabby_status slb_option_change(struct slabby_allocator *pool, int32_t id, int64_t value,
                                            slabby_error *error);

/* What the pool uses now. */
SLB_PRIVATE int64_t slb_option_effective(struct slabby_allocator *pool, int32_t id);

#endif
