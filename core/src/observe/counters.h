/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Counters: exact when the pool is quiet, within the overlapping operations otherwise, never going backwards.
 *
 *   allocations = sum of served (headers) + folded - undone + hits of the other tiers
 *   releases    = sum of (len + served + folded) - cache_in + cache_out + releases past the caches
 *
 * A release into a cache raises len; an allocation out of it lowers len and raises served; so len + served counts
 * releases, once the batches are taken out again. cache_in is raised before a batch enters and cache_out after it
 * left, and they are read last and first: the result is a lower bound at every instant.
 */
#ifndef SLB_OBSERVE_COUNTERS_H
#define SLB_OBSERVE_COUNTERS_H

#include "pool.h"

/* Allocations less releases, heap slabs included: exact when nothing is under way. */
SLB_PRIVATE uint64_t slb_count_live(struct slabby_allocator *pool);

/* Slabs in use, heap slabs excepted. */
SLB_PRIVATE uint64_t slb_count_used(struct slabby_allocator *pool);

SLB_PRIVATE uint64_t slb_count_allocations(struct slabby_allocator *pool);

/* What the health window compares: counters of this moment. */
SLB_PRIVATE struct slb_health_base slb_count_base(struct slabby_allocator *pool);

/* Raises peak_used to what is in use now, and tells the health window. */
SLB_PRIVATE void slb_note_peak(struct slabby_allocator *pool);

SLB_PRIVATE void slb_stats_fill(struct slabby_allocator *pool, slabby_stats *out);

/* Counts a refused call and passes its status on. */
SLB_PRIVATE slabby_status slb_refuse(struct slabby_allocator *pool, slabby_status status);

#endif
