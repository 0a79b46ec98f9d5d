/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The data of the tiers: what they keep, drawn in one place because the pool embeds it. */
#ifndef SLB_TIERS_TYPES_H
#define SLB_TIERS_TYPES_H

#include "base.h"

/*
 * A CPU cache: a stack of free ids under one header.
 *
 *    63                          16 15       0
 *   +------------------------------+----------+
 *   | allocations served (48)      | len (16) |      taking one: header + 0xFFFF;  giving one: header + 1
 *   +------------------------------+----------+
 *
 * len = 0xFFFF means locked: len - 1 >= max catches empty and locked in one unsigned compare, len >= max catches
 * full and locked.
 */
#define SLB_CACHE_IDS 254u
#define SLB_CACHE_LOCKED 0xFFFFu
#define SLB_CACHE_TAKE 0xFFFFu
#define SLB_CACHE_GIVE 1u

struct slb_cpu_cache {
    _Alignas(SLB_CACHE_LINE) _Atomic uint64_t header;
    _Atomic uint16_t sample_at; /* the allocation with these low bits of its number is timed */
    uint16_t locked_length;     /* what the gate found when it locked the header */
    _Atomic uint64_t issue;     /* into the words of what is taken: this CPU as their owner, or 0 */
    uint32_t ids[SLB_CACHE_IDS];
    _Atomic uint64_t fast_taken; /* of the allocations served, those by id */
    _Atomic uint64_t fast_given;
    _Atomic uint64_t sampled_at;    /* number of the allocation that was timed last */
    _Atomic uint64_t backoff_until; /* ticks; no owning before, see word_bias.h */
    _Atomic uint32_t plain_met;     /* plain words in a row that releases met, see word_bias.h */
};

/* Caches lie a power of two apart, so that finding one's own is a shift. */
#define SLB_CACHE_STRIDE_LOG2 11

union slb_cpu_cache_entry {
    struct slb_cpu_cache cache;
    char bytes[1u << SLB_CACHE_STRIDE_LOG2];
};

_Static_assert(sizeof(struct slb_cpu_cache) <= 1u << SLB_CACHE_STRIDE_LOG2, "a CPU cache must fit its place");

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
 * Per-CPU counters of slow paths. Any thread may add to any stripe; only sums mean something.
 * entered/left bracket every slow operation; moves_started/moves_finished bracket every move of several ids through
 * private hands.
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

/* A tagged stack: {tag:32, index + 1:32}; every swap raises the tag, so an old head never matches again. */
typedef _Atomic uint64_t slb_stack;

/* A shard: a stack of ids linked through pool->next, and the slabs of its range that were never used.
 * fresh = {withheld:32, used:32}: how many have been handed out at least once, from the range's start on, and how many
 * at its end are beyond the pool's capacity. One word, so that nobody takes a slab that is being withheld. */
struct slb_shard {
    _Alignas(SLB_CACHE_LINE) slb_stack head;
    _Atomic uint64_t fresh;
};

#define SLB_FRESH_WITHHELD 32 /* shift */

/* The depot: full batches waiting, as nodes of `batch` ids each. */
struct slb_depot {
    struct slb_depot_heads *heads;
    _Atomic uint32_t *next; /* per node */
    uint32_t *ids;          /* node n holds ids[n * batch] .. */
    uint32_t nodes;
};

struct slb_depot_heads {
    _Alignas(SLB_CACHE_LINE) slb_stack full;
    _Alignas(SLB_CACHE_LINE) slb_stack empty;
    _Atomic uint64_t used; /* nodes that have been used at least once */
};

/* reuse_delay: a queue of ids that wait, drawn in protect/reuse_delay.h. */
struct slb_delay_cell {
    _Atomic uint64_t turn;
    _Atomic uint32_t id;
};

struct slb_delay {
    struct slb_delay_cell *cells;
    uint64_t mask;  /* cells - 1 */
    uint64_t limit; /* slabs that wait before the oldest goes on; 0 means that there is no queue */
    _Atomic uint64_t head, tail;
};

/* What was found overwritten, for slabby_explain; ref = 0: no report. */
#define SLB_DAMAGE_REPORTS 8u

struct slb_damage_report {
    _Atomic uint64_t ref;
    _Atomic int64_t offset;
    _Atomic uint32_t bytes; /* expected << 8 | found */
};

/* The heap tier: pointers of slabs beyond capacity. */
struct slb_heap {
    _Atomic(void *) *_Atomic table; /* mapped on first use, id - capacity -> slab */
    uint32_t limit;
    _Atomic uint32_t enabled;
    slb_stack head;        /* free heap ids, linked through pool->next */
    _Atomic uint64_t used; /* heap ids that have been used at least once */
    _Atomic uint64_t live;
};

SLB_INLINE void *slb_heap_data(struct slb_heap *heap, uint32_t index) {
    /* acquire pairs with the release store of slb_heap_take: whoever holds the id sees the pointer */
    _Atomic(void *) *table = atomic_load_explicit(&heap->table, memory_order_acquire);
    return table == NULL ? NULL : atomic_load_explicit(&table[index], memory_order_acquire);
}

/* A user's label of one allocation; owner = generation + 1 of the reference it belongs to, bit 63 while written. */
struct slb_label {
    _Atomic uint64_t owner;
    _Atomic uint64_t label;
};

#endif
