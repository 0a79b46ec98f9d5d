/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The two mappings of a pool, created as its options require: with guards at both ends of the slabs and perhaps
 * between them, with huge pages, locked, prefaulted, excluded from core dumps. */
#ifndef SLB_POOL_MEMORY_H
#define SLB_POOL_MEMORY_H

#include "layout.h"

struct slb_memory {
    char *slab_mapping, *slab_base, *metadata;
    uint64_t claimed_guards; /* guard pages that cost mappings */
    bool guards_refused;     /* the reason of a failure */
};

SLB_PRIVATE slabby_status slb_memory_map(struct slb_memory *out, const struct slb_layout *layout,
                                         const struct slb_options *options, slabby_error *error);
SLB_PRIVATE void slb_memory_unmap(const struct slb_memory *memory, const struct slb_layout *layout);

#endif
