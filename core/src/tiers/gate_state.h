/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The data of the gate; gate.h says how it works. */
#ifndef SLB_TIERS_GATE_STATE_H
#define SLB_TIERS_GATE_STATE_H

#include "base.h"

/* Gate reasons: while any is set, every CPU cache is locked and empty. */
enum slb_gate_reason {
    SLB_GATE_SCARCE = 1u << 0,    /* slabs ran out; opens when enough are free again */
    SLB_GATE_CLOSED = 1u << 1,    /* slabby_close; never clears */
    SLB_GATE_RESETTING = 1u << 2, /* an operation on the whole pool is under way; allocations wait */
    SLB_GATE_PAUSE = 1u << 3,     /* the CPU caches are being adjusted */
    SLB_GATE_WAITERS = 1u << 4,   /* a thread waits for a slab */
    SLB_GATE_BREAKER = 1u << 5,   /* the circuit breaker is open or half open */
    SLB_GATE_FORKED = 1u << 6,    /* a child of fork has not rebuilt its lists yet */
    SLB_GATE_SHRINKING = 1u << 7  /* live slabs are to be withdrawn: a release goes to the resize first */
};

/* Reasons for which returned slabs have another use before any allocation may take them. */
#define SLB_GATE_SERVE (SLB_GATE_WAITERS | SLB_GATE_SHRINKING)

/* Reasons for which reuse_delay does not delay: slabs are needed now, or will not be allocated again, or the lists are
 * about to be rebuilt. */
#define SLB_GATE_HURRY (SLB_GATE_SERVE | SLB_GATE_SCARCE | SLB_GATE_CLOSED | SLB_GATE_FORKED)

/* Reasons that ask for slb_pool_run_deferred at the end of a slow operation. */
#define SLB_GATE_POLL (SLB_GATE_CLOSED | SLB_GATE_SERVE)

struct slb_gate {
    _Alignas(SLB_CACHE_LINE) _Atomic uint32_t reasons; /* enum slb_gate_reason; 0: open */
    _Atomic uint64_t lock;                             /* the thread that holds it, or 0; outlives the pool */
    _Atomic uint64_t epoch;                            /* odd: closed and drained */
    _Atomic uint32_t deferred_pending; /* the pending flag: slb_pool_run_deferred was requested */
    _Atomic int64_t scarce_free;    /* slabs freed since the gate closed, less those taken: a lower bound */
    _Atomic int64_t scarce_enough;  /* the gate opens at this many */
    _Atomic uint64_t recount_after; /* ticks; see slb_gate_recount_is_due */
};

#endif
