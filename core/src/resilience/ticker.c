/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "resilience/ticker.h"

#include "observe/events.h"
#include "os/mutex.h"
#include "os/os.h"
#include "resilience/conditions.h"
#include "resilience/fork.h"
#include "resilience/grants.h"
#include "status.h"
#include "tiers/hold.h"

/* Held to start the thread and by the thread to end, never while it ticks. */
static slb_os_mutex ticker_mutex = SLB_OS_MUTEX_INIT;
static bool ticker_runs;               /* under the mutex */
static _Atomic uint32_t ticker_turn;   /* raised to wake the thread */
static _Atomic uint32_t ticking_pools; /* how many have ticks switched on */
static _Atomic uint64_t ticking_entry; /* the tag of the pool that is being ticked; 0: none */
#define SHORTEST_REVOCATION_NS 1000000u
static SLB_THREAD_LOCAL bool inside_ticker;

/* ----------------------------------------------------------------------------------------------- the thread */

static void start_ticks(struct slabby_allocator *pool, uint32_t what) {
    if (atomic_fetch_or(&pool->ticking.on, what) == 0)
        atomic_fetch_add(&ticking_pools, 1);
}

static void stop_ticks(struct slabby_allocator *pool, uint32_t what) {
    uint32_t before = atomic_fetch_and(&pool->ticking.on, ~what);
    if (before != 0 && (before & ~what) == 0)
        atomic_fetch_sub(&ticking_pools, 1);
}

/* seq_cst: a close sets its reason before it looks for a tick under way, and a tick is announced before it looks for
 * that reason. */
static bool is_closed(struct slabby_allocator *pool) {
    return (atomic_load_explicit(&pool->gate.reasons, memory_order_seq_cst) & SLB_GATE_CLOSED) != 0;
}

#define EVERY_TICK ((uint32_t)(SLB_TICK_HEALTH | SLB_TICK_REVOCATIONS))

static void tick(struct slabby_allocator *pool, uint32_t what) {
    SLB_HOLD(pool);
    if (!slb_pool_exists(pool))
        return;
    slb_fork_check(pool);
    if (what & SLB_TICK_REVOCATIONS)
        (void)slb_grants_revoke(pool);
    if (what & SLB_TICK_HEALTH)
        slb_conditions_tick(pool);
}

/* Whether a tick is due; then the next one is set, unless another thread has set it meanwhile. seq_cst: pairs with
 * tick_by. */
static bool is_due(_Atomic uint64_t *next_ns, _Atomic uint64_t *interval_ns, uint64_t now) {
    uint64_t next = atomic_load(next_ns);
    if (now < next)
        return false;
    (void)atomic_compare_exchange_strong(next_ns, &next, now + atomic_load(interval_ns));
    return true;
}

/* Moves the next tick to an earlier time, never to a later one: a caller that sets an interval again and again would
 * put it off for good. seq_cst: behind the store of the interval, so that is_due reads that or this finds its tick. */
static void tick_by(_Atomic uint64_t *next_ns, uint64_t latest) {
    uint64_t next = atomic_load(next_ns);
    while (latest < next && !atomic_compare_exchange_weak(next_ns, &next, latest))
        ;
}

/* When the next tick is due. relaxed: a thread that sets an earlier one wakes this thread afterwards. */
static uint64_t next_tick(struct slb_ticking *ticking, uint32_t on) {
    uint64_t health = atomic_load_explicit(&ticking->next_ns, memory_order_relaxed);
    uint64_t revoke = atomic_load_explicit(&ticking->revoke_next_ns, memory_order_relaxed);
    if ((on & SLB_TICK_HEALTH) == 0)
        return revoke;
    return (on & SLB_TICK_REVOCATIONS) != 0 && revoke < health ? revoke : health;
}

static void tick_if_due(struct slabby_allocator *pool, uint32_t on, uint64_t now) {
    struct slb_ticking *ticking = &pool->ticking;
    uint32_t due = 0;
    if ((on & SLB_TICK_HEALTH) != 0 && is_due(&ticking->next_ns, &ticking->interval_ns, now))
        due |= SLB_TICK_HEALTH;
    if ((on & SLB_TICK_REVOCATIONS) != 0 &&
        is_due(&ticking->revoke_next_ns, &ticking->revoke_interval_ns, now))
        due |= SLB_TICK_REVOCATIONS;
    if (due == 0)
        return;
    atomic_store_explicit(&ticking_entry, slb_pool_tag(pool), memory_order_seq_cst);
    bool exists = atomic_load_explicit(&pool->phase, memory_order_seq_cst) != SLB_PHASE_NONE;
    /* ended without close, in a child that could not lock its memory; or closed, see run_ticks */
    if (!exists || is_closed(pool))
        stop_ticks(pool, EVERY_TICK);
    else
        tick(pool, due & atomic_load_explicit(&ticking->on, memory_order_seq_cst));
    atomic_store_explicit(&ticking_entry, 0, memory_order_seq_cst);
}

/* Ticks what is due and answers when the next one is. */
static uint64_t tick_round(void) {
    uint64_t now = slb_os_now_ns(), earliest = UINT64_MAX;
    uint32_t left = atomic_load(&ticking_pools);
    for (uint32_t entry = 1; entry < SLB_POOL_ENTRIES && left > 0; entry++) {
        struct slabby_allocator *pool = &slb_pool_table[entry].pool;
        uint32_t on = atomic_load_explicit(&pool->ticking.on, memory_order_relaxed);
        if (on == 0)
            continue;
        tick_if_due(pool, on, now);
        uint64_t next = next_tick(&pool->ticking, on);
        earliest = next < earliest ? next : earliest;
        left--;
    }
    return earliest;
}

static bool ticker_ends(void) {
    slb_os_mutex_lock(&ticker_mutex);
    bool ends = atomic_load(&ticking_pools) == 0;
    if (ends)
        ticker_runs = false;
    slb_os_mutex_unlock(&ticker_mutex);
    return ends;
}

/* The turn is read before the round, so that this thread does not sleep through a change that comes during the
 * round. */
static void *ticker_body(void *unused) {
    (void)unused;
    inside_ticker = true;
    slb_os_name_thread("slabby-health");
    while (!ticker_ends()) {
        uint32_t turn = atomic_load(&ticker_turn);
        uint64_t next = tick_round();
        if (next != UINT64_MAX)
            (void)slb_os_sleep_on(&ticker_turn, turn, next);
    }
    return NULL;
}

static void wake_ticker(void) {
    atomic_fetch_add(&ticker_turn, 1);
    slb_os_wake_one(&ticker_turn);
}

/* Needs the mutex. */
static bool ticker_is_running(void) {
    if (!ticker_runs)
        ticker_runs = slb_os_start_thread(ticker_body);
    return ticker_runs;
}

/* ------------------------------------------------------------------------------------------------ switching */

/* No tick of this kind is under way when this returns, unless the caller is the logger of one. */
static void stop_and_wait(struct slabby_allocator *pool, uint32_t what) {
    if ((atomic_load(&pool->ticking.on) & what) != 0) {
        stop_ticks(pool, what);
        wake_ticker();
    }
    for (uint32_t attempt = 0; slb_ticker_is_at(pool) && !inside_ticker; attempt++)
        slb_os_wait_a_little(attempt);
}

SLB_PRIVATE void slb_ticker_forget(struct slabby_allocator *pool) {
    stop_and_wait(pool, EVERY_TICK);
}

/* Starts the thread where it does not run. NoSystemMemory where the system refuses it. Closed: a close sets its reason
 * first and stops the ticks next, so one of the two stops them. Needs the mutex. */
static slabby_status run_ticks(struct slabby_allocator *pool, uint32_t what) {
    if (is_closed(pool))
        return SLABBY_CLOSED;
    if (!ticker_is_running())
        return SLABBY_NO_SYSTEM_MEMORY;
    SLB_POINT(SLB_POINT_TICKS);
    start_ticks(pool, what);
    bool closed = is_closed(pool);
    if (closed)
        stop_ticks(pool, what);
    wake_ticker();
    return closed ? SLABBY_CLOSED : SLABBY_OK;
}

SLB_PRIVATE slabby_status slb_ticker_switch(struct slabby_allocator *pool, bool on, slabby_error *error) {
    if (!on) {
        stop_and_wait(pool, SLB_TICK_HEALTH);
        return SLABBY_OK;
    }
    slb_ticker_pace(pool, atomic_load(&pool->ticking.interval_ns));
    slb_os_mutex_lock(&ticker_mutex);
    slabby_status status = run_ticks(pool, SLB_TICK_HEALTH);
    slb_os_mutex_unlock(&ticker_mutex);
    if (status == SLABBY_CLOSED)
        return slb_error_set(error, status, SLABBY_OPTION_HEALTH_CHECKS, 1, 0, 1,
                             "option health_checks: the pool is closed, and its health is of no concern");
    if (status != SLABBY_OK)
        return slb_error_set(
            error, status, SLABBY_OPTION_HEALTH_CHECKS, 1, 0, 1,
            "option health_checks: the system refused a thread; raise the limit of threads, or "
            "leave it off and call slabby_health_tick");
    return SLABBY_OK;
}

/* Half the time that a grant may wait: it is taken back at most half of it late. */
SLB_PRIVATE void slb_ticker_set_revocations(struct slabby_allocator *pool, uint64_t timeout_ns) {
    uint64_t interval = timeout_ns / 2 < SHORTEST_REVOCATION_NS ? SHORTEST_REVOCATION_NS : timeout_ns / 2;
    uint64_t next = slb_os_now_ns() + interval;
    bool limited = atomic_exchange(&pool->ticking.revoke_interval_ns, timeout_ns == 0 ? 0 : interval) != 0;
    if (!limited)
        atomic_store(&pool->ticking.revoke_next_ns, next);
    else if (timeout_ns != 0)
        tick_by(&pool->ticking.revoke_next_ns, next);
}

/* Each caller sets the interval first and comes here second. It is read under the mutex, so that the last one here acts
 * on the final value, and none on an earlier one after that. */
SLB_PRIVATE slabby_status slb_ticker_run_revocations(struct slabby_allocator *pool) {
    slabby_status status = SLABBY_OK;
    SLB_POINT(SLB_POINT_TIMEOUT_SET);
    slb_os_mutex_lock(&ticker_mutex);
    if (atomic_load(&pool->ticking.revoke_interval_ns) != 0)
        status = run_ticks(pool, SLB_TICK_REVOCATIONS);
    else
        stop_ticks(pool, SLB_TICK_REVOCATIONS);
    slb_os_mutex_unlock(&ticker_mutex);
    return status;
}

SLB_PRIVATE void slb_ticker_pace(struct slabby_allocator *pool, uint64_t interval_ns) {
    uint64_t next = slb_os_now_ns() + interval_ns;
    bool on = (atomic_load(&pool->ticking.on) & SLB_TICK_HEALTH) != 0;
    atomic_store(&pool->ticking.interval_ns, interval_ns);
    if (!on)
        atomic_store(&pool->ticking.next_ns, next);
    else
        tick_by(&pool->ticking.next_ns, next);
    if (on)
        wake_ticker();
}

SLB_PRIVATE bool slb_ticker_is_at(const struct slabby_allocator *pool) {
    return atomic_load_explicit(&ticking_entry, memory_order_seq_cst) == slb_pool_tag(pool);
}

/* ---------------------------------------------------------------------------------------------------- fork */

SLB_PRIVATE void slb_ticker_before_fork(void) {
    slb_os_mutex_lock(&ticker_mutex);
}

SLB_PRIVATE void slb_ticker_after_fork(bool child) {
    if (child) {
        ticker_runs = false;
        inside_ticker = false;
        atomic_store(&ticking_entry, 0);
    }
    slb_os_mutex_unlock(&ticker_mutex);
}

SLB_PRIVATE void slb_ticker_revive(struct slabby_allocator *pool) {
    if (atomic_load(&pool->ticking.on) == 0)
        return;
    slb_os_mutex_lock(&ticker_mutex);
    bool running = ticker_is_running();
    slb_os_mutex_unlock(&ticker_mutex);
    if (running)
        return;
    stop_ticks(pool, EVERY_TICK);
    slb_event(pool, SLABBY_EVENT_LEVEL_ERROR, SLABBY_EVENT_CODE_HEALTH_THREAD, 0, 0,
              "after fork the system refused a thread: the health of pool \"%s\" is not looked at any more",
              slb_shown_name(pool).text);
}
