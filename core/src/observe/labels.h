/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A user's 64-bit value per live slab. The table is mapped on first use and costs the release path nothing: an entry
 * says which generation it belongs to, so the label of an earlier owner reads as 0. */
#ifndef SLB_OBSERVE_LABELS_H
#define SLB_OBSERVE_LABELS_H

#include "pool.h"

SLB_PRIVATE slabby_status slb_label_set(struct slabby_allocator *pool, slabby_ref ref, uint64_t label);
SLB_PRIVATE slabby_status slb_label_get(struct slabby_allocator *pool, slabby_ref ref, uint64_t *out_label);

/* The label of a slab under a generation, 0 where none was set. */
SLB_PRIVATE uint64_t slb_label_of(struct slabby_allocator *pool, uint32_t id, uint64_t generation);

SLB_PRIVATE uint64_t slb_labels_bytes(struct slabby_allocator *pool);
/* The table goes, with the bookkeeping of a pool that has ended. */
SLB_PRIVATE void slb_labels_forget(struct slabby_allocator *pool);

#endif
