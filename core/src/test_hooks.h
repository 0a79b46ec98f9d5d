/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What builds with SLABBY_TEST_HOOKS offer to the tests: the race windows by name, and a way to stop there. */
#ifndef SLB_TEST_HOOKS_H
#define SLB_TEST_HOOKS_H

#include <stdbool.h>
#include <stdint.h>

struct slabby_allocator;

enum slb_test_points {
    SLB_POINT_REFILL = 1,        /* a batch is in transit to a CPU cache */
    SLB_POINT_FLUSH = 2,         /* a batch is in transit from a CPU cache */
    SLB_POINT_SPLIT = 3,         /* a depot batch is being split while the gate is closed */
    SLB_POINT_GATE_CLOSING = 4,  /* the reason is set, the headers are not locked yet */
    SLB_POINT_GATE_DRAIN = 5,    /* headers are locked, ids are on their way to the shards */
    SLB_POINT_GATE_OPENING = 6,  /* the epoch has moved, headers are still locked */
    SLB_POINT_PROOF = 7,         /* between the two collects of the OutOfMemory proof */
    SLB_POINT_RELEASED = 8,      /* the word says free, the id is not pushed yet */
    SLB_POINT_TAKEN = 9,         /* the id is taken, the word does not say live yet */
    SLB_POINT_STACK = 10,        /* between reading a stack's head and swapping it */
    SLB_POINT_CACHE_LOCKED = 11, /* a CPU cache's header is locked by the portable backend */
    SLB_POINT_RING_WRITE = 12,   /* a record has its number, or its ring; its words are not written yet */
    SLB_POINT_AT_REST = 13,      /* trim knows which slabs are free and is about to discard them */
    SLB_POINT_CLAIMED = 14,      /* resize has given a slab up and has not counted it yet */
    SLB_POINT_REVOKING = 15,     /* words are marked as revoking, before the fence */
    SLB_POINT_REVOKED = 16,      /* the fence is over, the words do not say so yet */
    SLB_POINT_UNHELD = 17,       /* nothing holds an ended pool, and its bookkeeping is not unmapped yet */
    SLB_POINT_DELAYED = 18,      /* a released slab lies in its ring, whose hint does not say so yet */
    SLB_POINT_TIMEOUT_SET =
        19,              /* the shortest timeout of the listeners is noted, its ticks are not switched */
    SLB_POINT_TICKS = 20 /* the pool was found open, its ticks are not switched on yet */
};

/* Called at each point when not null. Set it before the threads start. */
extern void (*slb_test_point)(int point);

/* The time that breaker and health go by, when not null: nanoseconds from any beginning. */
extern uint64_t (*slb_test_clock)(void);

/* Whether a CPU keeps biasing words however often others revoke, see word_bias.h. */
extern bool slb_test_bias_never_backs_off;

/* Waiters that this thread touched under the gate lock: in all, since it locked last, and at most under one lock. */
extern __thread uint64_t slb_test_waiter_steps, slb_test_waiter_steps_here, slb_test_waiter_steps_most;
void slb_test_waiter_step(void);

/* Closes the gate for a reason of its own, drains, and opens it again. */
void slb_test_gate_cycle(struct slabby_allocator *pool);

/* Moves the allocation counters of every CPU cache near the point where they are folded. */
void slb_test_age_counters(struct slabby_allocator *pool);

#endif
