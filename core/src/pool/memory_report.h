/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The memory that a pool takes from the system, by use. */
#ifndef SLB_POOL_MEMORY_REPORT_H
#define SLB_POOL_MEMORY_REPORT_H

#include "pool.h"

SLB_PRIVATE void slb_memory_fill(struct slabby_allocator *pool, slabby_memory *out);

#endif
