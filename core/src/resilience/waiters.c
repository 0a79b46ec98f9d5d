/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "resilience/waiters.h"

#include "os/os.h"
#include "protect/free_ids.h"
#include "resilience/breaker.h"
#include "resilience/fork.h"
#include "tiers/gate.h"
#include "tiers/heap.h"
#include "tiers/in_flight.h"

static void unlink_waiter(struct slabby_allocator *pool, struct slb_waiter *waiter) {
    SLB_WAITER_STEP();
    *(waiter->previous == NULL ? &pool->first_waiter : &waiter->previous->next) = waiter->next;
    *(waiter->next == NULL ? &pool->last_waiter : &waiter->next->previous) = waiter->previous;
    waiter->next = waiter->previous = NULL;
    atomic_fetch_sub_explicit(&pool->waiters, 1, memory_order_relaxed);
}

/* The state is stored last (release, pairs with the acquire loads of slb_wait and the listener): a thread that sees the
 * state may take the slab and end, and then its waiter is gone. So the word is woken by its address alone. */
static void finish_waiter(struct slb_waiter *waiter, uint32_t state) {
    bool asleep = waiter->listener == NULL;
    _Atomic uint32_t *word = &waiter->state;
    atomic_store_explicit(word, state, memory_order_release);
    if (asleep)
        slb_os_wake_one(word);
    else
        slb_listener_note(waiter);
}

/* More work is left than one holder of the lock may do. seq_cst: the thread that unlocks checks for this after the
 * unlock. */
static void leave_the_rest(struct slabby_allocator *pool) {
    atomic_store_explicit(&pool->gate.deferred_pending, 1, memory_order_seq_cst);
}

/* With the gate closed for waiters no CPU cache holds a slab, so the pool is empty where its tiers are, and the heap
 * serves, as it serves an allocation that need not wait. While the pool shrinks, what comes back into its tiers is
 * withdrawn. Under the lock that takes one call of malloc, no more. */
static bool take_for_waiter(struct slabby_allocator *pool, struct slb_stripe *stripe, uint32_t *out_id) {
    enum slb_tier tier;
    /* relaxed: under the lock */
    bool shrinks =
        (atomic_load_explicit(&pool->gate.reasons, memory_order_relaxed) & SLB_GATE_SHRINKING) != 0;
    bool own = !shrinks && slb_take_free(pool, stripe, out_id, &tier);
    if (!own && slb_heap_take(pool, out_id) != SLABBY_OK)
        return false;
    slb_count(&stripe->hits[own ? SLB_TIER_GATE : SLB_TIER_HEAP], 1);
    return true;
}

SLB_PRIVATE void slb_waiters_serve(struct slabby_allocator *pool) {
    struct slb_stripe *stripe = slb_stripe_here(pool);
    uint32_t id, served = 0;
    while (pool->first_waiter != NULL && served < SLB_WAITERS_AT_ONCE && take_for_waiter(pool, stripe, &id)) {
        struct slb_waiter *oldest = pool->first_waiter;
        unlink_waiter(pool, oldest);
        oldest->id = id;
        served++;
        finish_waiter(oldest, SLB_WAITER_GRANTED);
    }
    if (pool->first_waiter == NULL)
        slb_gate_open(pool, SLB_GATE_WAITERS);
    else if (served == SLB_WAITERS_AT_ONCE)
        leave_the_rest(pool);
}

SLB_PRIVATE void slb_waiters_dismiss(struct slabby_allocator *pool) {
    for (uint32_t notified = 0; pool->first_waiter != NULL && notified < SLB_WAITERS_AT_ONCE; notified++) {
        struct slb_waiter *oldest = pool->first_waiter;
        unlink_waiter(pool, oldest);
        finish_waiter(oldest, SLB_WAITER_CLOSED);
    }
    if (pool->first_waiter == NULL)
        slb_gate_open(pool, SLB_GATE_WAITERS);
    else
        leave_the_rest(pool);
}

/* Behind slb_waiters_serve, so that only what was asked for since is left: a release that comes later reads that others
 * wait, and asks. */
static void unlock_served(struct slabby_allocator *pool) {
    slb_gate_release_lock(pool);
    if (slb_unlikely(atomic_load_explicit(&pool->gate.deferred_pending, memory_order_seq_cst) != 0))
        slb_pool_run_deferred(pool);
}

SLB_PRIVATE slabby_status slb_waiters_join(struct slabby_allocator *pool, struct slb_waiter *waiter) {
    slb_fork_check(pool);
    slb_gate_lock(pool);
    bool closed = !slb_pool_exists(pool) || (atomic_load(&pool->gate.reasons) & SLB_GATE_CLOSED) != 0;
    if (!closed) {
        slb_gate_close(pool, SLB_GATE_WAITERS);
        atomic_store_explicit(&waiter->state, SLB_WAITER_WAITING, memory_order_relaxed); /* under the lock */
        waiter->previous = pool->last_waiter;
        *(pool->last_waiter == NULL ? &pool->first_waiter : &pool->last_waiter->next) = waiter;
        pool->last_waiter = waiter;
        atomic_fetch_add_explicit(&pool->waiters, 1, memory_order_relaxed);
        slb_waiters_serve(pool);
    }
    unlock_served(pool);
    return closed ? SLABBY_CLOSED : SLABBY_OK;
}

SLB_PRIVATE bool slb_waiters_leave(struct slabby_allocator *pool, struct slb_waiter *waiter) {
    if (atomic_load_explicit(&waiter->state, memory_order_acquire) != SLB_WAITER_WAITING)
        return false;
    unlink_waiter(pool, waiter);
    if (pool->first_waiter == NULL)
        slb_gate_open(pool, SLB_GATE_WAITERS);
    return true;
}

/* Giving up needs the lock, because another thread may be granting a slab at this moment. */
SLB_PRIVATE slabby_status slb_wait(struct slabby_allocator *pool, uint64_t deadline_ns, uint32_t *out_id) {
    struct slb_waiter waiter = {.state = SLB_WAITER_DRAWN};
    slabby_status status = slb_waiters_join(pool, &waiter);
    if (status != SLABBY_OK)
        return status;
    bool in_time = true;
    while (in_time && atomic_load_explicit(&waiter.state, memory_order_acquire) == SLB_WAITER_WAITING)
        in_time = slb_os_sleep_on(&waiter.state, SLB_WAITER_WAITING, deadline_ns);
    if (!in_time) {
        slb_gate_lock(pool);
        bool gave_up = slb_waiters_leave(pool, &waiter);
        slb_gate_unlock(pool);
        if (gave_up)
            return SLABBY_TIMEOUT;
    }
    if (atomic_load_explicit(&waiter.state, memory_order_acquire) == SLB_WAITER_CLOSED)
        return SLABBY_CLOSED;
    *out_id = waiter.id;
    slb_breaker_served(pool);
    return SLABBY_OK;
}
