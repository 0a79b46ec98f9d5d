/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The heap tier: when the pool is exhausted, slabs from malloc under ids beyond capacity, up to a limit, with the
 * same words and the same checks. Its bookkeeping is mapped on first use. malloc makes it unfit for signal handlers.
 * */
#ifndef SLB_TIERS_HEAP_H
#define SLB_TIERS_HEAP_H

#include "pool.h"

/* OK, OutOfMemory (off, or the limit is reached), NoSystemMemory. */
SLB_PRIVATE slabby_status slb_heap_take(struct slabby_allocator *pool, uint32_t *out_id);

/* With `secure` zeroes the memory of a slab in hand, which malloc may have had from anybody. Called as the slab is
 * issued, since waiters are given theirs under the gate lock. */
SLB_PRIVATE void slb_heap_clean(struct slabby_allocator *pool, uint32_t id);

/* Frees the memory; the id goes back too unless its generation is spent. */
SLB_PRIVATE void slb_heap_give(struct slabby_allocator *pool, uint32_t id, bool reusable);

/* The live heap slab whose first `bytes` bytes hold an address: 1 asks for its start. Looks at each heap slab. */
SLB_PRIVATE bool slb_heap_find(struct slabby_allocator *pool, uintptr_t address, uint64_t bytes,
                               uint32_t *out_id);

/* Address space that the tier has mapped. */
SLB_PRIVATE uint64_t slb_heap_table_bytes(struct slabby_allocator *pool);

/* Unmaps the table of a pool that has ended. */
SLB_PRIVATE void slb_heap_forget(struct slabby_allocator *pool);

#endif
