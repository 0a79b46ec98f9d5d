/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A pool and a reference in words: "orders", "orders:17#3". */
#ifndef SLB_OBSERVE_REF_TEXT_H
#define SLB_OBSERVE_REF_TEXT_H

#include "pool.h"
#include "status.h"

SLB_PRIVATE void slb_pool_name(struct slb_text *text, const struct slabby_allocator *pool);

SLB_PRIVATE slabby_status slb_ref_text(struct slb_text *text, struct slabby_allocator *pool, slabby_ref ref);

#endif
