/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a listener is. The gate lock of its pool guards all of it, except the word that threads sleep on. */
#ifndef SLB_RESILIENCE_LISTENERS_H
#define SLB_RESILIENCE_LISTENERS_H

#include "resilience/tickets.h"

/* Waiters of one listener, oldest first. */
struct slb_waiter_list {
    struct slb_waiter *first, *last;
};

struct slabby_listener {
    struct slabby_listener *next, *previous; /* in the pool's list */
    struct slabby_allocator *pool;
    uint64_t number;           /* among all that this pool ever had; the pool's list has the highest first */
    int notifier;              /* a descriptor, or -1 */
    _Atomic uint32_t signals;  /* raised with each signal; slabby_listener_wait sleeps on it */
    _Atomic uint32_t sleepers; /* in slabby_listener_wait */
    bool closed;               /* the pool was closed */
    uint64_t timeout_ns;       /* how long a grant may wait to be taken; 0: as long as it takes */
    struct slb_waiter_list granted, revoked;
    struct slb_tickets tickets;
};

SLB_INLINE bool slb_listener_is_ready(const struct slabby_listener *listener) {
    return listener->granted.first != NULL || listener->revoked.first != NULL || listener->closed;
}

/* Appends a waiter that is in no list to the end of this list, and tells the listener. Needs the lock. */
SLB_PRIVATE void slb_listener_append(struct slb_waiter_list *list, struct slb_waiter *waiter);

/* The waiter has been granted a slab just now. Needs the lock. */
SLB_PRIVATE void slb_listener_grant(struct slb_waiter *waiter);

/* Out of one of the listener's lists. Needs the lock. */
SLB_PRIVATE void slb_listener_unlink(struct slb_waiter_list *list, struct slb_waiter *waiter);

/* Called when something was taken: the descriptor stays readable while there is more. Needs the lock. */
SLB_PRIVATE void slb_listener_clear(struct slabby_listener *listener);

/* Links the listener into the pool's list, and unlinks it when all of its tickets are over. */
SLB_PRIVATE void slb_listener_link(struct slabby_listener *listener);
SLB_PRIVATE void slb_listener_unlink_from_pool(struct slabby_listener *listener);

/* The pool learns how long its listeners let grants wait. Needs the lock. */
SLB_PRIVATE void slb_listeners_note_timeouts(struct slabby_allocator *pool);

#endif
