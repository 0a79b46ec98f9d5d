/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "upkeep.h"

#include "maintenance.h"
#include "observe/counters.h"
#include "observe/latency.h"
#include "os/os.h"
#include "protect/secure.h"
#include "protect/switches.h"
#include "release.h"
#include "resilience/breaker.h"
#include "resilience/degrade.h"
#include "resilience/resize.h"
#include "resilience/ticker.h"
#include "status.h"
#include "tiers/gate.h"
#include "word_bias.h"

#include <inttypes.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------- reset */

static bool anything_pinned(struct slabby_allocator *pool, uint32_t limit) {
    for (uint32_t id = slb_next_used(pool, 0); id < limit; id = slb_next_used(pool, id + 1))
        if (slb_word_pins(atomic_load_explicit(&pool->words[id], memory_order_acquire)) != 0)
            return true;
    return false;
}

/* Each slab by the same compare-and-swap as its owner's release would use, so one of the two succeeds. A pin that came
 * after the check turns the release into a deferred one inside slb_release_deferred. */
static void release_everything(struct slabby_allocator *pool, uint32_t limit) {
    slb_bias_revoke_all(pool);
    for (uint32_t id = slb_next_used(pool, 0); id < limit; id = slb_next_used(pool, id + 1)) {
        uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_acquire);
        if (slb_word_state(word) == SLABBY_SLAB_STATE_LIVE)
            (void)slb_release_deferred(pool,
                                       slb_ref_make(pool, slb_word_generation(pool->id_bits, word), id));
        else if (slb_word_state(word) == SLABBY_SLAB_STATE_LIVE_FAST)
            (void)slb_release_fast(pool, id);
    }
}

SLB_PRIVATE slabby_status slb_reset(struct slabby_allocator *pool) {
    slabby_status status = SLABBY_OK;
    if (!slb_maintenance_begin(pool))
        return SLABBY_BUSY;
    uint32_t limit = atomic_load_explicit(&pool->id_limit, memory_order_acquire);
    if (!slb_pool_exists(pool))
        status = slb_pool_closed_status(pool);
    else if (anything_pinned(pool, limit))
        status = SLABBY_PINNED;
    else
        release_everything(pool, limit);
    slb_maintenance_end(pool);
    return status;
}

/* -------------------------------------------------------------------------------------------------- trim */

/* How many slabs one step looks at: allocations wait for one step, not for the whole. */
#define TRIM_STEP 16384u

/* The whole pages between the end of one slab in use and the start of the next go back. */
static uint64_t discard_between(struct slabby_allocator *pool, uint64_t from, uint64_t to) {
    uint64_t page = slb_os_page_size();
    uint64_t start = (from + page - 1) / page * page;
    uint64_t end = to / page * page;
    if (end <= start || !slb_os_discard(pool->slab_base + start, end - start))
        return 0;
    return end - start;
}

/* One step: slabs first .. end-1, and a bit for each that was free while nobody was inside a call. */
struct trim_step {
    uint32_t first, end;
    uint64_t *is_free;
};

static void note_free_slabs(struct slabby_allocator *pool, const struct trim_step *step) {
    memset(step->is_free, 0, ((step->end - step->first + 63) / 64) * sizeof *step->is_free);
    for (uint32_t id = step->first; id < step->end; id++) {
        uint32_t state = slb_word_state(atomic_load_explicit(&pool->words[id], memory_order_acquire));
        if (state == SLABBY_SLAB_STATE_FREE || state == SLABBY_SLAB_STATE_RETIRED ||
            state == SLABBY_SLAB_STATE_CLAIMED)
            step->is_free[(id - step->first) / 64] |= 1ull << ((id - step->first) % 64);
    }
}

/* Releases go on under maintenance, and the word of one that is on its way says free before its patterns have been
 * checked. None was on its way when the bits were taken if the pool was quiet afterwards and no slab has come back. */
static bool find_free_slabs(struct slabby_allocator *pool, const struct trim_step *step) {
    while (slb_maintenance_quiesce(pool, SLB_QUIESCE_ATTEMPTS_SHORT)) {
        uint64_t before = slb_count_live(pool);
        note_free_slabs(pool, step);
        if (slb_maintenance_is_quiescent(pool, 1) && slb_count_live(pool) == before)
            return true;
    }
    return false;
}

static uint64_t trim_range(struct slabby_allocator *pool, const struct trim_step *step) {
    uint64_t bytes = 0;
    uint64_t from = step->first * pool->stride;
    SLB_POINT(SLB_POINT_AT_REST);
    for (uint32_t id = step->first; id < step->end; id++) {
        if (step->is_free[(id - step->first) / 64] >> ((id - step->first) % 64) & 1)
            continue;
        bytes += discard_between(pool, from, id * pool->stride);
        from = (id + 1) * pool->stride;
    }
    return bytes + discard_between(pool, from, step->end * pool->stride);
}

static slabby_status trim_step(struct slabby_allocator *pool, const struct trim_step *step,
                               uint64_t *inout_bytes) {
    slabby_status status = SLABBY_OK;
    if (!slb_maintenance_begin(pool))
        return SLABBY_BUSY;
    if (!slb_pool_exists(pool))
        status = slb_pool_closed_status(pool);
    else if (!find_free_slabs(pool, step))
        status = slb_pool_exists(pool) ? SLABBY_BUSY : slb_pool_closed_status(pool);
    else
        *inout_bytes += trim_range(pool, step);
    slb_maintenance_end(pool);
    return status;
}

/* Large pools take larger steps, with their bits in a mapping; where that is refused, small steps do. */
SLB_PRIVATE slabby_status slb_trim(struct slabby_allocator *pool, uint64_t *out_bytes) {
    uint64_t few[TRIM_STEP / 64];
    uint32_t slabs = pool->reserved, length = slabs / 16;
    uint64_t page = slb_os_page_size();
    uint64_t mapping = (length / 8 + 8 + page - 1) / page * page;
    uint64_t *mapped = length > TRIM_STEP ? slb_os_map(mapping) : NULL;
    slabby_status status = SLABBY_OK;
    struct trim_step step = {.is_free = mapped == NULL ? few : mapped};
    if (mapped == NULL)
        length = TRIM_STEP;
    *out_bytes = 0;
    for (; step.first < slabs && status == SLABBY_OK; step.first = step.end) {
        step.end = slabs - step.first < length ? slabs : step.first + length;
        status = trim_step(pool, &step, out_bytes);
    }
    slb_os_unmap(mapped, mapping);
    return status;
}

/* ------------------------------------------------------------------------------------------- hot options */

/* What was freed before `secure` was switched on. Slabs that the bits miss were in use when nobody was inside a call,
 * so their releases see the flag and zero them; none of the others changes hands under maintenance. */
static bool zero_free_slabs(struct slabby_allocator *pool) {
    uint64_t bits[TRIM_STEP / 64];
    struct trim_step step = {.is_free = bits};
    for (; step.first < pool->reserved; step.first = step.end) {
        step.end = pool->reserved - step.first < TRIM_STEP ? pool->reserved : step.first + TRIM_STEP;
        if (!find_free_slabs(pool, &step))
            return false;
        for (uint32_t i = 0; i < step.end - step.first; i++)
            if (bits[i / 64] >> (i % 64) & 1)
                slb_secure_zero_free_slab(pool, step.first + i);
    }
    return true;
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
    return SLABBY_OK;
}

static slabby_status refuse_change(const struct slb_option_info *info, int32_t id, int64_t value,
                                   slabby_error *error) {
    if (!info->hot)
        return slb_error_set(error, SLABBY_COLD_OPTION, id, value, info->minimum, info->maximum,
                             "option %s is fixed when the pool is made; make a new pool to change it",
                             info->name);
    return slb_error_set(error, SLABBY_NOT_SUPPORTED, id, value, info->minimum, info->maximum,
                         "option %s has no effect in this version, so a change is refused", info->name);
}

SLB_PRIVATE slabby_status slb_option_change(struct slabby_allocator *pool, int32_t id, int64_t value,
                                            slabby_error *error) {
    const struct slb_option_info *info = slb_option_info(id);
    if (info != NULL && !info->hot)
        return refuse_change(info, id, value, error);
    slabby_status status = slb_option_check(id, value, error);
    if (status != SLABBY_OK)
        return status;
    switch (id) {
    case SLABBY_OPTION_MAX_ALLOC_LATENCY:
        slb_latency_limit(pool, value);
        return SLABBY_OK;
    case SLABBY_OPTION_CIRCUIT_BREAKER_THRESHOLD:
        slb_breaker_configure(pool, value, slb_option_effective(pool, SLABBY_OPTION_CIRCUIT_BREAKER_TIMEOUT),
                              slb_option_effective(pool, SLABBY_OPTION_CIRCUIT_BREAKER_PROBES));
        return SLABBY_OK;
    case SLABBY_OPTION_CIRCUIT_BREAKER_TIMEOUT:
        atomic_store(&pool->breaker.timeout_ns, (uint64_t)value);
        return SLABBY_OK;
    case SLABBY_OPTION_CIRCUIT_BREAKER_PROBES:
        atomic_store(&pool->breaker.probes, (uint64_t)value);
        return SLABBY_OK;
    case SLABBY_OPTION_CORRUPTION_POLICY:
        atomic_store(&pool->corruption_policy, (uint32_t)value);
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
        return refuse_change(info, id, value, error);
    }
}

SLB_PRIVATE int64_t slb_option_effective(struct slabby_allocator *pool, int32_t id) {
    switch (id) {
    case SLABBY_OPTION_MAX_ALLOC_LATENCY:
        return (int64_t)atomic_load(&pool->latency_limit_ns);
    case SLABBY_OPTION_CIRCUIT_BREAKER_THRESHOLD:
        return (int64_t)atomic_load(&pool->breaker.threshold);
    case SLABBY_OPTION_CIRCUIT_BREAKER_TIMEOUT:
        return (int64_t)atomic_load(&pool->breaker.timeout_ns);
    case SLABBY_OPTION_CIRCUIT_BREAKER_PROBES:
        return (int64_t)atomic_load(&pool->breaker.probes);
    case SLABBY_OPTION_CORRUPTION_POLICY:
        return atomic_load(&pool->corruption_policy);
    case SLABBY_OPTION_LATENCY_TRACKING:
        return atomic_load(&pool->latency_tracking);
    case SLABBY_OPTION_SECURE:
        return (atomic_load(&pool->protect) & SLB_PROTECT_SECURE) != 0;
    case SLABBY_OPTION_GUARD_SAMPLE_RATE:
        return atomic_load(&pool->guard_rate);
    case SLABBY_OPTION_DEBUG:
        return (atomic_load(&pool->protect) & SLB_PROTECT_STACKS) != 0;
    case SLABBY_OPTION_HEALTH_CHECKS:
        return atomic_load(&pool->ticking.on) != 0;
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
