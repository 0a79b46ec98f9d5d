/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "resilience/breaker.h"

#include "observe/counters.h"
#include "observe/events.h"
#include "tiers/random.h"
#include "os/clock.h"
#include "os/trace.h"
#include "tiers/gate.h"
#include "tiers/in_flight.h"

#include <inttypes.h>

/* The rate rule: in a window of ten seconds with at least this many calls, and at least twice the threshold. */
#define BREAKER_WINDOW_NS 10000000000ull
#define BREAKER_FEWEST_CALLS 20u

/* The timeout, changed at random by up to a tenth. */
static uint64_t spread(struct slabby_allocator *pool, uint64_t timeout) {
    uint64_t fifth = timeout / 5;
    return timeout - timeout / 10 + (fifth * slb_random_below(pool, 1000)) / 1000;
}

/* ------------------------------------------------------------------------------------------------- changes */

/* Under the gate lock or inside slb_enter: into the ring now, to the logger by slb_events_deliver of the caller. */
static void notify_opened(struct slabby_allocator *pool, uint64_t wait_ns) {
    SLB_TRACE(breaker, pool, SLABBY_BREAKER_STATE_OPEN, wait_ns);
    slb_event(pool, SLABBY_EVENT_LEVEL_WARNING, SLABBY_EVENT_CODE_BREAKER_OPENED, 0, (int64_t)wait_ns,
              "the breaker of pool \"%s\" opened: allocations are refused for %" PRIu64 " us",
              slb_shown_name(pool).text, wait_ns / 1000);
}

static void notify_half_open(struct slabby_allocator *pool, uint64_t probes) {
    SLB_TRACE(breaker, pool, SLABBY_BREAKER_STATE_HALF_OPEN, 0);
    slb_event(pool, SLABBY_EVENT_LEVEL_INFO, SLABBY_EVENT_CODE_BREAKER_HALF_OPEN, 0, (int64_t)probes,
              "the breaker of pool \"%s\" is half open and admits %" PRIu64 " allocations",
              slb_shown_name(pool).text, probes);
}

static void notify_closed(struct slabby_allocator *pool) {
    SLB_TRACE(breaker, pool, SLABBY_BREAKER_STATE_CLOSED, 0);
    slb_event(pool, SLABBY_EVENT_LEVEL_INFO, SLABBY_EVENT_CODE_BREAKER_CLOSED, 0, 0,
              "the breaker of pool \"%s\" closed", slb_shown_name(pool).text);
}

static void notify_forced(struct slabby_allocator *pool, int32_t mode) {
    static const char *const modes[] = {"normal", "forced_open", "disabled", "metrics_only"};
    slb_event(pool, SLABBY_EVENT_LEVEL_WARNING, SLABBY_EVENT_CODE_BREAKER_FORCED, 0, mode,
              "the breaker of pool \"%s\" was set to %s", slb_shown_name(pool).text, modes[mode]);
}

/* Needs the gate lock. */
static void breaker_open(struct slabby_allocator *pool) {
    struct slb_breaker *breaker = &pool->breaker;
    uint64_t timeout = atomic_load_explicit(&breaker->timeout_ns, memory_order_relaxed);
    uint64_t wait = spread(pool, timeout);
    atomic_store(&breaker->until_ns, slb_now_ns() + wait);
    atomic_store(&breaker->failures, 0);
    atomic_store(&breaker->expired_at, 0);
    atomic_store(&breaker->state, SLABBY_BREAKER_STATE_OPEN);
    if (slb_breaker_mode_refuses(breaker))
        slb_gate_close(pool, SLB_GATE_BREAKER);
    if (atomic_load_explicit(&breaker->mode, memory_order_relaxed) != SLABBY_BREAKER_MODE_FORCED_OPEN)
        notify_opened(pool, wait);
}

/* Needs the gate lock. */
static void breaker_close(struct slabby_allocator *pool) {
    atomic_store(&pool->breaker.failures, 0);
    uint32_t before = atomic_exchange(&pool->breaker.state, SLABBY_BREAKER_STATE_CLOSED);
    slb_gate_open(pool, SLB_GATE_BREAKER);
    if (before != SLABBY_BREAKER_STATE_CLOSED)
        notify_closed(pool);
}

/* ------------------------------------------------------------------------------------------------ failures */

/* The window begins anew when it is over; both rules count from numbers that exist anyway. */
static bool rate_is_too_high(struct slabby_allocator *pool, uint64_t allocations, uint64_t threshold) {
    struct slb_breaker *breaker = &pool->breaker;
    uint64_t now = slb_now_ns();
    if (now - atomic_load(&breaker->window_ns) > BREAKER_WINDOW_NS) {
        atomic_store(&breaker->window_ns, now);
        atomic_store(&breaker->window_allocations, allocations);
        atomic_store(&breaker->window_failures, 0);
    }
    uint64_t failed = atomic_fetch_add(&breaker->window_failures, 1) + 1;
    uint64_t calls = allocations - atomic_load(&breaker->window_allocations) + failed;
    uint64_t fewest = 2 * threshold > BREAKER_FEWEST_CALLS ? 2 * threshold : BREAKER_FEWEST_CALLS;
    return calls >= fewest && 2 * failed > calls;
}

static bool too_many_in_a_row(struct slabby_allocator *pool, uint64_t allocations, uint64_t threshold,
                              bool slow) {
    struct slb_breaker *breaker = &pool->breaker;
    uint64_t before = atomic_exchange(&breaker->allocations_before, allocations);
    if (allocations - before > (slow ? 1u : 0u))
        atomic_store(&breaker->failures, 0);
    return atomic_fetch_add(&breaker->failures, 1) + 1 >= threshold;
}

/* For metrics_only, after the timeout: the number of allocations when a thread first saw that the timeout was over. */
static uint64_t allocations_at_expiry(struct slabby_allocator *pool) {
    uint64_t first = 0, now = slb_count_allocations(pool);
    if (atomic_compare_exchange_strong(&pool->breaker.expired_at, &first, now + 1))
        return now;
    return first - 1;
}

/* Without the gate lock: metrics_only holds no gate reason. */
SLB_PRIVATE void slb_breaker_poll(struct slabby_allocator *pool) {
    struct slb_breaker *breaker = &pool->breaker;
    if (slb_likely(atomic_load_explicit(&breaker->mode, memory_order_relaxed) !=
                   SLABBY_BREAKER_MODE_METRICS_ONLY))
        return;
    uint32_t state = atomic_load(&breaker->state);
    if (state == SLABBY_BREAKER_STATE_OPEN && slb_now_ns() >= atomic_load(&breaker->until_ns)) {
        atomic_store(&breaker->allocations_before, allocations_at_expiry(pool));
        if (atomic_compare_exchange_strong(&breaker->state, &state, SLABBY_BREAKER_STATE_HALF_OPEN)) {
            notify_half_open(pool, atomic_load(&breaker->probes));
            state = SLABBY_BREAKER_STATE_HALF_OPEN;
        }
    }
    if (state == SLABBY_BREAKER_STATE_HALF_OPEN &&
        slb_count_allocations(pool) != atomic_load(&breaker->allocations_before)) {
        atomic_store(&breaker->failures, 0);
        if (atomic_compare_exchange_strong(&breaker->state, &state, SLABBY_BREAKER_STATE_CLOSED))
            notify_closed(pool);
    }
}

SLB_PRIVATE int32_t slb_breaker_check(struct slabby_allocator *pool, bool *out_refuses) {
    struct slb_breaker *breaker = &pool->breaker;
    uint32_t mode = atomic_load(&breaker->mode), state = atomic_load(&breaker->state);
    bool over = slb_now_ns() >= atomic_load(&breaker->until_ns);
    *out_refuses = false;
    if (mode == SLABBY_BREAKER_MODE_FORCED_OPEN) {
        *out_refuses = true;
        return SLABBY_BREAKER_STATE_OPEN;
    }
    if (mode == SLABBY_BREAKER_MODE_METRICS_ONLY) {
        uint64_t before = atomic_load(&breaker->allocations_before);
        if (state == SLABBY_BREAKER_STATE_OPEN && over)
            before = allocations_at_expiry(pool);
        if (state == SLABBY_BREAKER_STATE_CLOSED || (state == SLABBY_BREAKER_STATE_OPEN && !over))
            return (int32_t)state;
        return slb_count_allocations(pool) != before ? SLABBY_BREAKER_STATE_CLOSED
                                                     : SLABBY_BREAKER_STATE_HALF_OPEN;
    }
    if (state == SLABBY_BREAKER_STATE_OPEN && over)
        return SLABBY_BREAKER_STATE_HALF_OPEN;
    *out_refuses = state == SLABBY_BREAKER_STATE_OPEN ||
                   (state == SLABBY_BREAKER_STATE_HALF_OPEN && !over &&
                    (uint32_t)atomic_load(&breaker->probes_running) >= atomic_load(&breaker->probes));
    return (int32_t)state;
}

SLB_PRIVATE void slb_breaker_failed(struct slabby_allocator *pool, bool slow) {
    struct slb_breaker *breaker = &pool->breaker;
    slb_breaker_poll(pool);
    uint64_t threshold = atomic_load_explicit(&breaker->threshold, memory_order_relaxed);
    uint32_t state = atomic_load_explicit(&breaker->state, memory_order_relaxed);
    if (threshold == 0 ||
        atomic_load_explicit(&breaker->mode, memory_order_relaxed) == SLABBY_BREAKER_MODE_DISABLED)
        return;
    bool trips = state == SLABBY_BREAKER_STATE_HALF_OPEN;
    if (state == SLABBY_BREAKER_STATE_CLOSED) {
        uint64_t allocations = slb_count_allocations(pool);
        trips = too_many_in_a_row(pool, allocations, threshold, slow);
        trips |= rate_is_too_high(pool, allocations, threshold);
    }
    uint64_t mark = slb_events_mark(pool);
    /* where another thread changes the gate, or a handler cannot close it, the next failure tries again */
    if (!trips || slb_in_section() || !slb_gate_try_lock(pool))
        return;
    if (atomic_load(&breaker->state) == state)
        breaker_open(pool);
    slb_gate_unlock(pool);
    slb_events_deliver(pool, mark);
}

SLB_PRIVATE void slb_breaker_succeeded(struct slabby_allocator *pool) {
    uint64_t mark = slb_events_mark(pool);
    slb_gate_lock(pool);
    if (atomic_load(&pool->breaker.state) == SLABBY_BREAKER_STATE_HALF_OPEN &&
        atomic_load(&pool->breaker.mode) != SLABBY_BREAKER_MODE_FORCED_OPEN)
        breaker_close(pool);
    slb_gate_unlock(pool);
    slb_events_deliver(pool, mark);
}

/* -------------------------------------------------------------------------------------------------- probes */

/* Each round has a number above 0, so that a probe that comes back after its round has ended changes nothing. */
static void begin_round(struct slb_breaker *breaker) {
    uint64_t before = atomic_load(&breaker->probes_running);
    while (!atomic_compare_exchange_weak(&breaker->probes_running, &before,
                                         ((before >> SLB_PROBE_BITS) + 1) << SLB_PROBE_BITS))
        ;
}

static bool begin_probe(struct slb_breaker *breaker, uint64_t *out_probe) {
    uint64_t before = atomic_load(&breaker->probes_running);
    do {
        if ((uint32_t)before >= atomic_load(&breaker->probes))
            return false;
    } while (!atomic_compare_exchange_weak(&breaker->probes_running, &before, before + 1));
    *out_probe = before >> SLB_PROBE_BITS;
    return true;
}

/* Another thread may have ended the pool since. This function touches only the control block, which stays. */
SLB_PRIVATE SLB_COLD void slb_breaker_return(struct slabby_allocator *pool, uint64_t probe) {
    uint64_t before = atomic_load(&pool->breaker.probes_running);
    while (before >> SLB_PROBE_BITS == probe && (uint32_t)before != 0 &&
           !atomic_compare_exchange_weak(&pool->breaker.probes_running, &before, before - 1))
        ;
}

SLB_PRIVATE bool slb_breaker_admits(struct slabby_allocator *pool, uint64_t *out_probe) {
    struct slb_breaker *breaker = &pool->breaker;
    uint32_t state = atomic_load(&breaker->state);
    uint64_t now = slb_now_ns(), until = atomic_load(&breaker->until_ns);
    if (atomic_load(&breaker->mode) == SLABBY_BREAKER_MODE_FORCED_OPEN)
        return false;
    if (state == SLABBY_BREAKER_STATE_CLOSED)
        return true; /* closed this moment */
    if (now >= until) {
        /* one of the threads that see the timeout pass admits a round of probes, which have until the next timeout */
        uint64_t next = now + atomic_load(&breaker->timeout_ns);
        if (atomic_compare_exchange_strong(&breaker->until_ns, &until, next)) {
            begin_round(breaker);
            if (atomic_exchange(&breaker->state, SLABBY_BREAKER_STATE_HALF_OPEN) == SLABBY_BREAKER_STATE_OPEN)
                notify_half_open(pool, atomic_load(&breaker->probes));
        }
    } else if (state == SLABBY_BREAKER_STATE_OPEN) {
        return false;
    }
    return begin_probe(breaker, out_probe);
}

/* ------------------------------------------------------------------------------------------------- control */

SLB_PRIVATE void slb_breaker_set_threshold(struct slabby_allocator *pool, int64_t threshold) {
    uint64_t mark = slb_events_mark(pool);
    slb_gate_lock(pool);
    atomic_store(&pool->breaker.threshold, (uint64_t)threshold);
    if (threshold == 0 && atomic_load(&pool->breaker.mode) != SLABBY_BREAKER_MODE_FORCED_OPEN)
        breaker_close(pool);
    slb_gate_unlock(pool);
    slb_events_deliver(pool, mark);
}

/* Needs the gate lock. From metrics_only to normal: a breaker that opened meanwhile begins to refuse, and one that is
 * half open admits a round of probes. */
static void breaker_enforce(struct slabby_allocator *pool) {
    struct slb_breaker *breaker = &pool->breaker;
    uint32_t state = atomic_load(&breaker->state);
    if (state == SLABBY_BREAKER_STATE_CLOSED)
        return;
    if (state == SLABBY_BREAKER_STATE_HALF_OPEN) {
        begin_round(breaker);
        atomic_store(&breaker->until_ns, slb_now_ns() + atomic_load(&breaker->timeout_ns));
    }
    slb_gate_close(pool, SLB_GATE_BREAKER);
}

SLB_PRIVATE slabby_status slb_breaker_force(struct slabby_allocator *pool, int32_t mode) {
    uint64_t mark = slb_events_mark(pool);
    slb_gate_lock(pool);
    uint32_t before = atomic_exchange(&pool->breaker.mode, (uint32_t)mode);
    if (mode == SLABBY_BREAKER_MODE_FORCED_OPEN)
        breaker_open(pool);
    else if (before == SLABBY_BREAKER_MODE_FORCED_OPEN || mode != SLABBY_BREAKER_MODE_NORMAL)
        breaker_close(pool);
    else if (before == SLABBY_BREAKER_MODE_METRICS_ONLY)
        breaker_enforce(pool);
    if ((uint32_t)mode != before)
        notify_forced(pool, mode);
    slb_gate_unlock(pool);
    slb_events_deliver(pool, mark);
    return SLABBY_OK;
}
