/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Leases: caches from which a binding's own code takes slabs, and to which it gives them, without a call into the core.
 * The memory belongs to the core. docs/go-fast-path.md explains why this is correct.
 *
 * A lease has one user at a time and two magazines, each a stack of free ids under a header like that of a CPU cache:
 *
 *    63                          16 15       0
 *   +------------------------------+----------+        user: taking one: header + 0xFFFF; giving one: header + 1
 *   | turn (48)                    | len (16) |        core: lock, change, unlock with turn + 1
 *   +------------------------------+----------+        len = 0xFFFF: locked
 *
 *   given       the user gives and takes; the core only takes out (a full one is flushed to the depot)
 *   refilled    the core puts in (a batch from the depot); the user only takes
 *
 * So no two threads write an id to the same place at the same time: if the user's compare-and-swap fails, no thread
 * reads the id that the user stored above the length of `given`. The turn grows with every id that is taken and with
 * every change by the core, so a header that a thread has read never comes back; for that reason other threads may take
 * single ids beside the user. `turned` counts the core's changes: turn - turned is the number of slabs served.
 *
 * A binding knows these offsets as layout SLABBY_LEASE_LAYOUT of slabby.h.
 */
#ifndef SLB_TIERS_LEASE_H
#define SLB_TIERS_LEASE_H

#include "base.h"
#include "pool.h"

#define SLB_MAGAZINE_IDS 120u

struct slb_magazine {
    _Alignas(SLB_CACHE_LINE) _Atomic uint64_t header;
    _Atomic uint32_t sample_at; /* the allocation at the turn with these low bits is for the core to time */
    uint32_t max;               /* ids that it may hold */
    _Atomic uint32_t ids[SLB_MAGAZINE_IDS];
    _Atomic uint64_t turned; /* turns that served nothing; written under the header's lock */
    uint32_t locked_length;  /* what the gate found when it locked the header */
};

struct slb_lease {
    struct slb_magazine given, refilled;
    _Atomic uint64_t fast_taken; /* of the allocations served, those by id; written by the user alone */
    _Atomic uint64_t fast_given;
    _Atomic uint64_t sampled_at; /* allocations served when one was timed last */
    /* For a binding with more threads than leases: the user of the lease. The core does not read it. */
    _Atomic uint64_t user;
    _Atomic uint64_t sampled_ticks; /* when that allocation began */
};

_Static_assert(offsetof(struct slb_magazine, sample_at) == 8, "part of layout 1");
_Static_assert(offsetof(struct slb_magazine, max) == 12, "part of layout 1");
_Static_assert(offsetof(struct slb_magazine, ids) == 16, "part of layout 1");
_Static_assert(sizeof(struct slb_magazine) == 512, "part of layout 1");
_Static_assert(offsetof(struct slb_lease, fast_taken) == 1024, "part of layout 1");
_Static_assert(offsetof(struct slb_lease, fast_given) == 1032, "part of layout 1");
_Static_assert(offsetof(struct slb_lease, user) == 1048, "part of layout 1");
_Static_assert(sizeof(struct slb_lease) == 1088, "part of layout 1; an odd number of lines");

/* Leases that were attached together: one mapping, unmapped with the rest of the pool's bookkeeping. */
struct slb_lease_block {
    struct slb_lease_block *next;
    struct slb_lease *leases;
    uint64_t mapping;
    uint32_t count;
    _Atomic uint32_t attached; /* 0: every magazine is locked and empty until somebody attaches again */
};

/* ------------------------------------------------------------------------------ for a binding, by its calls */

/* `count` leases for one more user of the pool, in *out; OK, NotSupported where the pool is too small for caches, or
 * NoSystemMemory. */
SLB_PRIVATE slabby_status slb_leases_attach(struct slabby_allocator *pool, uint32_t count,
                                            struct slb_lease_block **out);

/* Moves the ids in the leases to the shards. False if no attached block begins at the address. */
SLB_PRIVATE bool slb_leases_detach(struct slabby_allocator *pool, uint64_t address);

/* The lease at an address, or NULL. */
SLB_PRIVATE struct slb_lease *slb_lease_at(struct slabby_allocator *pool, uint64_t address);

/* One id from either magazine, counted as an allocation, and ahead of that in `by_id`, unless it is NULL. */
SLB_PRIVATE bool slb_lease_take(struct slb_lease *lease, uint32_t *out_id, _Atomic uint64_t *by_id);

/* Inside slb_enter: a batch from the depot or the shards; the first id for the caller, the rest into the lease. */
SLB_PRIVATE bool slb_lease_refill(struct slabby_allocator *pool, struct slb_stripe *stripe,
                                  struct slb_lease *lease, uint32_t *out_id, enum slb_tier *out_tier);

/* Inside slb_enter: where `given` is full its ids go to the depot. */
SLB_PRIVATE void slb_lease_flush(struct slabby_allocator *pool, struct slb_stripe *stripe,
                                 struct slb_lease *lease);

/* Allocations that the lease has served. */
SLB_PRIVATE uint64_t slb_lease_served(struct slb_lease *lease);

/* --------------------------------------------------------------------------- for the gate and for observers */

/* Locks every magazine, even while a thread is busy in it. Needs the gate lock. */
SLB_PRIVATE void slb_leases_lock(struct slabby_allocator *pool);

/* Moves what the locked magazines held to the shards and answers how many ids. Bracketed as a move by the caller. */
SLB_PRIVATE uint64_t slb_leases_drain(struct slabby_allocator *pool, struct slb_stripe *stripe);

/* Unlocks them, empty. */
SLB_PRIVATE void slb_leases_open(struct slabby_allocator *pool);

/* In a child of fork: locks every magazine, whatever a vanished thread was doing with it. */
SLB_PRIVATE void slb_leases_after_fork(struct slabby_allocator *pool);

/* With every magazine locked: the next allocation of each lease is the first to be timed. */
SLB_PRIVATE void slb_leases_sample_next(struct slabby_allocator *pool);

struct slb_lease_counts {
    uint64_t served, cached, fast_taken, fast_given;
    bool locked; /* a magazine was locked, so `cached` does not include its ids */
};

/* A magazine that the core has locked for a moment is read again, up to `attempts` times. */
SLB_PRIVATE struct slb_lease_counts slb_leases_count(struct slabby_allocator *pool, uint32_t attempts);

/* Bytes of all blocks. */
SLB_PRIVATE uint64_t slb_leases_bytes(struct slabby_allocator *pool);

/* The place gets another pool. */
SLB_PRIVATE void slb_leases_forget(struct slabby_allocator *pool);

#endif
