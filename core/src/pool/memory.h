/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The two mappings of a pool: address space for the slabs, with guards at both ends, of which protect/slab_commit.h
 * commits what the capacity needs; and the bookkeeping, for max_capacity slabs from the beginning: any forged reference
 * may make a call read or compare any word. */
#ifndef SLB_POOL_MEMORY_H
#define SLB_POOL_MEMORY_H

#include "layout.h"
#include "protect/slab_commit.h"

struct slb_memory {
    char *slab_mapping, *slab_base, *metadata;
    struct slb_slab_guards guards;
};

SLB_PRIVATE slabby_status slb_memory_map(struct slb_memory *out, const struct slb_layout *layout,
                                         uint32_t capacity, const struct slb_options *options,
                                         slabby_error *error);
SLB_PRIVATE void slb_memory_unmap(const struct slb_memory *memory, const struct slb_layout *layout);

#endif
