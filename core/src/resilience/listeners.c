/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "resilience/listeners.h"

#include "os/clock.h"
#include "os/os.h"
#include "resilience/fork.h"
#include "resilience/ticker.h"
#include "tiers/gate.h"

/* --------------------------------------------------------------------------------------------- the pool's list */

SLB_PRIVATE void slb_listener_link(struct slabby_listener *listener) {
    struct slabby_allocator *pool = listener->pool;
    slb_fork_check(pool);
    slb_gate_lock(pool);
    listener->number = pool->listeners_made++;
    listener->next = pool->listeners;
    if (listener->next != NULL)
        listener->next->previous = listener;
    pool->listeners = listener;
    slb_gate_unlock(pool);
}

/* The shortest time that a listener of the pool allows; 0: none does. Needs the lock. */
static uint64_t shortest_timeout(struct slabby_allocator *pool, uint32_t *out_count) {
    uint64_t shortest = 0;
    *out_count = 0;
    for (struct slabby_listener *listener = pool->listeners; listener != NULL; listener = listener->next) {
        if (listener->timeout_ns == 0)
            continue;
        ++*out_count;
        if (shortest == 0 || listener->timeout_ns < shortest)
            shortest = listener->timeout_ns;
    }
    return shortest;
}

SLB_PRIVATE void slb_listeners_note_timeouts(struct slabby_allocator *pool) {
    uint32_t count;
    uint64_t shortest = shortest_timeout(pool, &count);
    slb_ticker_set_revocations(pool, shortest);
    /* relaxed: see slb_grants_revoke */
    atomic_store_explicit(&pool->grant_timeouts, count, memory_order_relaxed);
}

SLB_PRIVATE void slb_listener_unlink_from_pool(struct slabby_listener *listener) {
    struct slabby_allocator *pool = listener->pool;
    slb_gate_lock(pool);
    *(listener->previous == NULL ? &pool->listeners : &listener->previous->next) = listener->next;
    if (listener->next != NULL)
        listener->next->previous = listener->previous;
    slb_listeners_note_timeouts(pool);
    slb_gate_unlock(pool);
}

/* ------------------------------------------------------------------------------------------------- its lists */

/* One signal tells an event loop of all grants that come until the loop has taken them. The descriptor is signalled and
 * cleared under the lock, so that it is readable exactly while there is something to take. Threads that sleep have read
 * `signals` under the lock too, and are woken after the change. */
static void signal_listener(struct slabby_listener *listener) {
    if (listener->notifier >= 0)
        slb_os_notifier_signal(listener->notifier);
    atomic_fetch_add_explicit(&listener->signals, 1, memory_order_seq_cst);
    /* seq_cst: pairs with slabby_listener_wait, which counts itself before it looks at `signals` */
    if (atomic_load_explicit(&listener->sleepers, memory_order_seq_cst) != 0)
        slb_os_wake_one(&listener->signals);
}

SLB_PRIVATE void slb_listener_append(struct slb_waiter_list *list, struct slb_waiter *waiter) {
    bool notified = slb_listener_is_ready(waiter->listener);
    waiter->next = NULL;
    waiter->previous = list->last;
    *(list->last == NULL ? &list->first : &list->last->next) = waiter;
    list->last = waiter;
    if (!notified)
        signal_listener(waiter->listener);
}

SLB_PRIVATE void slb_listener_unlink(struct slb_waiter_list *list, struct slb_waiter *waiter) {
    *(waiter->previous == NULL ? &list->first : &waiter->previous->next) = waiter->next;
    *(waiter->next == NULL ? &list->last : &waiter->next->previous) = waiter->previous;
}

SLB_PRIVATE void slb_listener_grant(struct slb_waiter *waiter) {
    waiter->granted_ns = slb_now_ns();
    slb_listener_append(&waiter->listener->granted, waiter);
}

SLB_PRIVATE void slb_listener_note(struct slb_waiter *waiter) {
    /* relaxed: under the lock */
    if (atomic_load_explicit(&waiter->state, memory_order_relaxed) == SLB_WAITER_CLOSED)
        slb_tickets_end(&waiter->listener->tickets, waiter); /* slb_listeners_close tells the listener */
    else
        slb_listener_grant(waiter);
}

/* Every listener is told of the end, even if it has no tickets out. */
SLB_PRIVATE void slb_listeners_close(struct slabby_allocator *pool) {
    for (struct slabby_listener *listener = pool->listeners; listener != NULL; listener = listener->next) {
        listener->closed = true;
        signal_listener(listener);
    }
}

/* The notifier stays signalled while something is left to take, or to learn. */
SLB_PRIVATE void slb_listener_clear(struct slabby_listener *listener) {
    if (listener->notifier >= 0 && !slb_listener_is_ready(listener))
        slb_os_notifier_clear(listener->notifier);
}

/* --------------------------------------------------------------------------------------------------- fork */

static void append_by_age(struct slb_waiter_list *list, struct slb_waiter *chain) {
    for (struct slb_waiter *waiter = slb_tickets_by_age(chain), *next; waiter != NULL; waiter = next) {
        next = waiter->next;
        slb_listener_append(list, waiter);
    }
}

/* The threads that may have been in the middle of a change are gone, so the lists are made again from the slots. The
 * queue was dropped together with its threads; slabs that had been granted still wait to be taken. */
static void renew_lists(struct slabby_listener *listener) {
    struct slb_tickets *tickets = &listener->tickets;
    struct slb_waiter *granted = NULL, *revoked = NULL;
    listener->granted = listener->revoked = (struct slb_waiter_list){NULL, NULL};
    tickets->unused = NULL;
    for (uint32_t slot = tickets->drawn; slot-- > 0;) {
        struct slb_waiter *waiter = slb_tickets_slot(tickets, slot);
        uint32_t state = atomic_load_explicit(&waiter->state, memory_order_relaxed); /* one thread is left */
        struct slb_waiter **chain = state == SLB_WAITER_GRANTED ? &granted : &revoked;
        if (state != SLB_WAITER_GRANTED && state != SLB_WAITER_REVOKED) {
            slb_tickets_end(tickets, waiter);
            continue;
        }
        waiter->next = *chain;
        *chain = waiter;
    }
    append_by_age(&listener->granted, granted);
    append_by_age(&listener->revoked, revoked);
}

SLB_PRIVATE void slb_listeners_renew(struct slabby_allocator *pool) {
    for (struct slabby_listener *listener = pool->listeners; listener != NULL; listener = listener->next) {
        if (listener->notifier >= 0)
            slb_os_notifier_renew(listener->notifier);
        atomic_store_explicit(&listener->sleepers, 0, memory_order_relaxed); /* one thread is left */
        renew_lists(listener);
        if (listener->closed)
            signal_listener(listener);
    }
}
