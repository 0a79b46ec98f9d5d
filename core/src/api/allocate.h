/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The search for a slab after the CPU cache (depot, shards, gate, heap), for allocate itself, batches and listeners. */
#ifndef SLB_API_ALLOCATE_H
#define SLB_API_ALLOCATE_H

#include "pool.h"

/* Where a slab was found, and what must still be reported about it. */
struct slb_found {
    enum slb_tier tier;
    bool sampled; /* it may be put on a guard slot, see observe/counters.h */
    bool degrade_due;
    uint64_t mark;  /* events from here on that this thread raised */
    uint64_t probe; /* the search's number as a probe of the breaker, see breaker.h */
};

/* How an allocation looks for its slab. */
struct slb_search {
    bool nested;      /* in a signal handler that interrupted its own thread inside the core */
    uint64_t started; /* ticks, for max_alloc_latency */
    uint64_t mark;    /* the thread's events from here on are delivered when it has left */
    uint64_t probe;   /* its number as a probe of the breaker; the same when it begins again */
};

/* Leave, wait for the work on the whole pool to end, and begin again. Not a status: no public function answers it. */
#define SLB_SEARCH_AGAIN 1

SLB_PRIVATE struct slb_search slb_search_begin(struct slabby_allocator *pool);

/* One free id, not counted. Inside slb_enter. SLB_SEARCH_AGAIN: leave, call slb_search_wait, and begin again. */
SLB_PRIVATE slabby_status slb_search_inside(struct slabby_allocator *pool, struct slb_stripe *stripe,
                                            struct slb_search *search, uint32_t *out_id,
                                            enum slb_tier *out_tier);

/* Waits for the end of maintenance, outside. */
SLB_PRIVATE void slb_search_wait(struct slabby_allocator *pool);

/* Runs the work that is due after an operation that may have brought slabs back has left. */
SLB_PRIVATE void slb_search_leave(struct slabby_allocator *pool);

/* One free id from any tier behind the CPU cache, counted. `fast` counts it as one by id too. */
SLB_PRIVATE slabby_status slb_search(struct slabby_allocator *pool, uint32_t *out_id, bool fast,
                                     struct slb_found *out_found);

/* Call this after each slb_search that answered OK, when the id is no longer in this call's hands: a logger may inspect
 * the whole pool, and would wait for an id that is in no list and not out. */
SLB_PRIVATE SLB_COLD void slb_search_notify(struct slabby_allocator *pool, const struct slb_found *found,
                                            slabby_status status);

/* One slab, issued: everything but the untimed hit in a CPU cache of the rseq backend. A refusal is not counted yet. A
 * caller that was admitted as a probe, and after a refusal does not count a failure (a single try, or a wait without
 * success), gives the probe back with slb_probe_return. */
SLB_PRIVATE slabby_status slb_take_slab(struct slabby_allocator *pool, uint32_t state, uint32_t *out_id,
                                        uint64_t *out_word, uint64_t *out_probe);

/* Counts and records a refused allocation; tells the breaker where it is a failure of the pool. */
SLB_PRIVATE slabby_status slb_allocation_failed(struct slabby_allocator *pool, int32_t operation,
                                                slabby_status status);

#endif
