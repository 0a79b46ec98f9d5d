/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Waiting for a slab: first come, first served, across threads, listeners and languages.
 *
 * The queue is guarded by the gate lock. While it is not empty the gate is closed for SLB_GATE_WAITERS, so that every
 * release goes past the CPU caches: it pushes its id, then looks at the gate, sees the reason, and serves the queue (or
 * leaves that to the holder of the lock, which checks again after unlocking). A waiter sets the reason first, then
 * enqueues, then serves the queue itself: of the two, {push, look at the gate} and {set the reason, look into the
 * tiers}, at least one sees the other. A plain allocate serves the queue before it takes anything, and takes nothing
 * while another thread or ticket waits.
 *
 * Publication. `state` says where a waiter is, and changes under the lock only:
 *
 *   DRAWN -> WAITING -> GRANTED -> UNUSED             drawn, in the queue, in the listener's list, taken or cancelled
 *                    -> CLOSED                        the pool was closed while it waited
 *                       GRANTED -> REVOKED -> UNUSED  not taken in time: the slab went back, the listener is told
 *
 * A listener's waiters are read under the lock only, so the lock publishes all of them. A waiter of a sleeping thread
 * lies on that thread's stack, and the thread reads `state` without the lock: the store of GRANTED or CLOSED is the
 * last access by the thread that finishes the waiter (release, pairs with the acquire load in slb_wait) and publishes
 * `id`; the word is woken by its address alone. A thread that gives up reads `state` again under the lock. If it is
 * still WAITING, no thread has granted a slab and no thread will, because the waiter leaves the queue before the lock
 * is released.
 *
 * No thread holds the lock for more than SLB_WAITERS_AT_ONCE waiters. If a longer job (many slabs for many waiters, a
 * close) has more to do, deferred_pending is set, and slb_pool_run_deferred does the rest.
 *
 * A slab that is granted is allocated from that moment on: a waiter whose time runs out at the same instant gets the
 * slab. grants.h says who owns a grant that is not taken yet.
 */
#ifndef SLB_RESILIENCE_WAITERS_H
#define SLB_RESILIENCE_WAITERS_H

#include "pool.h"

/* The most waiters that one holder of the lock touches. */
#define SLB_WAITERS_AT_ONCE 64u

/* Notes that one waiter was touched under the lock. Tests limit how many are. */
#ifdef SLABBY_TEST_HOOKS
#define SLB_WAITER_STEP() slb_test_waiter_step()
#else
#define SLB_WAITER_STEP() ((void)0)
#endif

enum slb_waiter_state {
    SLB_WAITER_UNUSED, /* a slot without a ticket */
    SLB_WAITER_DRAWN,  /* a ticket that looks for a slab at once */
    SLB_WAITER_WAITING,
    SLB_WAITER_GRANTED,
    SLB_WAITER_CLOSED,
    SLB_WAITER_REVOKED
};

struct slb_waiter {
    struct slb_waiter *next,
        *previous; /* in the pool's queue while waiting, then in one of the listener's lists */
    struct slabby_listener *listener; /* who is told; NULL: the thread that sleeps on `state` */
    uint64_t ticket;                  /* tickets.h */
    uint64_t user_data;               /* handed back with the ticket */
    uint64_t granted_ns;              /* of slb_now_ns; listeners only */
    uint64_t probe; /* its number as a probe of the breaker, until that is over; listeners only */
    uint32_t id;    /* the slab, once granted */
    _Atomic uint32_t state;
};

/* Enqueues; Closed if the pool will never serve the waiter. */
SLB_PRIVATE slabby_status slb_waiters_join(struct slabby_allocator *pool, struct slb_waiter *waiter);

/* Takes the waiter out of the queue; false if it had been granted a slab, or told of the end, before. Needs the
 * lock. */
SLB_PRIVATE bool slb_waiters_leave(struct slabby_allocator *pool, struct slb_waiter *waiter);

/* Grants free slabs to the oldest waiters; opens the gate behind the last. Needs the lock. */
SLB_PRIVATE void slb_waiters_serve(struct slabby_allocator *pool);

/* Tells the waiters of a closed pool so. Needs the lock. */
SLB_PRIVATE void slb_waiters_dismiss(struct slabby_allocator *pool);

/* A slab for this thread, by the deadline of slb_os_now_ns(): OK, Timeout, Closed. */
SLB_PRIVATE slabby_status slb_wait(struct slabby_allocator *pool, uint64_t deadline_ns, uint32_t *out_id);

/* A waiter of a listener was granted a slab, or is over because the pool was closed. Needs the lock. */
SLB_PRIVATE void slb_listener_note(struct slb_waiter *waiter);

/* Tells every listener that the pool is closed. Needs the lock. */
SLB_PRIVATE void slb_listeners_close(struct slabby_allocator *pool);

#endif
