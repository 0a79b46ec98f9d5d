/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "resilience/degrade.h"

#include "observe/counters.h"
#include "observe/latency.h"
#include "protect/reuse_delay.h"
#include "os/clock.h"
#include "tiers/gate.h"
#include "tiers/in_flight.h"
#include "tiers/shards.h"

#include <inttypes.h>

/* Delayed slabs that one check moves at most, because the checking thread is in an allocation or a release. */
#define DEGRADE_DRAIN_AT_ONCE 1024u

/* Checks are rarer in large pools, where one check costs more and tells less. */
#define DEGRADE_RAREST_CHECK 16u

static const char *state_name(uint32_t state) {
    static const char *const names[] = {"healthy", "degraded", "survival", "fallback"};
    return names[state];
}

/* ------------------------------------------------------------------------------------------------- judging */

/* Whether the use reaches a threshold; for a state that has been reached, whether the use has not yet left it. */
static bool reaches(struct slabby_allocator *pool, uint64_t used, uint32_t threshold, bool reached) {
    uint64_t low = threshold > SLB_DEGRADE_POINTS ? threshold - SLB_DEGRADE_POINTS : 0;
    if (threshold == 0)
        return false;
    return reached ? used * 100 > low * slb_capacity(pool)
                   : used * 100 >= (uint64_t)threshold * slb_capacity(pool);
}

static uint32_t warranted_state(struct slabby_allocator *pool, uint64_t used, uint32_t state) {
    struct slb_degrade *degrade = &pool->degrade;
    bool heap_serves = atomic_load_explicit(&pool->heap.live, memory_order_relaxed) != 0;
    uint32_t degrade_at = atomic_load_explicit(&degrade->degrade_at, memory_order_relaxed);
    uint32_t survive_at = atomic_load_explicit(&degrade->survive_at, memory_order_relaxed);
    if (heap_serves || (state == SLABBY_DEGRADATION_STATE_FALLBACK && reaches(pool, used, 100, true)))
        return SLABBY_DEGRADATION_STATE_FALLBACK;
    if (reaches(pool, used, survive_at, state >= SLABBY_DEGRADATION_STATE_SURVIVAL))
        return SLABBY_DEGRADATION_STATE_SURVIVAL;
    if (reaches(pool, used, degrade_at, state >= SLABBY_DEGRADATION_STATE_DEGRADED))
        return SLABBY_DEGRADATION_STATE_DEGRADED;
    return SLABBY_DEGRADATION_STATE_HEALTHY;
}

/* Up at once, down after a second. relaxed: checks that race shift the start of the second only by their distance. */
static bool is_time(struct slb_degrade *degrade, uint32_t from, uint32_t to) {
    uint64_t calm = atomic_load_explicit(&degrade->calm_ns, memory_order_relaxed), now;
    if (to >= from) {
        atomic_store_explicit(&degrade->calm_ns, 0, memory_order_relaxed);
        return to > from;
    }
    now = slb_now_ns();
    if (calm == 0)
        atomic_store_explicit(&degrade->calm_ns, now, memory_order_relaxed);
    return calm != 0 && now - calm >= SLB_DEGRADE_CALM_NS;
}

/* -------------------------------------------------------------------------------------------- consequences */

/* Needs the gate lock. Counts as a move, so that no thread can prove the pool empty meanwhile. */
static void hurry_delayed(struct slabby_allocator *pool) {
    struct slb_stripe *stripe = slb_stripe_here(pool);
    uint32_t id, count = 0;
    slb_move_begin(stripe);
    for (; count < DEGRADE_DRAIN_AT_ONCE && slb_delay_pop(pool, &id, NULL); count++)
        slb_shards_push(pool, slb_os_cpu(), id);
    slb_move_end(stripe);
    if (count != 0)
        slb_gate_note_free(pool, count);
}

/* Needs the gate lock. */
static void empty_caches(struct slabby_allocator *pool) {
    slb_gate_close(pool, SLB_GATE_PAUSE);
    slb_gate_open(pool, SLB_GATE_PAUSE);
}

static void notify_step(struct slabby_allocator *pool, struct slb_notification *out, uint32_t from,
                        uint32_t to, uint64_t used, uint64_t left_out) {
    int32_t level = to > from ? SLABBY_EVENT_LEVEL_WARNING : SLABBY_EVENT_LEVEL_INFO;
    slb_event_prepare(out, pool, level, SLABBY_EVENT_CODE_DEGRADATION, 0, (int64_t)to,
                      "pool \"%s\" went from %s to %s with %" PRIu64 " of %" PRIu32 " slabs in use; %" PRIu64
                      " audit records left out",
                      slb_shown_name(pool).text, state_name(from), state_name(to), used, slb_capacity(pool),
                      left_out);
}

/* Needs the gate lock. */
static void take_step(struct slabby_allocator *pool, struct slb_notification *out, uint32_t to,
                      uint64_t used) {
    struct slb_degrade *degrade = &pool->degrade;
    uint32_t from = atomic_exchange_explicit(&degrade->state, to, memory_order_relaxed);
    uint64_t left_out = atomic_exchange_explicit(&degrade->left_out, 0, memory_order_relaxed);
    atomic_store_explicit(&degrade->calm_ns, 0, memory_order_relaxed);
    if (from == SLABBY_DEGRADATION_STATE_HEALTHY)
        slb_latency_track_locked(pool, SLABBY_LATENCY_TRACKING_OFF);
    else if (to == SLABBY_DEGRADATION_STATE_HEALTHY)
        slb_latency_track_locked(pool, degrade->tracking);
    if (from < SLABBY_DEGRADATION_STATE_SURVIVAL && to >= SLABBY_DEGRADATION_STATE_SURVIVAL)
        empty_caches(pool);
    notify_step(pool, out, from, to, used, left_out);
}

/* -------------------------------------------------------------------------------------------------- checks */

static bool slabs_wait(struct slabby_allocator *pool, uint32_t state) {
    uint64_t moves;
    return state >= SLABBY_DEGRADATION_STATE_SURVIVAL && pool->delay.limit != 0 &&
           !slb_delay_is_empty(pool, &moves);
}

SLB_PRIVATE SLB_COLD void slb_degrade_update(struct slabby_allocator *pool, struct slb_notification *out) {
    struct slb_degrade *degrade = &pool->degrade;
    uint32_t state = slb_degrade_state(pool);
    uint64_t used = slb_count_used(pool);
    bool step = is_time(degrade, state, warranted_state(pool, used, state));
    if (!step && !slabs_wait(pool, state))
        return;
    if (!slb_gate_try_lock(pool))
        return;
    /* The state as it is now: another check may have changed it. */
    state = slb_degrade_state(pool);
    bool forked = (atomic_load_explicit(&pool->gate.reasons, memory_order_relaxed) & SLB_GATE_FORKED) != 0;
    if (slb_pool_exists(pool) && !forked && slb_degrade_is_on(pool)) {
        uint32_t to = warranted_state(pool, used, state);
        if (step && to != state)
            take_step(pool, out, to, used);
        if (slabs_wait(pool, slb_degrade_state(pool)))
            hurry_delayed(pool);
    }
    slb_gate_unlock(pool);
}

SLB_PRIVATE int32_t slb_degrade_check(struct slabby_allocator *pool) {
    uint32_t state = slb_degrade_state(pool);
    if (!slb_degrade_is_on(pool))
        return (int32_t)state;
    uint32_t warranted = warranted_state(pool, slb_count_used(pool), state);
    return (int32_t)(is_time(&pool->degrade, state, warranted) ? warranted : state);
}

SLB_PRIVATE SLB_COLD void slb_degrade_poll(struct slabby_allocator *pool) {
    struct slb_notification notification;
    slb_notification_none(&notification);
    if (slb_in_flight())
        return;
    slb_degrade_update(pool, &notification);
    slb_event_notify(&notification);
}

/* ------------------------------------------------------------------------------------------------- options */

/* Slow operations between two checks, so that all CPUs together hand out a thirty-second of the pool in between. */
static uint32_t distance_of_checks(struct slabby_allocator *pool) {
    uint64_t batch = pool->cache_max != 0 ? pool->batch : 1;
    uint64_t every = slb_capacity(pool) / (32 * batch * pool->cpus);
    return every < 1 ? 1 : every > DEGRADE_RAREST_CHECK ? DEGRADE_RAREST_CHECK : (uint32_t)every;
}

static void set_thresholds(struct slabby_allocator *pool, int64_t degrade_at, int64_t survive_at) {
    bool on = degrade_at != 0 || survive_at != 0;
    atomic_store(&pool->degrade.degrade_at, (uint32_t)degrade_at);
    atomic_store(&pool->degrade.survive_at, (uint32_t)survive_at);
    atomic_store(&pool->degrade.every, on ? distance_of_checks(pool) : 0);
}

SLB_PRIVATE void slb_degrade_size(struct slabby_allocator *pool) {
    if (slb_degrade_is_on(pool))
        atomic_store(&pool->degrade.every, distance_of_checks(pool));
}

SLB_PRIVATE void slb_degrade_begin(struct slabby_allocator *pool, int64_t degrade_at, int64_t survive_at) {
    pool->degrade.tracking = atomic_load(&pool->timing.tracking);
    set_thresholds(pool, degrade_at, survive_at);
}

SLB_PRIVATE slabby_status slb_degrade_change(struct slabby_allocator *pool, int32_t option, int64_t value,
                                             slabby_error *error) {
    struct slb_notification notification;
    slb_notification_none(&notification);
    slb_gate_lock(pool);
    int64_t degrade_at = option == SLABBY_OPTION_DEGRADE_AT ? value : atomic_load(&pool->degrade.degrade_at);
    int64_t survive_at = option == SLABBY_OPTION_SURVIVE_AT ? value : atomic_load(&pool->degrade.survive_at);
    slabby_status status = slb_option_check_thresholds(option, degrade_at, survive_at, error);
    if (status == SLABBY_OK) {
        set_thresholds(pool, degrade_at, survive_at);
        if (!slb_degrade_is_on(pool) && slb_degrade_state(pool) != SLABBY_DEGRADATION_STATE_HEALTHY)
            take_step(pool, &notification, SLABBY_DEGRADATION_STATE_HEALTHY, slb_count_used(pool));
    }
    slb_gate_unlock(pool);
    slb_event_notify(&notification);
    if (status == SLABBY_OK && slb_degrade_is_on(pool))
        slb_degrade_poll(pool);
    return status;
}

SLB_PRIVATE void slb_degrade_track(struct slabby_allocator *pool, uint32_t tracking) {
    slb_gate_lock(pool);
    pool->degrade.tracking = tracking;
    if (slb_degrade_state(pool) == SLABBY_DEGRADATION_STATE_HEALTHY)
        slb_latency_track_locked(pool, tracking);
    slb_gate_unlock(pool);
}
