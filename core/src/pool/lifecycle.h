/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A pool's life: create, retain, close, destroy, abandon. */
#ifndef SLB_POOL_LIFECYCLE_H
#define SLB_POOL_LIFECYCLE_H

#include "pool.h"

SLB_PRIVATE slabby_status slb_pool_create(struct slabby_allocator **out, uint64_t slab_size,
                                          uint64_t capacity, const struct slb_options *options,
                                          slabby_error *error);
SLB_PRIVATE slabby_status slb_pool_retain(struct slabby_allocator *pool);
SLB_PRIVATE slabby_status slb_pool_close(struct slabby_allocator *pool);
SLB_PRIVATE slabby_status slb_pool_destroy(struct slabby_allocator *pool);
SLB_PRIVATE slabby_status slb_pool_abandon(struct slabby_allocator *pool);

#endif
