/* SPDX-License-Identifier: GPL-3.0-or-later */
/* shuffle: slabs are handed out in random order, so that nobody can predict which slab is next to which. Every batch is
 * shuffled on its way in, and the CPU cache hands out any of its ids, which is why it needs the portable backend. Small
 * pools without caches choose among a handful. */
#ifndef SLB_PROTECT_SHUFFLE_H
#define SLB_PROTECT_SHUFFLE_H

#include "pool.h"

#define SLB_SHUFFLE_AMONG 8u

/* Brings ids into random order, where the option is on. */
SLB_PRIVATE void slb_shuffle(struct slabby_allocator *pool, uint32_t *ids, uint32_t count);

#endif
