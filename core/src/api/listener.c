/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Waiting without a thread: a listener is a descriptor for an event loop and the tickets that were drawn through it. */
#include "api/allocate.h"
#include "api/call.h"
#include "api/issue.h"
#include "observe/audit.h"
#include "observe/counters.h"
#include "observe/events.h"
#include "os/os.h"
#include "pool/lifecycle.h"
#include "resilience/breaker.h"
#include "resilience/degrade.h"
#include "resilience/fork.h"
#include "resilience/grants.h"
#include "resilience/listeners.h"
#include "resilience/ticker.h"
#include "status.h"
#include "tiers/gate.h"
#include "tiers/hold.h"
#include "tiers/in_flight.h"

#include <errno.h>
#include <stdlib.h>

/* ------------------------------------------------------------------------------------------------ begin and end */

static slabby_status refuse_notifier(slabby_error *error, int number) {
    const char *name = number == EMFILE   ? "EMFILE: this process has as many open files as it may"
                       : number == ENFILE ? "ENFILE: the system has as many open files as it may"
                                          : "no descriptor";
    return slb_error_set(
        error, SLABBY_NO_SYSTEM_MEMORY, 0, number, 0, 0,
        "the system refused a descriptor for the listener (errno %d, %s); close some, or raise the "
        "limit (RLIMIT_NOFILE)",
        number, name);
}

SLB_PUBLIC slabby_status slabby_listener_create(slabby_listener **out_listener, int32_t *out_fd,
                                                slabby_allocator *allocator, slabby_error *out_error) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL || out_listener == NULL)
        return slb_error_set(out_error, SLABBY_INVALID_ARGUMENT, 0, 0, 0, 0, "%s",
                             pool == NULL ? "the handle is none of a pool"
                                          : "the place for the listener is null");
    /* where it gives up the last share, the entry gets no other pool before it has returned */
    SLB_HOLD(pool);
    slabby_status status = slb_pool_retain(pool);
    if (status != SLABBY_OK)
        return slb_error_set(out_error, status, 0, 0, 0, 0, "no open pool has this handle");
    (void)slb_audited(pool, SLABBY_AUDIT_OPERATION_RETAIN, 0, status); /* its end is an abandon */
    int notifier = out_fd == NULL ? -1 : slb_os_notifier_create();
    struct slabby_listener *listener = calloc(1, sizeof *listener);
    if (out_fd != NULL && notifier < 0) {
        free(listener);
        (void)slb_pool_abandon(pool);
        return refuse_notifier(out_error, -notifier);
    }
    if (listener == NULL) {
        if (notifier >= 0)
            slb_os_notifier_destroy(notifier);
        (void)slb_pool_abandon(pool);
        return slb_error_set(out_error, SLABBY_NO_SYSTEM_MEMORY, 0, 0, 0, 0,
                             "the system refused memory for the listener; free some and try again");
    }
    listener->pool = pool;
    listener->notifier = notifier;
    slb_listener_link(listener);
    *out_listener = listener;
    if (out_fd != NULL)
        *out_fd = notifier;
    return SLABBY_OK;
}

/* Ends the tickets of some slots, from *slot on, and answers how many of them had been granted. Needs the lock. */
static uint32_t end_some(struct slabby_listener *listener, uint32_t *slot, uint32_t *ids) {
    uint32_t count = 0;
    for (uint32_t checks = 0; *slot < listener->tickets.drawn && checks < SLB_WAITERS_AT_ONCE; checks++) {
        struct slb_waiter *waiter = slb_tickets_slot(&listener->tickets, (*slot)++);
        SLB_WAITER_STEP();
        (void)slb_waiters_leave(listener->pool, waiter);
        /* relaxed: under the lock */
        uint32_t state = atomic_exchange_explicit(&waiter->state, SLB_WAITER_UNUSED, memory_order_relaxed);
        slb_probe_return(listener->pool, waiter->probe);
        waiter->probe = 0;
        if (state != SLB_WAITER_GRANTED)
            continue;
        slb_listener_unlink(&listener->granted, waiter);
        ids[count++] = waiter->id;
    }
    return count;
}

/* A slab that goes back while later tickets still wait may be granted to one of them, and then goes back again. This
 * ends, because each slot is visited once, and no new ticket is drawn. */
static void end_tickets(struct slabby_listener *listener) {
    uint32_t ids[SLB_WAITERS_AT_ONCE];
    for (uint32_t slot = 0, drawn = UINT32_MAX; slot < drawn;) {
        slb_gate_lock(listener->pool);
        drawn = listener->tickets.drawn;
        uint32_t count = end_some(listener, &slot, ids);
        slb_gate_unlock(listener->pool);
        slb_grants_return(listener->pool, ids, count);
    }
}

/* Answers the previous timeout. */
static uint64_t change_timeout(struct slabby_listener *listener, uint64_t timeout_ns) {
    slb_gate_lock(listener->pool);
    uint64_t before = listener->timeout_ns;
    listener->timeout_ns = timeout_ns;
    slb_listeners_note_timeouts(listener->pool);
    slb_gate_unlock(listener->pool);
    return before;
}

SLB_PUBLIC slabby_status slabby_listener_set_timeout(slabby_listener *listener, uint64_t timeout_ns) {
    if (listener == NULL)
        return SLABBY_INVALID_ARGUMENT;
    slb_fork_check(listener->pool);
    uint64_t before = change_timeout(listener, timeout_ns);
    slabby_status status = slb_ticker_run_revocations(listener->pool);
    if (status == SLABBY_OK)
        return status;
    (void)change_timeout(listener, before);
    (void)slb_ticker_run_revocations(listener->pool);
    return slb_refuse(listener->pool, status);
}

SLB_PUBLIC slabby_status slabby_listener_destroy(slabby_listener *listener) {
    if (listener == NULL)
        return SLABBY_OK;
    struct slabby_allocator *pool = listener->pool;
    SLB_HOLD(pool); /* as above */
    slb_fork_check(pool);
    end_tickets(listener);
    slb_listener_unlink_from_pool(listener);
    (void)slb_ticker_run_revocations(pool);
    if (listener->notifier >= 0)
        slb_os_notifier_destroy(listener->notifier);
    (void)slb_pool_abandon(pool);
    slb_tickets_free(&listener->tickets);
    free(listener);
    return SLABBY_OK;
}

/* ------------------------------------------------------------------------------------------------------ tickets */

static struct slb_waiter *draw_once(struct slabby_listener *listener, uint32_t *out_next_chunk) {
    slb_gate_lock(listener->pool);
    struct slb_waiter *waiter = slb_tickets_draw(&listener->tickets);
    *out_next_chunk = slb_tickets_next_chunk(&listener->tickets);
    slb_gate_unlock(listener->pool);
    return waiter;
}

/* A chunk is allocated outside the lock; it may be unnecessary by then. NULL where there is no memory. */
static struct slb_waiter *draw_ticket(struct slabby_listener *listener) {
    uint32_t slots;
    struct slb_waiter *waiter = draw_once(listener, &slots);
    while (waiter == NULL) {
        struct slb_waiter *chunk = slots == 0 ? NULL : calloc(slots, sizeof *chunk);
        if (chunk == NULL)
            return NULL;
        slb_gate_lock(listener->pool);
        bool used = slb_tickets_grow(&listener->tickets, chunk, slots);
        slb_gate_unlock(listener->pool);
        if (!used)
            free(chunk);
        waiter = draw_once(listener, &slots);
    }
    return waiter;
}

/* The first try, as slabby_allocate_timeout makes it: by the breaker, the tiers, the heap. OutOfMemory: not yet. */
static slabby_status try_at_once(struct slabby_listener *listener, struct slb_waiter *waiter) {
    struct slb_found found = {.tier = SLB_TIER_CACHE};
    slabby_status status = slb_search(listener->pool, &waiter->id, false, &found);
    waiter->probe = found.probe;
    if (status != SLABBY_OK)
        return status;
    slb_gate_lock(listener->pool);
    atomic_store_explicit(&waiter->state, SLB_WAITER_GRANTED, memory_order_relaxed); /* under the lock */
    slb_listener_grant(waiter);
    slb_gate_unlock(listener->pool);
    slb_search_notify(listener->pool, &found, SLABBY_OK);
    return SLABBY_OK;
}

/* Whether others wait already, and nothing but a slab that comes back can serve this ticket: no heap, and no breaker,
 * option or operation that answers otherwise. Then a search would find nothing: what is free is granted in turn.
 * relaxed: slb_waiters_join serves the queue under the lock in any case. */
static bool others_wait(struct slabby_allocator *pool) {
    uint32_t gate = atomic_load_explicit(&pool->gate.reasons, memory_order_relaxed);
    return (gate & SLB_GATE_WAITERS) != 0 && (gate & ~(uint32_t)(SLB_GATE_WAITERS | SLB_GATE_SCARCE)) == 0 &&
           atomic_load_explicit(&pool->heap.enabled, memory_order_relaxed) == 0 &&
           atomic_load_explicit(&pool->grant_timeouts, memory_order_relaxed) == 0 &&
           atomic_load_explicit(&pool->timing.limit_ticks, memory_order_relaxed) == 0 &&
           !slb_degrade_is_on(pool);
}

/* Where the capacity has grown, others may have been granted more than were in use before. relaxed: a hint; the next
 * caller checks too. */
static bool peak_may_rise(struct slabby_allocator *pool) {
    return atomic_load_explicit(&pool->counts.peak_used, memory_order_relaxed) < slb_capacity(pool) ||
           slb_peak_is_due(pool, slb_stripe_here(pool));
}

static slabby_status join_others(struct slabby_allocator *pool, struct slb_waiter *waiter) {
    SLB_HOLD(pool);
    slb_event_exhausted(pool, true);
    waiter->probe = 0;
    slabby_status status = slb_waiters_join(pool, waiter);
    if (status == SLABBY_OK && peak_may_rise(pool))
        slb_note_peak(pool);
    return status;
}

SLB_PUBLIC slabby_status slabby_wait_begin(uint64_t *out_ticket, slabby_listener *listener,
                                           uint64_t user_data) {
    if (out_ticket == NULL || listener == NULL)
        return SLABBY_INVALID_ARGUMENT;
    slb_fork_check(listener->pool);
    struct slb_waiter *waiter = draw_ticket(listener);
    if (waiter == NULL)
        return SLABBY_NO_SYSTEM_MEMORY;
    waiter->listener = listener;
    waiter->user_data = user_data;
    uint64_t ticket = waiter->ticket; /* once it waits, another thread may take it and draw the next */
    slabby_status status = SLABBY_OK;
    if (others_wait(listener->pool)) {
        status = join_others(listener->pool, waiter);
    } else {
        status = try_at_once(listener, waiter);
        if (status == SLABBY_OUT_OF_MEMORY)
            status = slb_waiters_join(listener->pool, waiter);
    }
    if (status != SLABBY_OK) {
        slb_gate_lock(listener->pool);
        slb_tickets_end(&listener->tickets, waiter);
        slb_gate_unlock(listener->pool);
        return slb_allocation_failed(listener->pool, SLABBY_AUDIT_OPERATION_ALLOCATE_WAIT, status);
    }
    *out_ticket = ticket;
    return SLABBY_OK;
}

/* The slab leaves the free state under the caller's name. Only the caller owns it at this point, see grants.h. */
static slabby_ref issue_granted(struct slabby_allocator *pool, uint32_t id) {
    uint64_t word =
        slb_issue_protected(pool, id, SLABBY_SLAB_STATE_LIVE, SLABBY_AUDIT_OPERATION_ALLOCATE_WAIT);
    slb_breaker_served(pool);
    return slb_ref_make(pool, slb_word_generation(pool->id_bits, word), id);
}

/* The data of a grant that a thread copies under the lock and uses after it. */
struct taken {
    uint64_t ticket, user_data;
    uint32_t id;
    bool granted; /* false: the grant was revoked */
};

/* Unlinks the waiter and ends its ticket; false if neither list has the waiter. Needs the lock. */
static bool take_waiter(struct slabby_listener *listener, struct slb_waiter *waiter, struct taken *out) {
    uint32_t state = atomic_load_explicit(&waiter->state, memory_order_relaxed); /* under the lock */
    *out = (struct taken){waiter->ticket, waiter->user_data, waiter->id, state == SLB_WAITER_GRANTED};
    if (state != SLB_WAITER_GRANTED && state != SLB_WAITER_REVOKED)
        return false;
    slb_listener_unlink(out->granted ? &listener->granted : &listener->revoked, waiter);
    slb_tickets_end(&listener->tickets, waiter);
    return true;
}

static uint32_t take_some(struct slabby_listener *listener, struct taken *taken, uint32_t space) {
    uint32_t count = 0;
    slb_gate_lock(listener->pool);
    for (; count < space && (listener->granted.first != NULL || listener->revoked.first != NULL); count++)
        (void)take_waiter(listener,
                          listener->revoked.first != NULL ? listener->revoked.first : listener->granted.first,
                          &taken[count]);
    slb_listener_clear(listener);
    slb_gate_unlock(listener->pool);
    return count;
}

static bool listener_is_over(struct slabby_listener *listener) {
    slb_gate_lock(listener->pool);
    bool over = listener->closed && listener->granted.first == NULL && listener->revoked.first == NULL;
    slb_gate_unlock(listener->pool);
    return over;
}

SLB_PUBLIC slabby_status slabby_wait_take(uint64_t *out_tickets, slabby_ref *out_refs,
                                          uint64_t *out_user_data, uint64_t *out_count,
                                          slabby_listener *listener, uint64_t capacity) {
    struct taken taken[SLB_WAITERS_AT_ONCE];
    uint32_t space, some;
    if (out_tickets == NULL || out_refs == NULL || out_count == NULL || listener == NULL)
        return SLABBY_INVALID_ARGUMENT;
    slb_fork_check(listener->pool);
    uint64_t count = 0;
    do {
        space = capacity - count < SLB_WAITERS_AT_ONCE ? (uint32_t)(capacity - count) : SLB_WAITERS_AT_ONCE;
        some = take_some(listener, taken, space);
        for (uint32_t i = 0; i < some; i++, count++) {
            out_tickets[count] = taken[i].ticket;
            if (out_user_data != NULL)
                out_user_data[count] = taken[i].user_data;
            out_refs[count] = taken[i].granted ? issue_granted(listener->pool, taken[i].id) : 0;
        }
    } while (some == SLB_WAITERS_AT_ONCE);
    *out_count = count;
    return count == 0 && listener_is_over(listener) ? SLABBY_CLOSED : SLABBY_OK;
}

/* Ends a ticket: OK with what it had been granted; otherwise 0, and why no slab comes any more. */
static slabby_status leave_ticket(struct slabby_listener *listener, uint64_t ticket, slabby_ref *out_ref) {
    struct taken taken = {.granted = false};
    slb_fork_check(listener->pool);
    slb_gate_lock(listener->pool);
    bool issued = slb_tickets_issued(&listener->tickets, ticket);
    struct slb_waiter *waiter = slb_tickets_find(&listener->tickets, ticket);
    if (waiter != NULL && slb_waiters_leave(listener->pool, waiter))
        slb_tickets_end(&listener->tickets, waiter);
    else if (waiter != NULL && take_waiter(listener, waiter, &taken))
        slb_listener_clear(listener);
    bool closed = listener->closed;
    slb_gate_unlock(listener->pool);
    if (!issued)
        return SLABBY_INVALID_ARGUMENT;
    *out_ref = taken.granted ? issue_granted(listener->pool, taken.id) : 0;
    return taken.granted ? SLABBY_OK : closed ? SLABBY_CLOSED : SLABBY_TIMEOUT;
}

SLB_PUBLIC slabby_status slabby_wait_cancel(slabby_ref *out_ref, slabby_listener *listener, uint64_t ticket) {
    if (out_ref == NULL || listener == NULL)
        return SLABBY_INVALID_ARGUMENT;
    if (leave_ticket(listener, ticket, out_ref) == SLABBY_INVALID_ARGUMENT)
        return slb_refuse(listener->pool, SLABBY_INVALID_ARGUMENT);
    return SLABBY_OK;
}

SLB_PUBLIC slabby_status slabby_wait_expire(slabby_ref *out_ref, slabby_listener *listener, uint64_t ticket) {
    if (out_ref == NULL || listener == NULL)
        return SLABBY_INVALID_ARGUMENT;
    slabby_ref ref = 0;
    slabby_status status = leave_ticket(listener, ticket, &ref);
    if (status == SLABBY_INVALID_ARGUMENT)
        return slb_refuse(listener->pool, status);
    if (status == SLABBY_OK)
        *out_ref = ref;
    return slb_concluded(listener->pool, SLABBY_AUDIT_OPERATION_ALLOCATE_WAIT, 0, status);
}

/* ------------------------------------------------------------------------------------------------- in a thread */

/* A thread that sleeps first counts itself and then checks; a thread that signals first raises `signals` and then
 * checks for sleepers (all seq_cst). So at least one of the two sees the other. The sleeper's check is under the lock,
 * and so is everything that it reads. */
static bool sleep_until_ready(struct slabby_listener *listener, uint64_t deadline_ns) {
    atomic_fetch_add_explicit(&listener->sleepers, 1, memory_order_seq_cst);
    bool ready = false;
    for (bool in_time = true; in_time && !ready;) {
        slb_gate_lock(listener->pool);
        ready = slb_listener_is_ready(listener);
        uint32_t signals = atomic_load_explicit(&listener->signals, memory_order_seq_cst);
        slb_gate_unlock(listener->pool);
        if (!ready)
            in_time = slb_os_sleep_on(&listener->signals, signals, deadline_ns);
    }
    atomic_fetch_sub_explicit(&listener->sleepers, 1, memory_order_seq_cst);
    return ready;
}

SLB_PUBLIC slabby_status slabby_listener_wait(slabby_listener *listener, uint64_t timeout_ns) {
    if (listener == NULL)
        return SLABBY_INVALID_ARGUMENT;
    slb_fork_check(listener->pool);
    uint64_t now = slb_os_now_ns();
    uint64_t deadline_ns = timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns;
    return sleep_until_ready(listener, deadline_ns) ? SLABBY_OK : SLABBY_TIMEOUT;
}
