/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From an address to the slab that begins there, and to the pool that it belongs to. */
#ifndef SLB_POOL_ADDRESS_H
#define SLB_POOL_ADDRESS_H

#include "pool.h"

/* The live slab whose data begins at an address that is no slab's ordinary address: on a guard slot, or on the heap.
 * Searches the heap's slabs one by one. */
SLB_PRIVATE bool slb_address_find_elsewhere(struct slabby_allocator *pool, uintptr_t address,
                                            uint32_t *out_id);

/* The pool whose memory an address lies in, or NULL. Searches the table of pools under its lock. */
SLB_PRIVATE struct slabby_allocator *slb_address_pool(uintptr_t address);

#endif
