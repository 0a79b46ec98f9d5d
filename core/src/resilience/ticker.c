/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "resilience/ticker.h"

#include "observe/events.h"
#include "os/os.h"
#include "resilience/conditions.h"
#include "resilience/fork.h"
#include "status.h"

#include <pthread.h>

/* Held to start the thread and by the thread to end, never while it ticks. */
static pthread_mutex_t ticker_mutex = PTHREAD_MUTEX_INITIALIZER;
static bool ticker_runs;               /* under the mutex */
static _Atomic uint32_t ticker_turn;   /* raised to wake the thread */
static _Atomic uint32_t ticking_pools; /* how many want ticks */
static _Atomic uint64_t ticking_entry; /* the tag of the pool that is being ticked; 0: none */
static __thread bool inside_ticker __attribute__((tls_model("initial-exec")));

/* ----------------------------------------------------------------------------------------------- the thread */

static void set_ticking(struct slabby_allocator *pool, uint32_t on) {
    uint32_t before = atomic_exchange(&pool->ticking.on, on);
    if (on > before)
        atomic_fetch_add(&ticking_pools, 1);
    else if (on < before)
        atomic_fetch_sub(&ticking_pools, 1);
}

static void tick(struct slabby_allocator *pool) {
    slb_fork_check(pool);
    slb_conditions_tick(pool);
}

static void tick_if_due(struct slabby_allocator *pool, uint64_t now) {
    struct slb_ticking *ticking = &pool->ticking;
    if (now < atomic_load_explicit(&ticking->next_ns, memory_order_relaxed))
        return;
    atomic_store_explicit(&ticking->next_ns,
                          now + atomic_load_explicit(&ticking->interval_ns, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&ticking_entry, slb_pool_tag(pool), memory_order_seq_cst);
    bool exists = atomic_load_explicit(&pool->phase, memory_order_seq_cst) != SLB_PHASE_NONE;
    if (!exists)
        set_ticking(pool, 0); /* ended without close, in a child that could not lock its memory */
    else if (atomic_load_explicit(&ticking->on, memory_order_seq_cst) != 0)
        tick(pool);
    atomic_store_explicit(&ticking_entry, 0, memory_order_seq_cst);
}

/* Ticks what is due and answers when the next one is. */
static uint64_t tick_round(void) {
    uint64_t now = slb_os_now_ns(), earliest = UINT64_MAX;
    uint32_t left = atomic_load(&ticking_pools);
    for (uint32_t entry = 1; entry < SLB_POOL_ENTRIES && left > 0; entry++) {
        struct slabby_allocator *pool = &slb_pool_table[entry].pool;
        if (atomic_load_explicit(&pool->ticking.on, memory_order_relaxed) == 0)
            continue;
        tick_if_due(pool, now);
        uint64_t next = atomic_load_explicit(&pool->ticking.next_ns, memory_order_relaxed);
        earliest = next < earliest ? next : earliest;
        left--;
    }
    return earliest;
}

static bool ticker_ends(void) {
    pthread_mutex_lock(&ticker_mutex);
    bool ends = atomic_load(&ticking_pools) == 0;
    if (ends)
        ticker_runs = false;
    pthread_mutex_unlock(&ticker_mutex);
    return ends;
}

/* The turn is read before the round, so that a change during it is not slept over. */
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

SLB_PRIVATE void slb_ticker_forget(struct slabby_allocator *pool) {
    if (atomic_load(&pool->ticking.on) != 0) {
        set_ticking(pool, 0);
        wake_ticker();
    }
    for (uint32_t attempt = 0; slb_ticker_is_at(pool) && !inside_ticker; attempt++)
        slb_os_wait_a_little(attempt);
}

SLB_PRIVATE slabby_status slb_ticker_switch(struct slabby_allocator *pool, bool on, slabby_error *error) {
    if (!on) {
        slb_ticker_forget(pool);
        return SLABBY_OK;
    }
    if (atomic_load(&pool->gate.reasons) & SLB_GATE_CLOSED)
        return slb_error_set(error, SLABBY_CLOSED, SLABBY_OPTION_HEALTH_CHECKS, 1, 0, 1,
                             "option health_checks: the pool is closed, and its health is of no concern");
    slb_ticker_pace(pool, atomic_load(&pool->ticking.interval_ns));
    pthread_mutex_lock(&ticker_mutex);
    bool running = ticker_is_running();
    if (running)
        set_ticking(pool, 1);
    pthread_mutex_unlock(&ticker_mutex);
    if (!running)
        return slb_error_set(
            error, SLABBY_NO_SYSTEM_MEMORY, SLABBY_OPTION_HEALTH_CHECKS, 1, 0, 1,
            "option health_checks: the system refused a thread; raise the limit of threads, or "
            "leave it off and call slabby_health_tick");
    wake_ticker();
    return SLABBY_OK;
}

SLB_PRIVATE void slb_ticker_pace(struct slabby_allocator *pool, uint64_t interval_ns) {
    atomic_store(&pool->ticking.interval_ns, interval_ns);
    atomic_store(&pool->ticking.next_ns, slb_os_now_ns() + interval_ns);
    if (atomic_load(&pool->ticking.on) != 0)
        wake_ticker();
}

SLB_PRIVATE bool slb_ticker_is_at(const struct slabby_allocator *pool) {
    return atomic_load_explicit(&ticking_entry, memory_order_seq_cst) == slb_pool_tag(pool);
}

/* ---------------------------------------------------------------------------------------------------- fork */

SLB_PRIVATE void slb_ticker_before_fork(void) {
    pthread_mutex_lock(&ticker_mutex);
}

SLB_PRIVATE void slb_ticker_after_fork(bool child) {
    if (child) {
        ticker_runs = false;
        inside_ticker = false;
        atomic_store(&ticking_entry, 0);
    }
    pthread_mutex_unlock(&ticker_mutex);
}

SLB_PRIVATE void slb_ticker_revive(struct slabby_allocator *pool) {
    if (atomic_load(&pool->ticking.on) == 0)
        return;
    pthread_mutex_lock(&ticker_mutex);
    bool running = ticker_is_running();
    pthread_mutex_unlock(&ticker_mutex);
    if (running)
        return;
    set_ticking(pool, 0);
    slb_event(pool, SLABBY_EVENT_LEVEL_ERROR, SLABBY_EVENT_CODE_HEALTH_THREAD, 0, 0,
              "after fork the system refused a thread: the health of pool \"%s\" is not looked at any more",
              pool->options.name);
}
