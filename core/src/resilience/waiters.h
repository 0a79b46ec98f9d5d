/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Waiting for a slab, first come first served across threads, listeners and languages.
 *
 * The queue is guarded by the gate lock. While it is not empty the gate is closed for SLB_GATE_WAITERS, so that every
 * release goes past the CPU caches: it pushes its id, then looks at the gate, sees the reason, and serves the queue (or
 * leaves that to whoever holds the lock, who looks again after unlocking). A waiter sets the reason first, then
 * enqueues, then serves the queue itself: of the two, {push, look at the gate} and {set the reason, look into the
 * tiers}, at least one sees the other. A plain allocate serves the queue before it takes anything, and takes nothing
 * while somebody waits.
 *
 * A slab that is granted is allocated from that moment on: a waiter whose time runs out at the same instant has it.
 */
#ifndef SLB_RESILIENCE_WAITERS_H
#define SLB_RESILIENCE_WAITERS_H

#include "pool.h"

enum slb_waiter_state { SLB_WAITER_WAITING, SLB_WAITER_GRANTED, SLB_WAITER_CLOSED };

struct slb_waiter {
    struct slb_waiter *next,
        *previous; /* in the pool's queue while waiting, in the listener's list once granted */
    struct slabby_listener *listener; /* who is told; NULL: the thread that sleeps on `state` */
    uint64_t ticket;
    uint32_t id; /* the slab, once granted */
    _Atomic uint32_t state;
};

/* Enqueues; Closed where nobody will ever be served. */
SLB_PRIVATE slabby_status slb_waiters_join(struct slabby_allocator *pool, struct slb_waiter *waiter);

/* Out of the queue; false where the waiter had been granted a slab or told of the end before. Needs the lock. */
SLB_PRIVATE bool slb_waiters_leave(struct slabby_allocator *pool, struct slb_waiter *waiter);

/* Grants free slabs to the oldest waiters; opens the gate behind the last. Needs the lock. */
SLB_PRIVATE void slb_waiters_serve(struct slabby_allocator *pool);

/* Tells every waiter that the pool is closed. Needs the lock. */
SLB_PRIVATE void slb_waiters_dismiss(struct slabby_allocator *pool);

/* A slab for this thread, by the deadline of slb_os_now_ns(): OK, Timeout, Closed. */
SLB_PRIVATE slabby_status slb_wait(struct slabby_allocator *pool, uint64_t deadline_ns, uint32_t *out_id);

/* A waiter of a listener changed its state. Needs the lock. */
SLB_PRIVATE void slb_listener_note(struct slb_waiter *waiter);

/* Calls `visit`, where it is not null, for each slab that was granted and waits to be taken: counted as allocated, in
 * no list, its word says free. Answers how many. Needs the lock, and so does taking one. */
typedef void slb_visit(void *context, uint32_t id);
SLB_PRIVATE uint64_t slb_listeners_visit_granted(struct slabby_allocator *pool, slb_visit *visit,
                                                 void *context);

/* Tells every listener that the pool is closed. Needs the lock. */
SLB_PRIVATE void slb_listeners_close(struct slabby_allocator *pool);

#endif
