/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Zeroes slabs, so that no byte of a previous owner reaches the next (protect/zero.h). */
#ifndef SLB_PROTECT_SECURE_H
#define SLB_PROTECT_SECURE_H

#include "pool.h"

/* Zeroes the bytes of a slab, wherever they lie, even if a tool has been told that the slab is not in use. */
SLB_PRIVATE void slb_secure_zero_slab(struct slabby_allocator *pool, uint32_t id);

/* Zeroes the ordinary bytes of a free slab that no thread can take or is about to give back. A slab that was never used
 * is zero already. */
SLB_PRIVATE void slb_secure_zero_free_slab(struct slabby_allocator *pool, uint32_t id);

#endif
