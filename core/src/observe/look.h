/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Looking inside a pool: outstanding slabs, the self-check, text about a reference. */
#ifndef SLB_OBSERVE_CHECK_H
#define SLB_OBSERVE_CHECK_H

#include "pool.h"
#include "status.h"

SLB_PRIVATE bool slb_live_next(struct slabby_allocator *pool, uint64_t *cursor, slabby_live *out);

/* Up to `capacity` findings; out_count counts them all. */
SLB_PRIVATE slabby_status slb_verify(struct slabby_allocator *pool, slabby_finding *out_findings,
                                     uint64_t capacity, uint64_t *out_count);

SLB_PRIVATE void slb_explain(struct slb_text *text, struct slabby_allocator *pool, slabby_ref ref,
                             slabby_status status);
SLB_PRIVATE slabby_status slb_ref_text(struct slb_text *text, struct slabby_allocator *pool, slabby_ref ref);

#endif
