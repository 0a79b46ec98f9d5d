/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Options that change while a pool is in use. */
#include "pool/hot_options.h"

#include "observe/latency.h"
#include "pool/free_range.h"
#include "pool/quiesce.h"
#include "protect/secure.h"
#include "protect/switches.h"
#include "resilience/breaker.h"
#include "resilience/degrade.h"
#include "resilience/resize.h"
#include "resilience/ticker.h"
#include "status.h"
#include "tiers/gate.h"
#include "tiers/shards.h"

#include <inttypes.h>

/* ------------------------------------------------------------------------------------------- hot options */

static bool is_quarantined(struct slabby_allocator *pool, uint32_t id) {
    uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_acquire);
    return slb_word_state(word) == SLABBY_SLAB_STATE_QUARANTINED;
}

/* Zeroes the slabs that were released before `secure` was switched on. Slabs that were live while no thread was inside
 * a call need nothing here: their releases see the flag and zero them. The others cannot be allocated under
 * maintenance. */
static bool zero_free_slabs(struct slabby_allocator *pool) {
    /* reuse_delay zeroes each released slab anyway. relaxed: only create sets this bit */
    bool zeroed = (atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_DELAY) != 0;
    bool found = true;
    struct slb_free_range range;
    slb_ranges_begin(&range, pool);
    while (found && slb_next_range(pool, &range, slb_shard_used)) {
        found = slb_find_free(pool, &range);
        for (uint32_t id = range.first; found && id < range.end; id++)
            if ((!zeroed && slb_range_has_free(&range, id)) || is_quarantined(pool, id))
                slb_secure_zero_free_slab(pool, id);
    }
    slb_ranges_end(&range);
    return found;
}

static slabby_status change_secure(struct slabby_allocator *pool, bool on, slabby_error *error) {
    if (!on) {
        slb_gate_lock(pool);
        slb_protections_set(pool, atomic_load(&pool->protect) & ~(uint32_t)SLB_PROTECT_SECURE);
        slb_gate_unlock(pool);
        return SLABBY_OK;
    }
    if (!slb_maintenance_begin(pool))
        return SLABBY_BUSY;
    bool was_on = (atomic_load(&pool->protect) & SLB_PROTECT_SECURE) != 0;
    slb_protections_set(pool, atomic_load(&pool->protect) | SLB_PROTECT_SECURE);
    bool quiet = zero_free_slabs(pool);
    if (quiet)
        slb_resize_discard_claimed(pool); /* the zeroes need no memory there */
    else if (!was_on &&
             slb_pool_exists(pool)) /* the lock was given back in between: others may have changed more */
        slb_protections_set(pool, atomic_load(&pool->protect) & ~(uint32_t)SLB_PROTECT_SECURE);
    slb_maintenance_end(pool);
    if (!quiet)
        return slb_error_set(error, SLABBY_BUSY, SLABBY_OPTION_SECURE, 1, 0, 1,
                             "option secure: a thread is stopped inside a call of this pool; try again");
    return SLABBY_OK;
}

static slabby_status change_heap(struct slabby_allocator *pool, bool on, slabby_error *error) {
    if (on && pool->heap.limit == 0)
        return slb_error_set(error, SLABBY_CAPACITY_EXCEEDED, SLABBY_OPTION_HEAP_FALLBACK, 1, 0, 0,
                             "option heap_fallback: room for %" PRIu32 " slabs leaves no ids for heap slabs",
                             pool->reserved);
    atomic_store(&pool->heap.enabled, on);
    /* seq_cst: behind the store, so that either this thread sees a waiter or the waiter sees the heap */
    if (atomic_load(&pool->gate.reasons) & SLB_GATE_SERVE)
        slb_pool_run_deferred(pool);
    return SLABBY_OK;
}

static slabby_status refuse_cold(const struct slb_option_info *info, int32_t id, int64_t value,
                                 slabby_error *error) {
    return slb_error_set(error, SLABBY_COLD_OPTION, id, value, info->minimum, info->maximum,
                         "option %s is fixed when the pool is made; make a new pool to change it",
                         info->name);
}

SLB_PRIVATE slabby_status slb_option_change(struct slabby_allocator *pool, int32_t id, int64_t value,
                                            slabby_error *error) {
    const struct slb_option_info *info = slb_option_info(id);
    if (info != NULL && !info->hot)
        return refuse_cold(info, id, value, error);
    slabby_status status = slb_option_check(id, value, error);
    if (status != SLABBY_OK)
        return status;
    switch (id) {
    case SLABBY_OPTION_MAX_ALLOC_LATENCY:
        slb_latency_limit(pool, value);
        return SLABBY_OK;
    case SLABBY_OPTION_CIRCUIT_BREAKER_THRESHOLD:
        slb_breaker_set_threshold(pool, value);
        return SLABBY_OK;
    case SLABBY_OPTION_CIRCUIT_BREAKER_TIMEOUT:
        atomic_store(&pool->breaker.timeout_ns, (uint64_t)value);
        return SLABBY_OK;
    case SLABBY_OPTION_CIRCUIT_BREAKER_PROBES:
        atomic_store(&pool->breaker.probes, (uint64_t)value);
        return SLABBY_OK;
    case SLABBY_OPTION_CORRUPTION_POLICY:
        atomic_store(&pool->corruption.policy, (uint32_t)value);
        return SLABBY_OK;
    case SLABBY_OPTION_LATENCY_TRACKING:
        slb_degrade_track(pool, (uint32_t)value);
        return SLABBY_OK;
    case SLABBY_OPTION_SECURE:
        return change_secure(pool, value != 0, error);
    case SLABBY_OPTION_GUARD_SAMPLE_RATE:
        return slb_switch_guards(pool, (uint32_t)value, error);
    case SLABBY_OPTION_DEBUG:
        return slb_switch_debug(pool, value != 0, error);
    case SLABBY_OPTION_HEALTH_CHECKS:
        return slb_ticker_switch(pool, value != 0, error);
    case SLABBY_OPTION_HEALTH_INTERVAL:
        slb_ticker_pace(pool, (uint64_t)value);
        return SLABBY_OK;
    case SLABBY_OPTION_DEGRADE_AT:
    case SLABBY_OPTION_SURVIVE_AT:
        return slb_degrade_change(pool, id, value, error);
    case SLABBY_OPTION_HEAP_FALLBACK:
        return change_heap(pool, value != 0, error);
    default:
        return refuse_cold(info, id, value, error);
    }
}

SLB_PRIVATE int64_t slb_option_effective(struct slabby_allocator *pool, int32_t id) {
    switch (id) {
    case SLABBY_OPTION_MAX_ALLOC_LATENCY:
        return (int64_t)atomic_load(&pool->timing.limit_ns);
    case SLABBY_OPTION_CIRCUIT_BREAKER_THRESHOLD:
        return (int64_t)atomic_load(&pool->breaker.threshold);
    case SLABBY_OPTION_CIRCUIT_BREAKER_TIMEOUT:
        return (int64_t)atomic_load(&pool->breaker.timeout_ns);
    case SLABBY_OPTION_CIRCUIT_BREAKER_PROBES:
        return (int64_t)atomic_load(&pool->breaker.probes);
    case SLABBY_OPTION_CORRUPTION_POLICY:
        return atomic_load(&pool->corruption.policy);
    case SLABBY_OPTION_LATENCY_TRACKING:
        return atomic_load(&pool->timing.tracking);
    case SLABBY_OPTION_SECURE:
        return (atomic_load(&pool->protect) & SLB_PROTECT_SECURE) != 0;
    case SLABBY_OPTION_GUARD_SAMPLE_RATE:
        return atomic_load(&pool->guard_rate);
    case SLABBY_OPTION_DEBUG:
        return (atomic_load(&pool->protect) & SLB_PROTECT_STACKS) != 0;
    case SLABBY_OPTION_HEALTH_CHECKS:
        return (atomic_load(&pool->ticking.on) & SLB_TICK_HEALTH) != 0;
    case SLABBY_OPTION_HEALTH_INTERVAL:
        return (int64_t)atomic_load(&pool->ticking.interval_ns);
    case SLABBY_OPTION_DEGRADE_AT:
        return atomic_load(&pool->degrade.degrade_at);
    case SLABBY_OPTION_SURVIVE_AT:
        return atomic_load(&pool->degrade.survive_at);
    case SLABBY_OPTION_HEAP_FALLBACK:
        return atomic_load(&pool->heap.enabled);
    default:
        return slb_option(&pool->options, id);
    }
}
