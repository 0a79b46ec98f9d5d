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
 */
struct slb_stripe {
    _Alignas(2 * SLB_CACHE_LINE) _Atomic uint64_t entered;
    _Atomic uint64_t left;
    _Atomic uint64_t moves_started;
    _Atomic uint64_t moves_finished;
    _Atomic uint64_t cache_in;  /* ids brought into caches in batches; counted before they enter */
    _Atomic uint64_t cache_out; /* ids taken out of caches in batches; counted after they left */
    _Atomic uint64_t folded;    /* allocations moved out of the headers before they wrap */
    _Atomic uint64_t undone;    /* of the allocations served by caches, those an unfinished batch gave back */
    _Atomic uint64_t hits[SLB_TIER_COUNT];    /* by tier, the CPU cache's excepted */
    _Atomic uint64_t guarded[SLB_TIER_COUNT]; /* of the hits and the CPU cache's, those put on a guard slot */
    _Atomic uint64_t releases;                /* that did not go through a CPU cache */
    _Atomic uint64_t fast_taken, fast_given;  /* that did not go through a CPU cache */
};

#endif
