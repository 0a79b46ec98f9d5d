/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Leases at the API: what a binding's own hot path calls when its magazines are empty, full or locked. The steps are
 * those of api/allocate.c, with a lease in place of the CPU's cache. */
#include <slabby/slabby.h>

#include "api/allocate.h"
#include "api/call.h"
#include "api/issue.h"
#include "api/release.h"
#include "observe/counters.h"
#include "observe/events.h"
#include "observe/latency.h"
#include "os/os.h"
#include "resilience/breaker.h"
#include "resilience/degrade.h"
#include "tiers/cpu_cache.h"
#include "tiers/in_flight.h"
#include "tiers/lease.h"

/* The sums behind peak_used touch every CPU's lines: only every so many refills of a CPU. */
#define LEASE_PEAK_EVERY 16u

#define MOST_LEASES 4096u

/* ---------------------------------------------------------------------------------- attaching and detaching */

SLB_PUBLIC slabby_status slabby_lease_attach(uint64_t *out_address, slabby_allocator *allocator,
                                             uint64_t count, uint32_t layout) {
    SLB_HOLD_HANDLE(allocator);
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    struct slb_lease_block *block = NULL;
    if (pool == NULL || out_address == NULL)
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    if (layout != SLABBY_LEASE_LAYOUT)
        return slb_refuse(pool, SLABBY_ABI_MISMATCH);
    if (count < 1 || count > MOST_LEASES)
        return slb_refuse(pool, SLABBY_INVALID_ARGUMENT);
    if (slb_in_flight())
        return slb_refuse(pool, SLABBY_BUSY);
    status = slb_leases_attach(pool, (uint32_t)count, &block);
    if (status == SLABBY_OK)
        *out_address = (uint64_t)(uintptr_t)block->leases;
    /* NotSupported is the answer to a question, and nobody's mistake: not counted */
    return status == SLABBY_OK || status == SLABBY_NOT_SUPPORTED ? status : slb_refuse(pool, status);
}

SLB_PUBLIC slabby_status slabby_lease_detach(slabby_allocator *allocator, uint64_t address) {
    SLB_HOLD_HANDLE(allocator);
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL)
        return status;
    if (slb_in_flight())
        return slb_refuse(pool, SLABBY_BUSY);
    if (!slb_leases_detach(pool, address))
        return slb_refuse(pool, SLABBY_INVALID_ARGUMENT);
    return SLABBY_OK;
}

/* -------------------------------------------------------------------------------------------------- timing */

/* A sampling point is at most so far ahead: its distance, and a batch that moved it to its end. */
#define POINT_MOST_AHEAD (SLB_SAMPLE_MOST + SLB_MAGAZINE_IDS)

/* Sets a sampling point that was passed to the next allocation: threads beside the one that moved the point may take
 * the ids before it. No allocation would meet it for 2^32 turns. relaxed, here and below: a race costs one sample. */
static void catch_up(struct slb_magazine *magazine) {
    uint32_t turn = (uint32_t)(atomic_load_explicit(&magazine->header, memory_order_relaxed) >> 16);
    uint32_t at = atomic_load_explicit(&magazine->sample_at, memory_order_relaxed);
    if (slb_unlikely(at - turn > POINT_MOST_AHEAD))
        (void)atomic_compare_exchange_strong_explicit(&magazine->sample_at, &at, turn, memory_order_relaxed,
                                                      memory_order_relaxed);
}

static bool sample_is_due(struct slb_magazine *magazine) {
    uint64_t header = atomic_load_explicit(&magazine->header, memory_order_relaxed);
    return (uint32_t)(header >> 16) == atomic_load_explicit(&magazine->sample_at, memory_order_relaxed) &&
           slb_header_ids(header) != 0;
}

/* As slb_timing_if_due for a CPU's cache. */
static struct slb_timing timing_of_lease(struct slabby_allocator *pool, struct slb_lease *lease) {
    struct slb_timing timing = {0, 0};
    uint32_t tracking = atomic_load_explicit(&pool->timing.tracking, memory_order_relaxed);
    if (tracking == SLABBY_LATENCY_TRACKING_OFF)
        return timing;
    struct slb_magazine *due = sample_is_due(&lease->given)      ? &lease->given
                               : sample_is_due(&lease->refilled) ? &lease->refilled
                                                                 : NULL;
    if (due == NULL)
        return timing;
    uint64_t served = slb_lease_served(lease);
    uint64_t last = atomic_load_explicit(&lease->sampled_at, memory_order_relaxed);
    timing.started = slb_os_ticks();
    timing.weight = served >= last ? served + 1 - last : 1; /* less: it was folded */
    atomic_store_explicit(&lease->sampled_at, served + 1, memory_order_relaxed);
    uint32_t mean = slb_latency_mean(&lease->sampled_ticks, timing.weight, timing.started);
    atomic_fetch_add_explicit(&due->sample_at, (uint32_t)slb_latency_distance(pool, timing.started, mean),
                              memory_order_relaxed);
    return timing;
}

/* ------------------------------------------------------------------------------------------------ allocating */

/* A batch into the lease while the gate is open, and one of it for the caller. */
static bool refill_lease(struct slabby_allocator *pool, struct slb_lease *lease, uint32_t *out_id, bool fast,
                         struct slb_found *out_found) {
    out_found->mark = slb_events_mark(pool);
    struct slb_stripe *stripe = slb_enter(pool);
    /* seq_cst: behind the increment of slb_enter, pairs with the reasons that slb_gate_close sets */
    bool filled = atomic_load_explicit(&pool->gate.reasons, memory_order_seq_cst) == 0 &&
                  slb_pool_exists(pool) && slb_lease_refill(pool, stripe, lease, out_id, &out_found->tier);
    if (filled) {
        slb_count_ahead(&stripe->fast_taken, fast);
        slb_count(&stripe->hits[out_found->tier], 1);
        if (!slb_in_flight_beside(1) &&
            atomic_load_explicit(&stripe->moves_finished, memory_order_relaxed) % LEASE_PEAK_EVERY == 0)
            slb_note_peak(pool);
    }
    out_found->degrade_due = slb_degrade_is_due(pool, stripe);
    slb_leave(stripe);
    slb_search_leave(pool);
    return filled;
}

/* Without a lease, and where protections act, the CPU's cache serves. */
static slabby_status lease_allocate(struct slabby_allocator *pool, struct slb_lease *lease, uint32_t state,
                                    uint32_t *out_id, uint64_t *out_word, uint64_t *out_probe) {
    bool fast = state == SLABBY_SLAB_STATE_LIVE_FAST;
    *out_probe = 0;
    if (!slb_pool_exists(pool))
        return slb_pool_closed_status(pool);
    if (lease == NULL || atomic_load_explicit(&pool->protect, memory_order_relaxed) != 0)
        return slb_take_slab(pool, state, out_id, out_word, out_probe);
    struct slb_timing timing = timing_of_lease(pool, lease);
    struct slb_found found = {.tier = SLB_TIER_CACHE};
    bool searched = !slb_lease_take(lease, out_id, fast ? &slb_stripe_here(pool)->fast_taken : NULL);
    catch_up(&lease->given);
    catch_up(&lease->refilled);
    if (searched) {
        slb_timing_slow(pool, &timing);
        if (!refill_lease(pool, lease, out_id, fast, &found)) {
            slabby_status status = slb_search(pool, out_id, fast, &found);
            *out_probe = found.probe;
            if (status != SLABBY_OK)
                return status;
        }
    }
    *out_word = slb_issue_protected(
        pool, *out_id, state, fast ? SLABBY_AUDIT_OPERATION_ALLOCATE_FAST : SLABBY_AUDIT_OPERATION_ALLOCATE);
    if (slb_timing_end(pool, &timing, 1))
        slb_breaker_failed(pool, true);
    if (timing.started != 0 && !slb_in_flight())
        slb_note_peak_sampled(pool, timing.started);
    if (searched)
        slb_search_notify(pool, &found, SLABBY_OK);
    return SLABBY_OK;
}

SLB_PUBLIC slabby_status slabby_lease_allocate(slabby_ref *out_ref, slabby_allocator *allocator,
                                               uint64_t address) {
    SLB_HOLD_HANDLE(allocator);
    struct slabby_allocator *pool = slb_pool_of(allocator);
    struct slb_lease *lease = pool == NULL ? NULL : slb_lease_at(pool, address);
    uint64_t word, probe;
    uint32_t id;
    if (pool == NULL || out_ref == NULL)
        return SLABBY_INVALID_ARGUMENT;
    slabby_status status = lease_allocate(pool, lease, SLABBY_SLAB_STATE_LIVE, &id, &word, &probe);
    if (status == SLABBY_OK)
        *out_ref = slb_ref_issued(pool, word & ~(uint64_t)SLB_WORD_GUARDED, id);
    return status == SLABBY_OK ? status
                               : slb_allocation_failed(pool, SLABBY_AUDIT_OPERATION_ALLOCATE, status);
}

/* A try that finds nothing is neither counted nor a failure: the caller waits next, and that call counts its end. */
SLB_PUBLIC slabby_status slabby_lease_try(slabby_ref *out_ref, slabby_allocator *allocator,
                                          uint64_t address) {
    SLB_HOLD_HANDLE(allocator);
    struct slabby_allocator *pool = slb_pool_of(allocator);
    uint64_t word, probe;
    uint32_t id;
    if (pool == NULL || out_ref == NULL)
        return SLABBY_INVALID_ARGUMENT;
    slabby_status status =
        lease_allocate(pool, slb_lease_at(pool, address), SLABBY_SLAB_STATE_LIVE, &id, &word, &probe);
    if (status == SLABBY_OK)
        *out_ref = slb_ref_issued(pool, word & ~(uint64_t)SLB_WORD_GUARDED, id);
    else if (status == SLABBY_OUT_OF_MEMORY)
        slb_probe_return(pool, probe);
    return status == SLABBY_OK || status == SLABBY_OUT_OF_MEMORY
               ? status
               : slb_allocation_failed(pool, SLABBY_AUDIT_OPERATION_ALLOCATE, status);
}

SLB_PUBLIC slabby_status slabby_lease_allocate_fast(void **out_data, uint32_t *out_id,
                                                    slabby_allocator *allocator, uint64_t address) {
    SLB_HOLD_HANDLE(allocator);
    struct slabby_allocator *pool = slb_pool_of(allocator);
    struct slb_lease *lease = pool == NULL ? NULL : slb_lease_at(pool, address);
    uint64_t word, probe;
    if (pool == NULL || out_id == NULL || out_data == NULL)
        return SLABBY_INVALID_ARGUMENT;
    slabby_status status = lease_allocate(pool, lease, SLABBY_SLAB_STATE_LIVE_FAST, out_id, &word, &probe);
    if (status == SLABBY_OK)
        *out_data = slb_slab_data(pool, *out_id);
    return status == SLABBY_OK ? status
                               : slb_allocation_failed(pool, SLABBY_AUDIT_OPERATION_ALLOCATE_FAST, status);
}

/* ------------------------------------------------------------------------------------------------- releasing */

static void flush_lease(struct slabby_allocator *pool, struct slb_lease *lease) {
    struct slb_stripe *stripe = slb_enter(pool);
    if (atomic_load_explicit(&pool->gate.reasons, memory_order_seq_cst) == 0)
        slb_lease_flush(pool, stripe, lease);
    bool degrade_due = slb_degrade_is_due(pool, stripe);
    slb_leave(stripe);
    if (slb_unlikely(degrade_due) && !slb_in_flight())
        slb_degrade_poll(pool);
}

/* The word says free already, so the pool cannot end before this slab is given back: it counts as live. */
SLB_PUBLIC slabby_status slabby_lease_return(slabby_allocator *allocator, uint64_t address, uint64_t name,
                                             int32_t by_id) {
    SLB_HOLD_HANDLE(allocator);
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL)
        return SLABBY_INVALID_ARGUMENT;
    if (!slb_pool_exists(pool))
        return slb_pool_closed_status(pool);
    uint32_t id = (uint32_t)(by_id != 0 ? name : slb_ref_relative(pool, name) & pool->id_mask);
    if (id >= pool->reserved)
        return slb_refuse(pool, SLABBY_INVALID_ARGUMENT);
    uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_relaxed);
    if (slb_word_state(word) != SLABBY_SLAB_STATE_FREE || slb_word_generation(pool->id_bits, word) == 0)
        return slb_refuse(pool, SLABBY_INVALID_ARGUMENT);
    struct slb_lease *lease = slb_lease_at(pool, address);
    if (lease != NULL)
        flush_lease(pool, lease);
    slabby_status status = slb_finish_release(pool, id, word, by_id != 0);
    return slb_likely(status == SLABBY_OK) ? status : slb_refuse(pool, status);
}
