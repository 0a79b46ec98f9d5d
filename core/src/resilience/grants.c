/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "resilience/grants.h"

#include "os/clock.h"
#include "resilience/fork.h"
#include "resilience/listeners.h"
#include "tiers/gate.h"
#include "tiers/heap.h"
#include "tiers/in_flight.h"
#include "tiers/shards.h"

/* ---------------------------------------------------------------------------------------------- going back */

SLB_PRIVATE void slb_grants_return(struct slabby_allocator *pool, const uint32_t *ids, uint32_t count) {
    if (count == 0)
        return;
    struct slb_stripe *stripe = slb_enter(pool);
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] >= pool->reserved)
            slb_heap_give(pool, ids[i], true);
        else
            slb_shards_push(pool, slb_os_cpu(), ids[i]);
        slb_count(&stripe->releases, 1);
        /* seq_cst: behind the push, as the look below */
        if (ids[i] < pool->reserved && atomic_load_explicit(&pool->gate.reasons, memory_order_seq_cst) != 0)
            slb_gate_note_free(pool, 1);
    }
    slb_leave(stripe);
    /* seq_cst: behind the pushes, see resilience/waiters.h */
    if (atomic_load_explicit(&pool->gate.reasons, memory_order_seq_cst) & SLB_GATE_POLL)
        slb_pool_run_deferred(pool);
}

/* Needs the lock. The list has the oldest first, so the first that is in time ends it. */
static uint32_t revoke_of(struct slabby_listener *listener, uint64_t now, uint32_t *ids, uint32_t space) {
    uint32_t count = 0;
    struct slb_waiter *waiter = listener->granted.first;
    while (count < space && waiter != NULL && now - waiter->granted_ns >= listener->timeout_ns) {
        SLB_WAITER_STEP();
        slb_listener_unlink(&listener->granted, waiter);
        ids[count++] = waiter->id;
        atomic_store_explicit(&waiter->state, SLB_WAITER_REVOKED, memory_order_release);
        slb_listener_append(&listener->revoked, waiter);
        waiter = listener->granted.first;
    }
    return count;
}

/* Needs the lock. */
static uint32_t revoke_some(struct slabby_allocator *pool, uint64_t now, uint32_t *ids) {
    uint32_t count = 0;
    for (struct slabby_listener *listener = pool->listeners; listener != NULL; listener = listener->next)
        if (listener->timeout_ns != 0)
            count += revoke_of(listener, now, ids + count, SLB_WAITERS_AT_ONCE - count);
    return count;
}

SLB_PRIVATE uint64_t slb_grants_revoke(struct slabby_allocator *pool) {
    uint32_t ids[SLB_WAITERS_AT_ONCE], count;
    uint64_t revoked = 0;
    /* relaxed: a timeout that is being set now may count from the next look on */
    if (slb_likely(atomic_load_explicit(&pool->grant_timeouts, memory_order_relaxed) == 0))
        return 0;
    do {
        if (!slb_in_flight())
            slb_gate_lock(pool);
        else if (!slb_gate_try_lock(pool))
            return revoked;
        bool forked =
            (atomic_load_explicit(&pool->gate.reasons, memory_order_relaxed) & SLB_GATE_FORKED) != 0;
        count = forked || !slb_pool_exists(pool) ? 0 : revoke_some(pool, slb_now_ns(), ids);
        slb_gate_unlock(pool);
        slb_grants_return(pool, ids, count);
        revoked += count;
    } while (count == SLB_WAITERS_AT_ONCE);
    return revoked;
}

/* ------------------------------------------------------------------------------------------------ looking */

static struct slb_grant describe(const struct slb_waiter *waiter, uint64_t now) {
    uint64_t age = now > waiter->granted_ns ? now - waiter->granted_ns : 1;
    return (struct slb_grant){.ticket = waiter->ticket, .age_ns = age, .id = waiter->id};
}

SLB_PRIVATE uint64_t slb_grants_visit(struct slabby_allocator *pool, slb_visit_grant *visit, void *context) {
    uint64_t count = 0;
    uint64_t now = slb_now_ns();
    for (struct slabby_listener *listener = pool->listeners; listener != NULL; listener = listener->next) {
        for (struct slb_waiter *waiter = listener->granted.first; waiter != NULL; waiter = waiter->next) {
            struct slb_grant grant = describe(waiter, now);
            count++;
            if (visit != NULL)
                visit(context, &grant);
        }
    }
    return count;
}

/* The listener with the lowest number from `number` on. Needs the lock. */
static struct slabby_listener *listener_from(struct slabby_allocator *pool, uint64_t number) {
    struct slabby_listener *found = NULL;
    for (struct slabby_listener *listener = pool->listeners; listener != NULL && listener->number >= number;
         listener = listener->next)
        found = listener;
    return found;
}

/* A cursor is a listener's number and a slot of its tickets: both outlast the grants that come and go. */
struct position {
    uint64_t number;
    uint32_t slot;
};

/* Looks at a bounded number of slots. True: found, or all were looked at (out->ticket is 0). Needs the lock. */
static bool check_from(struct slabby_allocator *pool, struct position *position, struct slb_grant *out) {
    struct slabby_listener *listener = listener_from(pool, position->number);
    if (listener == NULL)
        return true;
    if (listener->number != position->number)
        *position = (struct position){.number = listener->number};
    for (uint32_t checks = 0; checks < SLB_WAITERS_AT_ONCE; checks++) {
        if (position->slot >= listener->tickets.drawn) {
            *position = (struct position){.number = position->number + 1};
            return false;
        }
        SLB_WAITER_STEP();
        const struct slb_waiter *waiter = slb_tickets_slot(&listener->tickets, position->slot++);
        /* relaxed: under the lock */
        if (atomic_load_explicit(&waiter->state, memory_order_relaxed) == SLB_WAITER_GRANTED) {
            *out = describe(waiter, slb_now_ns());
            return true;
        }
    }
    return false;
}

SLB_PRIVATE bool slb_grants_next(struct slabby_allocator *pool, uint64_t *cursor, struct slb_grant *out) {
    const uint64_t slots = 1ull << SLB_TICKET_SLOT_BITS;
    struct position position = {.number = *cursor / slots, .slot = (uint32_t)(*cursor % slots)};
    bool over = false;
    out->ticket = 0;
    while (!over) {
        slb_gate_lock(pool);
        over = !slb_pool_exists(pool) || check_from(pool, &position, out);
        slb_gate_unlock(pool);
    }
    *cursor = position.number * slots + position.slot;
    return out->ticket != 0;
}
