/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The self-check. */
#ifndef SLB_POOL_VERIFY_H
#define SLB_POOL_VERIFY_H

#include "pool.h"

/* Up to `capacity` findings; out_count counts them all. OK, NoSystemMemory, Busy, Closed. */
SLB_PRIVATE slabby_status slb_verify(struct slabby_allocator *pool, slabby_finding *out_findings,
                                     uint64_t capacity, uint64_t *out_count);

#endif
