/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Counters: exact when the pool is quiet; otherwise off by at most the overlapping operations; they never fall.
 *
 *   allocations = sum of served (headers) + folded - (tentative - confirmed) + hits of the other tiers
 *   hits shown  = sum of hits of a tier - (sampled - unguarded)
 *   releases    = sum of (len + served + folded) - cache_in + cache_out + releases past the caches
 *   live        = allocations + (tentative - confirmed) - undone - releases
 *
 * single_taken and single_given of tiers/single.h count among the hits of the shards, and the releases past the caches.
 *
 * A release into a cache raises len; an allocation out of it lowers len and raises served; so len + served counts
 * releases, once the batches are taken out again. cache_in is raised before a batch enters and cache_out after it
 * left, and they are read last and first: the result is a lower bound at every instant. Likewise a batch counts all
 * that it may take as tentative before, and afterwards as confirmed, but for what it took and gave back; an allocation
 * that may go on a guard slot counts as sampled before, and afterwards as guarded or unguarded.
 *
 * What ends a pool, or looks for lost slabs, asks while no call allocates, but batches may still try. It needs an upper
 * bound of what is out. So what is live leaves out what a batch has only announced; what it has taken and given back is
 * taken off once it is back.
 *
 * A lower bound may still be lower than an earlier one: the counters show the highest bound so far (publish), which is
 * exact as soon as no call is under way. One counter has no lower bound: an allocation by id is counted as such when it
 * has its slab, so ref_pool_hits may run ahead by the calls of slabby_allocate_fast that were under way during a
 * reading, until that many more references have been issued.
 */
#ifndef SLB_OBSERVE_COUNTERS_H
#define SLB_OBSERVE_COUNTERS_H

#include "observe/condition_state.h"
#include "pool.h"

/* Allocations less releases, heap slabs included: exact when nothing is under way. */
SLB_PRIVATE uint64_t slb_count_live(struct slabby_allocator *pool);

/* Slabs in use, heap slabs excepted. */
SLB_PRIVATE uint64_t slb_count_used(struct slabby_allocator *pool);

/* The retired slabs of the pool itself for which no other one serves. */
SLB_PRIVATE uint64_t slb_count_retired(struct slabby_allocator *pool);

/* Slabs in service that nobody has; 0 where the sums are of no one moment. Never waits. */
SLB_PRIVATE uint64_t slb_count_available(struct slabby_allocator *pool);

/* As statistics show it: never less than before. */
SLB_PRIVATE uint64_t slb_count_allocations(struct slabby_allocator *pool);

/* The counters of this moment, which the health window compares. */
SLB_PRIVATE struct slb_health_base slb_count_base(struct slabby_allocator *pool);

/* Raises peak_used to the slabs in use now, and notifies the health window. Never waits: if a cache is busy, the next
 * call does it. */
SLB_PRIVATE void slb_note_peak(struct slabby_allocator *pool);

/* Whether a CPU whose slow operation is over calls slb_note_peak now. */
SLB_PRIVATE bool slb_peak_is_due(struct slabby_allocator *pool, struct slb_stripe *stripe);

/* The slabs that a CPU has drawn by the short path without CPU caches (tiers/single.h), less those that came back that
 * way. relaxed: a hint. */
SLB_INLINE int64_t slb_singles_drawn(struct slb_stripe *stripe) {
    return (int64_t)(atomic_load_explicit(&stripe->single_taken, memory_order_relaxed) -
                     atomic_load_explicit(&stripe->single_given, memory_order_relaxed));
}

/* Such an allocation calls slb_note_peak where it is due: at every 16th, and above the use of the last look. */
SLB_PRIVATE SLB_COLD void slb_note_peak_single(struct slabby_allocator *pool, struct slb_stripe *stripe);

SLB_INLINE bool slb_peak_may_be_due(struct slb_stripe *stripe, uint64_t number) {
    return number % 16 == 0 ||
           slb_singles_drawn(stripe) >= atomic_load_explicit(&stripe->single_peak, memory_order_relaxed);
}

/* The same for an allocation that was sampled anyway, at `now` in ticks: not more often than every few microseconds a
 * CPU, for the sums touch every CPU's lines. */
SLB_PRIVATE void slb_note_peak_sampled(struct slabby_allocator *pool, uint64_t now);

/* In a child made by fork, while it has one thread: samples of vanished threads got no guard slot. */
SLB_PRIVATE void slb_count_end_samples(struct slabby_allocator *pool);

/* In a child made by fork, whose words say that users hold `out` slabs: balances the counters for slabs that vanished
 * threads had taken and not marked live, or had marked free and not given back. */
SLB_PRIVATE void slb_count_balance(struct slabby_allocator *pool, uint64_t out);

SLB_PRIVATE void slb_stats_fill(struct slabby_allocator *pool, const struct slb_conditions *conditions,
                                slabby_stats *out);

/* Counts a refused call and passes its status on. */
SLB_PRIVATE slabby_status slb_refuse(struct slabby_allocator *pool, slabby_status status);

#endif
