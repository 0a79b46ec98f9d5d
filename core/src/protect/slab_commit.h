/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The pages of the slabs that the system has to provide.
 *
 * A pool reserves address space for max_capacity slabs, which costs nothing. It commits the pages of the slabs that its
 * highest capacity so far has needed: `committed` slabs, shared evenly among the shards, the first ones of each range.
 *
 *   shard 0                         shard 1                         shard 2
 *   |== committed ==|   reserved    |== committed ==|   reserved    |== committed ==|   reserved    |
 *                   |-- withheld ---|               |-- withheld ---|               |-- withheld ---|
 *
 * So every slab that is not withheld is committed, and so are the withheld slabs that were in service before. Options
 * act on the committed pages: huge pages, no_dump, guard pages, locks, prefault. slabby_resize commits more under the
 * gate lock, before it stores the higher capacity; a refusal leaves everything as it was. Committed pages stay
 * committed when the capacity falls (their memory goes back to the system as usual).
 *
 * No thread can reach a slab before its pages are committed: it learns the id from a compare-and-swap of the shard's
 * `fresh`, which the resize changes after the system has answered, and the system's answer holds for all CPUs.
 */
#ifndef SLB_PROTECT_SLAB_COMMIT_H
#define SLB_PROTECT_SLAB_COMMIT_H

#include "pool.h"

struct slb_slab_area {
    char *base;
    uint64_t range, stride, unit;
    uint64_t guard_at; /* guard_pages: offset of the guard page in each stride; 0 without */
    uint32_t reserved, shards;
};

SLB_PRIVATE struct slb_slab_area slb_slab_area_of(const struct slabby_allocator *pool);

/* Neighbouring pages that some capacities need and others do not. All zero: before the first run. */
struct slb_slab_run {
    uint64_t from, to; /* offsets, multiples of the unit */
    uint64_t covered;  /* the pages of earlier parts end here */
    uint32_t shard;    /* where the search goes on */
};

/* The next run of pages that `now` slabs need and `before` slabs do not; false behind the last. */
SLB_PRIVATE bool slb_next_run(const struct slb_slab_area *area, uint32_t before, uint32_t now,
                              struct slb_slab_run *run);

/* What a commit leaves beside its status. */
struct slb_slab_guards {
    uint64_t claimed; /* guard pages that cost mappings */
    bool refused;     /* the reason of a failure */
};

/* Whether `now` slabs can be touched where prefault asks for it. The area may be without a base yet. */
SLB_PRIVATE slabby_status slb_slabs_check_prefault(const struct slb_slab_area *area, uint32_t now,
                                                   const struct slb_options *options, slabby_error *error);

/* From `before` committed slabs to `now`, as the options require; all or nothing. */
SLB_PRIVATE slabby_status slb_slabs_commit(const struct slb_slab_area *area, uint32_t before, uint32_t now,
                                           const struct slb_options *options, struct slb_slab_guards *out,
                                           slabby_error *error);

/* Locks again what a child of fork has not inherited. Needs the gate lock. */
SLB_PRIVATE bool slb_slabs_lock(const struct slabby_allocator *pool);

#endif
