/* SPDX-License-Identifier: GPL-3.0-or-later */
/* trim: the pages of free slabs go back to the system. */
#ifndef SLB_POOL_TRIM_H
#define SLB_POOL_TRIM_H

#include "pool.h"

SLB_PRIVATE slabby_status slb_trim(struct slabby_allocator *pool, uint64_t *out_bytes);

#endif
