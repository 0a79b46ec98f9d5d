/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The data of a CPU cache; cpu_cache.h has what is done with it. */
#ifndef SLB_TIERS_CPU_CACHE_STATE_H
#define SLB_TIERS_CPU_CACHE_STATE_H

#include "base.h"

/*
 * A CPU cache: a stack of free ids under one header.
 *
 *    63                          16 15       0
 *   +------------------------------+----------+
 *   | allocations served (48)      | len (16) |      taking one: header + 0xFFFF;  giving one: header + 1
 *   +------------------------------+----------+
 *
 * len = 0xFFFF means locked: len - 1 as a signed number is below 0 for empty and locked, len >= max catches full and
 * locked.
 */
#define SLB_CACHE_IDS 254u
#define SLB_CACHE_LOCKED 0xFFFFu
#define SLB_CACHE_TAKE 0xFFFFu
#define SLB_CACHE_GIVE 1u

/* header and the two counters of uses by id share a cache line. */
struct slb_cpu_cache {
    _Alignas(SLB_CACHE_LINE) _Atomic uint64_t fast_given;
    _Atomic uint64_t header;
    _Atomic uint64_t fast_taken; /* of the allocations served, those by id */
    _Atomic uint32_t sample_at;  /* from which allocation on one is to be timed, see slb_sample_is_due */
    _Atomic uint64_t issue; /* into the words of what is taken: the bias to a CPU, or 0; see word_bias.h */
    uint32_t ids[SLB_CACHE_IDS];
    _Atomic uint64_t sampled_at;    /* number of the allocation that was timed last */
    _Atomic uint64_t backoff_until; /* ticks; `issue` has changed for a while, see word_bias.h */
    _Atomic uint64_t sampled_ticks; /* when that allocation began */
    _Atomic uint32_t revoked;       /* biases to this CPU since `issue` changed last, see word_bias.c */
    uint32_t locked_length;         /* what the gate found when it locked the header */
};

/* Caches lie a power of two apart, so that finding one's own is a shift. */
#define SLB_CACHE_STRIDE_LOG2 11

union slb_cpu_cache_entry {
    struct slb_cpu_cache cache;
    char bytes[1u << SLB_CACHE_STRIDE_LOG2];
};

_Static_assert(sizeof(struct slb_cpu_cache) <= 1u << SLB_CACHE_STRIDE_LOG2, "a CPU cache must fit its place");

#endif
