/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The pages of slabs that nobody uses go back to the system. */
#ifndef SLB_PROTECT_SLAB_PAGES_H
#define SLB_PROTECT_SLAB_PAGES_H

#include "pool.h"

/* Whole pages from one offset behind the first slab to another; guards between them stay guards, and what is only
 * reserved stays so. Needs the gate lock. False where the
 * system keeps the pages, as it does with locked memory. */
SLB_PRIVATE bool slb_discard_slab_pages(struct slabby_allocator *pool, uint64_t from, uint64_t to);

#endif
