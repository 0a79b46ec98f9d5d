/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where slow paths count. */
#ifndef SLB_TIERS_COUNTER_STATE_H
#define SLB_TIERS_COUNTER_STATE_H

#include "base.h"

enum slb_tier {
    SLB_TIER_CACHE,
    SLB_TIER_DEPOT,
    SLB_TIER_SHARD,
    SLB_TIER_GATE,
    SLB_TIER_GUARD,
    SLB_TIER_HEAP
};
#define SLB_TIER_COUNT 6u

/*
 * Per-CPU counters of slow paths. Any thread may add to any stripe; only the sums are meaningful. entered/left enclose
 * every slow operation; moves_started/moves_finished enclose every move of several ids.
 * Exception: only sequences on the stripe's CPU add to the counters of single.h.
 */
struct slb_stripe {
    _Alignas(2 * SLB_CACHE_LINE) _Atomic uint64_t entered;
    _Atomic uint64_t left;
    _Atomic uint64_t moves_started;
    _Atomic uint64_t moves_finished;
    _Atomic uint64_t cache_in;  /* ids brought into caches in batches; counted before they enter */
    _Atomic uint64_t cache_out; /* ids taken out of caches in batches; counted after they left */
    _Atomic uint64_t folded;    /* allocations moved out of the headers before they wrap */
    _Atomic uint64_t tentative; /* ids that a batch may take from caches; counted before it takes the first */
    _Atomic uint64_t
        confirmed; /* the tentative ids, less those that the batch took and gave back; counted at its end */
    _Atomic uint64_t undone; /* ids that batches took from caches and gave back; counted once they are back */
    _Atomic uint64_t hits[SLB_TIER_COUNT]; /* by tier, the CPU cache's excepted */
    /* Allocations that may be put on a guard slot, by the tier that serves them: counted before they are counted as
     * served; then each is counted once more, as guarded or as unguarded. */
    _Atomic uint64_t sampled[SLB_TIER_COUNT], guarded[SLB_TIER_COUNT], unguarded[SLB_TIER_COUNT];
    _Atomic uint64_t releases;               /* that did not go through a CPU cache */
    _Atomic uint64_t fast_taken, fast_given; /* that did not go through a CPU cache */
    _Atomic uint64_t peak_moves;             /* moves when this CPU last checked the use */
    _Atomic int64_t peak_drawn;              /* most slabs that this CPU had drawn when it checked the use */
    _Atomic int64_t guard_countdown; /* to the next allocation on a guard slot: protect/guard_slots.c */
    /* Without CPU caches, by sequences on this CPU alone (single.h): allocations that entered, those that left with a
     * slab, and releases. */
    _Atomic uint64_t single_entered, single_taken, single_given;
    _Atomic int64_t single_peak; /* the use is checked when single_taken - single_given reaches this */
};

#endif
