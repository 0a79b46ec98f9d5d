/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The cursor over slabs that are out. */
#ifndef SLB_OBSERVE_LIVE_H
#define SLB_OBSERVE_LIVE_H

#include "pool.h"

/* The next slab that is out at or after *cursor; false at the end. */
SLB_PRIVATE bool slb_live_next(struct slabby_allocator *pool, uint64_t *cursor, slabby_live *out);

#endif
