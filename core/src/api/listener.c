/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Waiting without a thread: a listener is a descriptor for an event loop and the tickets that were drawn through it.
 * Its lists are guarded by the pool's gate lock; tickets are numbered from 1. */
#include "api/issue.h"
#include "api/allocate.h"
#include "observe/audit.h"
#include "observe/counters.h"
#include "os/os.h"
#include "pool/lifecycle.h"
#include "resilience/breaker.h"
#include "resilience/fork.h"
#include "resilience/waiters.h"
#include "status.h"
#include "tiers/gate.h"

#include <stdlib.h>

struct slabby_listener {
    struct slabby_listener *next, *previous; /* in the pool's list */
    struct slabby_allocator *pool;
    int notifier;
    uint64_t last_ticket;
    struct slb_waiter *granted, *last_granted; /* oldest first */
    uint64_t waiting;                          /* tickets still in the pool's queue */
    bool closed;                               /* the pool was closed */
};

/* Behind those who were granted before. Needs the lock. */
static void append_granted(struct slabby_listener *listener, struct slb_waiter *waiter) {
    waiter->next = NULL;
    waiter->previous = listener->last_granted;
    *(listener->last_granted == NULL ? &listener->granted : &listener->last_granted->next) = waiter;
    listener->last_granted = waiter;
    slb_os_notifier_signal(listener->notifier);
}

SLB_PRIVATE void slb_listener_note(struct slb_waiter *waiter) {
    struct slabby_listener *listener = waiter->listener;
    listener->waiting--;
    if (atomic_load_explicit(&waiter->state, memory_order_relaxed) == SLB_WAITER_CLOSED)
        free(waiter); /* slb_listeners_close has told the listener */
    else
        append_granted(listener, waiter);
}

/* Every listener hears of the end, whether it has tickets out or not. */
SLB_PRIVATE void slb_listeners_close(struct slabby_allocator *pool) {
    for (struct slabby_listener *listener = pool->listeners; listener != NULL; listener = listener->next) {
        listener->closed = true;
        slb_os_notifier_signal(listener->notifier);
    }
}

static void forget_granted(struct slabby_listener *listener, struct slb_waiter *waiter) {
    *(waiter->previous == NULL ? &listener->granted : &waiter->previous->next) = waiter->next;
    *(waiter->next == NULL ? &listener->last_granted : &waiter->next->previous) = waiter->previous;
}

static slabby_ref issue_granted(struct slabby_allocator *pool, uint32_t id) {
    uint64_t word =
        slb_issue_protected(pool, id, SLABBY_SLAB_STATE_LIVE, SLABBY_AUDIT_OPERATION_ALLOCATE_WAIT);
    slb_breaker_served(pool);
    return slb_ref_make(pool, slb_word_generation(pool->id_bits, word), id);
}

SLB_PRIVATE uint64_t slb_listeners_visit_granted(struct slabby_allocator *pool, slb_visit *visit,
                                                 void *context) {
    uint64_t count = 0;
    for (struct slabby_listener *listener = pool->listeners; listener != NULL; listener = listener->next) {
        for (struct slb_waiter *waiter = listener->granted; waiter != NULL; waiter = waiter->next, count++)
            if (visit != NULL)
                visit(context, waiter->id);
    }
    return count;
}

/* The queue was dropped with its threads; what had been granted still waits to be taken. */
SLB_PRIVATE void slb_listeners_renew(struct slabby_allocator *pool) {
    for (struct slabby_listener *listener = pool->listeners; listener != NULL; listener = listener->next) {
        slb_os_notifier_renew(listener->notifier);
        listener->waiting = 0;
        if (listener->granted != NULL || listener->closed)
            slb_os_notifier_signal(listener->notifier);
    }
}

SLB_PUBLIC slabby_status slabby_listener_create(slabby_listener **out_listener, int32_t *out_fd,
                                                slabby_allocator *allocator, slabby_error *out_error) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL || out_listener == NULL || out_fd == NULL)
        return slb_error_set(out_error, SLABBY_INVALID_ARGUMENT, 0, 0, 0, 0,
                             "the handle or a place for a result is null");
    slabby_status status = slb_pool_retain(pool);
    if (status != SLABBY_OK)
        return slb_error_set(out_error, status, 0, 0, 0, 0, "no open pool has this handle");
    struct slabby_listener *listener = calloc(1, sizeof *listener);
    int notifier = listener == NULL ? -1 : slb_os_notifier_create();
    if (notifier < 0) {
        free(listener);
        (void)slb_pool_abandon(pool);
        return slb_error_set(out_error, SLABBY_NO_SYSTEM_MEMORY, 0, 0, 0, 0,
                             "the system refused memory or a descriptor for the listener; close some first");
    }
    listener->pool = pool;
    listener->notifier = notifier;
    slb_fork_check(pool);
    slb_gate_lock(pool);
    listener->next = pool->listeners;
    if (listener->next != NULL)
        listener->next->previous = listener;
    pool->listeners = listener;
    slb_gate_unlock(pool);
    *out_listener = listener;
    *out_fd = notifier;
    return SLABBY_OK;
}

static uint64_t draw_ticket(struct slabby_listener *listener, struct slb_waiter *waiter) {
    slb_gate_lock(listener->pool);
    waiter->listener = listener;
    uint64_t ticket = waiter->ticket =
        ++listener->last_ticket; /* once it waits, another thread may take and free it */
    listener->waiting++;
    slb_gate_unlock(listener->pool);
    return ticket;
}

/* The first try, as slabby_allocate_timeout makes it: by the breaker, the tiers, the heap. OutOfMemory: not yet. */
static slabby_status try_at_once(struct slabby_listener *listener, struct slb_waiter *waiter) {
    struct slb_found found = {.tier = SLB_TIER_CACHE};
    slabby_status status = slb_search(listener->pool, &waiter->id, false, &found);
    if (status != SLABBY_OK)
        return status;
    slb_gate_lock(listener->pool);
    listener->waiting--;
    atomic_store_explicit(&waiter->state, SLB_WAITER_GRANTED, memory_order_release);
    append_granted(listener, waiter);
    slb_gate_unlock(listener->pool);
    slb_search_notify(listener->pool, &found, SLABBY_OK);
    return SLABBY_OK;
}

SLB_PUBLIC slabby_status slabby_wait_begin(uint64_t *out_ticket, slabby_listener *listener) {
    if (out_ticket == NULL || listener == NULL)
        return SLABBY_INVALID_ARGUMENT;
    struct slb_waiter *waiter = calloc(1, sizeof *waiter);
    if (waiter == NULL)
        return SLABBY_NO_SYSTEM_MEMORY;
    uint64_t ticket = draw_ticket(listener, waiter);
    slabby_status status = try_at_once(listener, waiter);
    if (status == SLABBY_OUT_OF_MEMORY)
        status = slb_waiters_join(listener->pool, waiter);
    if (status != SLABBY_OK) {
        slb_gate_lock(listener->pool);
        listener->waiting--;
        slb_gate_unlock(listener->pool);
        free(waiter);
        return slb_audited(listener->pool, SLABBY_AUDIT_OPERATION_ALLOCATE_WAIT, 0,
                           slb_refuse(listener->pool, status));
    }
    *out_ticket = ticket;
    return SLABBY_OK;
}

/* The bell rings on while something is left to take, or to learn. */
SLB_PUBLIC slabby_status slabby_wait_take(uint64_t *out_tickets, slabby_ref *out_refs, uint64_t *out_count,
                                          slabby_listener *listener, uint64_t capacity) {
    if (out_tickets == NULL || out_refs == NULL || out_count == NULL || listener == NULL)
        return SLABBY_INVALID_ARGUMENT;
    uint64_t count = 0;
    slb_gate_lock(listener->pool);
    while (count < capacity && listener->granted != NULL) {
        struct slb_waiter *waiter = listener->granted;
        forget_granted(listener, waiter);
        out_tickets[count] = waiter->ticket;
        out_refs[count++] = waiter->id;
        free(waiter);
    }
    if (listener->granted == NULL && !listener->closed)
        slb_os_notifier_clear(listener->notifier);
    bool over = listener->closed && listener->granted == NULL && count == 0;
    slb_gate_unlock(listener->pool);
    for (uint64_t i = 0; i < count; i++)
        out_refs[i] = issue_granted(listener->pool, (uint32_t)out_refs[i]);
    *out_count = count;
    return over ? SLABBY_CLOSED : SLABBY_OK;
}

/* The waiter of a ticket: in the pool's queue or among the granted. Needs the lock. */
static struct slb_waiter *find_ticket(struct slabby_listener *listener, uint64_t ticket) {
    struct slb_waiter *lists[] = {listener->pool->first_waiter, listener->granted};
    for (size_t i = 0; i < 2; i++)
        for (struct slb_waiter *waiter = lists[i]; waiter != NULL; waiter = waiter->next)
            if (waiter->listener == listener && waiter->ticket == ticket)
                return waiter;
    return NULL;
}

SLB_PUBLIC slabby_status slabby_wait_cancel(slabby_ref *out_ref, slabby_listener *listener, uint64_t ticket) {
    if (out_ref == NULL || listener == NULL)
        return SLABBY_INVALID_ARGUMENT;
    slb_gate_lock(listener->pool);
    struct slb_waiter *waiter = find_ticket(listener, ticket);
    bool granted = waiter != NULL && !slb_waiters_leave(listener->pool, waiter);
    if (granted)
        forget_granted(listener, waiter);
    else if (waiter != NULL)
        listener->waiting--;
    slb_gate_unlock(listener->pool);
    *out_ref = granted ? issue_granted(listener->pool, waiter->id) : 0;
    free(waiter);
    return SLABBY_OK;
}

/* A ticket that is still out, or 0. */
static uint64_t any_ticket(struct slabby_listener *listener) {
    uint64_t ticket = 0;
    slb_gate_lock(listener->pool);
    struct slb_waiter *waiter = listener->pool->first_waiter;
    while (waiter != NULL && waiter->listener != listener)
        waiter = waiter->next;
    if (waiter == NULL)
        waiter = listener->granted;
    if (waiter != NULL)
        ticket = waiter->ticket;
    slb_gate_unlock(listener->pool);
    return ticket;
}

SLB_PUBLIC slabby_status slabby_listener_destroy(slabby_listener *listener) {
    if (listener == NULL)
        return SLABBY_OK;
    for (uint64_t ticket = any_ticket(listener); ticket != 0; ticket = any_ticket(listener)) {
        slabby_ref ref;
        (void)slabby_wait_cancel(&ref, listener, ticket);
        if (ref != 0)
            (void)slabby_release(listener->pool, ref);
    }
    slb_gate_lock(listener->pool);
    *(listener->previous == NULL ? &listener->pool->listeners : &listener->previous->next) = listener->next;
    if (listener->next != NULL)
        listener->next->previous = listener->previous;
    slb_gate_unlock(listener->pool);
    slb_os_notifier_destroy(listener->notifier);
    (void)slb_pool_abandon(listener->pool);
    free(listener);
    return SLABBY_OK;
}
