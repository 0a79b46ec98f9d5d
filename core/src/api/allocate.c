/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The steps of an allocation: CPU cache, depot, shards, gate, heap. slabby_allocate is the hot path; it leaves all
 * other cases to allocate_slow, above it. */
#include "api/allocate.h"

#include "api/call.h"
#include "api/issue.h"
#include "api/refill.h"
#include "api/single.h"
#include "api/timed.h"
#include "observe/audit_record.h"
#include "observe/counters.h"
#include "observe/events.h"
#include "observe/latency.h"
#include "os/os.h"
#include "os/trace.h"
#include "protect/bit_guard.h"
#include "protect/free_ids.h"
#include "protect/guard_slots.h"
#include "protect/shuffle.h"
#include "resilience/breaker.h"
#include "resilience/degrade.h"
#include "resilience/fork.h"
#include "resilience/grants.h"
#include "resilience/waiters.h"
#include "tiers/cpu_cache.h"
#include "tiers/gate.h"
#include "tiers/heap.h"
#include "tiers/in_flight.h"
#include "tiers/word_bias.h"

/* ---------------------------------------------------------------------------------------------- the search */

static slabby_status from_heap(struct slabby_allocator *pool, uint32_t *out_id, enum slb_tier *out_tier) {
    *out_tier = SLB_TIER_HEAP;
    return slb_heap_take(pool, out_id);
}

SLB_PRIVATE struct slb_search slb_search_begin(struct slabby_allocator *pool) {
    struct slb_search search = {.nested = slb_in_flight(), .mark = slb_events_mark(pool)};
    if (slb_unlikely(atomic_load_explicit(&pool->timing.limit_ticks, memory_order_relaxed) != 0))
        search.started = slb_os_ticks();
    return search;
}

/* Inside slb_enter. Every round either finds a slab, proves that there is none, or follows a change that another
 * thread made. */
SLB_PRIVATE slabby_status slb_search_inside(struct slabby_allocator *pool, struct slb_stripe *stripe,
                                            struct slb_search *search, uint32_t *out_id,
                                            enum slb_tier *out_tier) {
    const bool nested = search->nested;
    bool drained = false;
    for (uint32_t attempt = 0;; attempt++) {
        /* seq_cst: behind the increment of slb_enter, pairs with the reasons that slb_gate_close sets */
        uint32_t gate = atomic_load_explicit(&pool->gate.reasons, memory_order_seq_cst);
        if (slb_unlikely((gate & SLB_GATE_CLOSED) != 0 || !slb_pool_exists(pool)))
            return SLABBY_CLOSED;
        if (slb_unlikely(gate & (SLB_GATE_RESETTING | SLB_GATE_FORKED)))
            return nested ? SLABBY_BUSY : SLB_SEARCH_AGAIN;
        if (slb_unlikely((gate & SLB_GATE_BREAKER) != 0 && search->probe == 0 &&
                         !slb_breaker_admits(pool, &search->probe)))
            return SLABBY_CIRCUIT_BREAKER_OPEN;
        if (slb_unlikely(gate & SLB_GATE_SERVE)) {
            slb_pool_run_deferred(pool); /* first come, first served */
            gate = atomic_load_explicit(&pool->gate.reasons, memory_order_seq_cst);
        }
        bool may_take = (gate & ~(uint32_t)(SLB_GATE_SCARCE | SLB_GATE_PAUSE | SLB_GATE_BREAKER)) == 0;
        if (may_take && (gate == 0 ? slb_refill(pool, stripe, out_id, out_tier)
                                   : slb_take_free(pool, stripe, out_id, out_tier))) {
            if (drained)
                *out_tier = SLB_TIER_GATE;
            return SLABBY_OK;
        }
        if (slb_unlikely(slb_latency_is_spent(pool, search->started)))
            return SLABBY_LATENCY_EXCEEDED;
        switch (slb_gate_prove_empty(pool, nested)) {
        case SLB_PROOF_EMPTY:
            slb_note_peak(pool);
            return from_heap(pool, out_id, out_tier);
        case SLB_PROOF_DRAINED:
            drained = true;
            break;
        case SLB_PROOF_MOVED:
            slb_os_wait_a_little(attempt);
            break;
        case SLB_PROOF_WAIT:
            return nested ? SLABBY_BUSY : SLB_SEARCH_AGAIN;
        }
    }
}

/* Maintenance and rebuilding wait until every operation inside has left, so allocations wait outside. */
SLB_PRIVATE void slb_search_wait(struct slabby_allocator *pool) {
    slb_fork_check(pool);
    for (uint32_t attempt = 0;
         atomic_load_explicit(&pool->gate.reasons, memory_order_acquire) & SLB_GATE_RESETTING; attempt++)
        slb_os_wait_a_little(attempt);
}

/* Runs the work that is due after an operation that may have brought slabs back has left. seq_cst: after the pushes,
 * see resilience/waiters.h. */
SLB_PRIVATE void slb_search_leave(struct slabby_allocator *pool) {
    if (slb_unlikely(atomic_load_explicit(&pool->gate.reasons, memory_order_seq_cst) & SLB_GATE_POLL))
        slb_pool_run_deferred(pool);
}

/* A probe that succeeds closes the breaker. */
static void note_success(struct slabby_allocator *pool) {
    if (slb_unlikely(atomic_load_explicit(&pool->breaker.state, memory_order_relaxed) ==
                     SLABBY_BREAKER_STATE_HALF_OPEN))
        slb_breaker_succeeded(pool);
}

SLB_PRIVATE SLB_COLD void slb_search_notify(struct slabby_allocator *pool, const struct slb_found *found,
                                            slabby_status status) {
    bool refused = status == SLABBY_OUT_OF_MEMORY;
    bool heap = status == SLABBY_OK && found->tier == SLB_TIER_HEAP;
    slb_events_deliver(pool, found->mark);
    if (status == SLABBY_OK)
        note_success(pool);
    else if (!slb_breaker_counts(status) && slb_pool_exists(pool))
        slb_probe_return(pool, found->probe);
    if (slb_unlikely(found->degrade_due || ((refused || heap) && slb_degrade_is_on(pool))))
        slb_degrade_poll(pool);
    if (slb_unlikely(refused || found->tier == SLB_TIER_HEAP))
        slb_event_exhausted(pool, refused);
}

/* In a hold of a pool that exists. */
static slabby_status search_held(struct slabby_allocator *pool, uint32_t *out_id, bool fast,
                                 struct slb_found *out_found) {
    slabby_status status;
    struct slb_search search = slb_search_begin(pool);
    out_found->mark = search.mark;
    for (;;) {
        struct slb_stripe *stripe = slb_enter(pool);
        status = slb_search_inside(pool, stripe, &search, out_id, &out_found->tier);
        if (status == SLABBY_OK) {
            if (slb_unlikely(out_found->sampled))
                slb_count_ahead(&stripe->sampled[out_found->tier], 1);
            if (fast)
                slb_count_ahead(&stripe->fast_taken, 1);
            slb_count(&stripe->hits[out_found->tier], 1);
            if (!search.nested && slb_peak_is_due(pool, stripe))
                slb_note_peak(pool);
        }
        out_found->degrade_due = slb_degrade_is_due(pool, stripe);
        slb_leave(stripe);
        if (status == SLABBY_OUT_OF_MEMORY && slb_grants_revoke(pool) != 0)
            continue;
        if (status != SLB_SEARCH_AGAIN)
            break;
        slb_search_wait(pool);
    }
    out_found->probe = search.probe;
    slb_search_leave(pool);
    SLB_TRACE(slow, pool, status, status == SLABBY_OK ? out_found->tier : 0);
    if (status != SLABBY_OK)
        slb_search_notify(pool, out_found, status);
    return status;
}

SLB_PRIVATE SLB_COLD slabby_status slb_search(struct slabby_allocator *pool, uint32_t *out_id, bool fast,
                                              struct slb_found *out_found) {
    SLB_HOLD(pool);
    return slb_pool_exists(pool) ? search_held(pool, out_id, fast, out_found) : slb_pool_closed_status(pool);
}

/* ----------------------------------------------------------------------------------------- allocate */

/* Reports to the breaker what counts as a failure of the pool. */
SLB_PRIVATE slabby_status slb_allocation_failed(struct slabby_allocator *pool, int32_t operation,
                                                slabby_status status) {
    SLB_HOLD(pool);
    if (slb_breaker_counts(status) && slb_pool_exists(pool))
        slb_breaker_failed(pool, false);
    return slb_answered(pool, operation, 0, status);
}

/* The word says live already, and another thread may have reset the pool and destroyed it. */
static SLB_COLD void note_violation(struct slabby_allocator *pool) {
    SLB_HOLD(pool);
    if (slb_pool_exists(pool))
        slb_breaker_failed(pool, true);
}

/* The slab is in hand until its word says live, so the latency is noted right before. Answers the word before the
 * change, with SLB_WORD_GUARDED if the slab lies on a guard slot. */
static uint64_t issue_taken(struct slabby_allocator *pool, uint32_t id, uint32_t state, uint64_t guarded,
                            const struct slb_timing *timing) {
    bool fast = state == SLABBY_SLAB_STATE_LIVE_FAST;
    uint64_t bias = 0;
    /* only the release of a slab at its ordinary address handles a bias */
    if (guarded == 0 && id < pool->reserved)
        bias = slb_bias_poll(pool, slb_os_cpu());
    slb_issue_prepare(pool, id, state,
                      fast ? SLABBY_AUDIT_OPERATION_ALLOCATE_FAST : SLABBY_AUDIT_OPERATION_ALLOCATE);
    bool slow = slb_timing_end(pool, timing, 1);
    if (timing->started != 0 && !slb_in_flight())
        slb_note_peak_sampled(pool, timing->started);
    uint64_t word = slb_issue(pool, id, state | bias | guarded);
    if (slb_unlikely(slow))
        note_violation(pool);
    return word | guarded;
}

static __attribute__((noinline)) slabby_status take_searching(struct slabby_allocator *pool, uint32_t state,
                                                              uint32_t *out_id, uint64_t *out_word,
                                                              uint64_t *out_probe,
                                                              struct slb_timing *timing) {
    struct slb_found found = {.tier = SLB_TIER_CACHE, .sampled = slb_guard_is_on(pool)};
    SLB_HOLD(pool);
    if (!slb_pool_exists(pool))
        return slb_pool_closed_status(pool);
    slb_timing_search(pool, timing);
    slabby_status status = search_held(pool, out_id, state == SLABBY_SLAB_STATE_LIVE_FAST, &found);
    *out_probe = found.probe;
    if (status != SLABBY_OK)
        return status;
    uint64_t guarded = 0;
    if (slb_unlikely(found.sampled))
        guarded = slb_guard_sample(pool, *out_id, found.tier, 1);
    *out_word = issue_taken(pool, *out_id, state, guarded, timing);
    if (slb_pool_exists(pool))
        slb_search_notify(pool, &found, SLABBY_OK);
    return SLABBY_OK;
}

/* Takes a slab from the CPU cache, and times the allocation if that is due. */
static bool take_cached(struct slabby_allocator *pool, uint32_t *out_id, bool fast,
                        struct slb_timing *out_timing) {
    struct slb_due due = slb_timing_if_due(pool);
    if (!slb_shuffled_take(pool, out_id, fast))
        return false;
    *out_timing = slb_timing_begin(pool, &due);
    return true;
}

/* In a hold, because the portable backend writes to its cache before it has a slab in hand, and so do the counters of
 * guard slots. */
static bool take_cached_held(struct slabby_allocator *pool, uint32_t *out_id, bool fast,
                             struct slb_timing *out_timing, bool *out_sampled) {
    SLB_HOLD(pool);
    if (!slb_pool_exists(pool))
        return false;
    struct slb_due due = slb_timing_if_due(pool);
    *out_sampled = due.due && slb_guard_is_on(pool);
    if (slb_unlikely(*out_sampled))
        slb_count_ahead(&slb_stripe_here(pool)->sampled[SLB_TIER_CACHE], 1);
    if (slb_shuffled_take(pool, out_id, fast)) {
        *out_timing = slb_timing_begin(pool, &due);
        return true;
    }
    if (slb_unlikely(*out_sampled))
        slb_count(&slb_stripe_here(pool)->unguarded[SLB_TIER_CACHE], 1);
    return false;
}

/* Everything but the untimed hit in a CPU cache of the rseq backend. A refusal is not counted yet. */
SLB_PRIVATE slabby_status slb_take_slab(struct slabby_allocator *pool, uint32_t state, uint32_t *out_id,
                                        uint64_t *out_word, uint64_t *out_probe) {
    bool fast = state == SLABBY_SLAB_STATE_LIVE_FAST;
    struct slb_timing timing = {0, 0};
    *out_probe = 0;
    if (!slb_pool_exists(pool))
        return slb_pool_closed_status(pool);
    bool held = pool->backend == SLABBY_CPU_CACHE_BACKEND_PORTABLE || slb_guard_is_on(pool);
    bool sampled = false;
    bool taken = held ? take_cached_held(pool, out_id, fast, &timing, &sampled)
                      : take_cached(pool, out_id, fast, &timing);
    if (!taken)
        return take_searching(pool, state, out_id, out_word, out_probe, &timing);
    uint64_t guarded =
        slb_unlikely(sampled) ? slb_guard_sample(pool, *out_id, SLB_TIER_CACHE, timing.weight) : 0;
    *out_word = issue_taken(pool, *out_id, state, guarded, &timing);
    return SLABBY_OK;
}

static __attribute__((noinline)) slabby_status take_or_refuse(struct slabby_allocator *pool, uint32_t state,
                                                              uint32_t *out_id, uint64_t *out_word) {
    bool fast = state == SLABBY_SLAB_STATE_LIVE_FAST;
    uint64_t probe; /* its failure opens the breaker again */
    slb_rearrange_if_due(pool);
    slabby_status status = slb_take_slab(pool, state, out_id, out_word, &probe);
    return slb_likely(status == SLABBY_OK)
               ? status
               : slb_allocation_failed(
                     pool, fast ? SLABBY_AUDIT_OPERATION_ALLOCATE_FAST : SLABBY_AUDIT_OPERATION_ALLOCATE,
                     status);
}

/* The address of a slab whose word already says live: another thread may have reset the pool and destroyed it. */
static void *data_of_issued(struct slabby_allocator *pool, uint32_t id, uint64_t word) {
    if (slb_likely(id < pool->reserved && !slb_word_is_guarded(word)))
        return pool->slabs + (uint64_t)id * pool->stride;
    SLB_HOLD(pool);
    return slb_pool_exists(pool) ? slb_data_elsewhere(pool, id) : NULL;
}

/* For a slab at its ordinary address in the pool: neither on the heap nor on a guard slot. */
SLB_INLINE slabby_status hand_out_own(struct slabby_allocator *pool, uint64_t id, uint64_t word,
                                      slabby_ref *out_ref, void **out_data) {
    *out_ref = slb_ref_issued(pool, word, id);
    if (slb_likely(out_data != NULL))
        *out_data = pool->slabs + id * pool->stride;
    return SLABBY_OK;
}

static void hand_out(struct slabby_allocator *pool, uint32_t id, uint64_t word, slabby_ref *out_ref,
                     void **out_data) {
    *out_ref = slb_ref_issued(pool, word & ~(uint64_t)SLB_WORD_GUARDED, id);
    if (out_data != NULL)
        *out_data = data_of_issued(pool, id, word);
}

static __attribute__((noinline)) slabby_status allocate_slow(slabby_ref *out_ref, void **out_data,
                                                             struct slabby_allocator *pool) {
    uint64_t word;
    uint32_t id;
    slabby_status status = take_or_refuse(pool, SLABBY_SLAB_STATE_LIVE, &id, &word);
    if (status == SLABBY_OK)
        hand_out(pool, id, word, out_ref, out_data);
    return status;
}

/* The tail of an allocation whose id came from the CPU cache, with every protection. */
static __attribute__((noinline)) slabby_status
issue_slow(slabby_ref *out_ref, void **out_data, struct slabby_allocator *pool, uint64_t id, uint64_t state) {
    uint64_t word = slb_issue_protected(pool, (uint32_t)id, state, SLABBY_AUDIT_OPERATION_ALLOCATE);
    hand_out(pool, (uint32_t)id, word, out_ref, out_data);
    return SLABBY_OK;
}

/* The same if an audit record is the only extra work. */
static __attribute__((noinline)) slabby_status issue_audited(slabby_ref *out_ref, void **out_data,
                                                             struct slabby_allocator *pool, uint64_t id,
                                                             uint64_t state) {
    /* relaxed: slb_issue acquires; a free slab's word is this thread's */
    slabby_ref ref = slb_ref_issued(pool, atomic_load_explicit(&pool->words[id], memory_order_relaxed), id);
    slb_record_hand_over(pool, SLABBY_AUDIT_OPERATION_ALLOCATE, (uint32_t)id, ref, SLABBY_OK);
    (void)slb_issue(pool, id, state);
    *out_ref = ref;
    if (slb_likely(out_data != NULL))
        *out_data = pool->slabs + id * pool->stride;
    return SLABBY_OK;
}

/* The same if patterns, of any size, are the only extra work. */
static __attribute__((noinline)) slabby_status issue_patterned(slabby_ref *out_ref, void **out_data,
                                                               struct slabby_allocator *pool, uint64_t id,
                                                               uint64_t state) {
    unsigned char *data = (unsigned char *)pool->slabs + id * pool->stride;
    /* acquire: as in slb_issue, ahead of the writing */
    uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_acquire);
    slb_sides_write(pool, data, slb_pattern_seed_of(pool, word + id));
    *out_ref = slb_ref_issued(pool, slb_issue(pool, id, state), id);
    if (slb_likely(out_data != NULL))
        *out_data = data;
    return SLABBY_OK;
}

static __attribute__((noinline)) slabby_status allocate_timed(slabby_ref *out_ref, void **out_data,
                                                              struct slabby_allocator *pool) {
    uint64_t word;
    uint32_t id;
    bool slow;
    if (slb_unlikely(!slb_take_timed(pool, SLABBY_SLAB_STATE_LIVE, &id, &word, &slow)))
        return allocate_slow(out_ref, out_data, pool);
    (void)hand_out_own(pool, id, word, out_ref, out_data);
    if (slb_unlikely(slow))
        note_violation(pool);
    return SLABBY_OK;
}

/* An untimed hit in a CPU cache of the portable backend. */
static __attribute__((noinline)) slabby_status allocate_portable(slabby_ref *out_ref, void **out_data,
                                                                 struct slabby_allocator *pool) {
    uint32_t id;
    /* relaxed: an option that changes meanwhile acts on the next allocation */
    if (slb_unlikely((atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_ON_ALLOCATE) !=
                         0 ||
                     !slb_portable_take_untimed(pool, &id)))
        return allocate_slow(out_ref, out_data, pool);
    return hand_out_own(pool, id, slb_issue(pool, id, SLABBY_SLAB_STATE_LIVE), out_ref, out_data);
}

/* In a pool without CPU caches, whose shards hold no heap slabs. */
SLB_INLINE bool take_single(slabby_ref *out_ref, void **out_data, struct slabby_allocator *pool) {
    uint32_t id;
    if (slb_unlikely(!slb_take_singly(pool, &id)))
        return false;
    (void)hand_out_own(pool, id, slb_issue(pool, id, SLABBY_SLAB_STATE_LIVE), out_ref, out_data);
    return true;
}

static __attribute__((noinline)) slabby_status allocate_single(slabby_ref *out_ref, void **out_data,
                                                               struct slabby_allocator *pool) {
    return slb_likely(take_single(out_ref, out_data, pool)) ? SLABBY_OK
                                                            : allocate_slow(out_ref, out_data, pool);
}

/* Off the inline path: a protection acts on allocations, or the CPU cache did not serve. Patterns alone and
 * audit records alone are written here, everything else in issue_slow. */
static SLB_HOT __attribute__((noinline)) slabby_status allocate_aside(slabby_ref *out_ref, void **out_data,
                                                                      struct slabby_allocator *pool) {
    struct slb_cpu_cache *cache;
    uint64_t id;
    /* relaxed: an option that changes meanwhile acts on the next allocation */
    if (slb_unlikely(atomic_load_explicit(&pool->hot_cpus, memory_order_relaxed) != 0))
        return allocate_timed(out_ref, out_data, pool);
    if (slb_unlikely(!slb_rseq_take_untimed(pool, &pool->rseq_cpus, &id, &cache)))
        return slb_takes_singles(pool) ? allocate_single(out_ref, out_data, pool)
               : pool->backend == SLABBY_CPU_CACHE_BACKEND_PORTABLE
                   ? allocate_portable(out_ref, out_data, pool)
                   : allocate_slow(out_ref, out_data, pool);
    uint64_t state = slb_bias_here(cache) | SLABBY_SLAB_STATE_LIVE;
    /* relaxed: as above; patterns are on from the creation of the pool or never, so none is missed */
    uint32_t protect = atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_ON_ALLOCATE;
    if (slb_unlikely(protect != SLB_PROTECT_BIT_GUARD))
        return protect == SLB_PROTECT_AUDIT ? issue_audited(out_ref, out_data, pool, id, state)
                                            : issue_slow(out_ref, out_data, pool, id, state);
    if (slb_unlikely(!slb_sides_are_usual(pool)))
        return issue_patterned(out_ref, out_data, pool, id, state);
    unsigned char *data = (unsigned char *)pool->slabs + id * pool->stride;
    /* acquire: as in slb_issue, ahead of the writing */
    uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_acquire);
    slb_usual_sides_write(pool, data, slb_pattern_seed_of(pool, word + id));
    *out_ref = slb_ref_issued(pool, slb_issue(pool, id, state), id);
    if (slb_likely(out_data != NULL))
        *out_data = data;
    return SLABBY_OK;
}

/* An untimed hit in a CPU cache of the rseq backend: most allocations need no more. */
SLB_INLINE bool take_quickly(slabby_ref *out_ref, void **out_data, struct slabby_allocator *pool) {
    struct slb_cpu_cache *cache;
    uint64_t id;
    if (slb_unlikely(!slb_rseq_take_untimed(pool, &pool->hot_cpus, &id, &cache)))
        return false;
    uint64_t word = slb_issue(pool, id, slb_bias_here(cache) + SLABBY_SLAB_STATE_LIVE);
    (void)hand_out_own(pool, id, word, out_ref, out_data); /* CPU caches hold no heap slabs */
    return true;
}

/* SLB_LINK_INLINE as slabby_release is. */
SLB_PUBLIC SLB_HOT SLB_LINK_INLINE slabby_status slabby_allocate(slabby_ref *out_ref, void **out_data,
                                                                 slabby_allocator *allocator) {
    if (slb_unlikely(!slb_is_pool_entry(allocator) || out_ref == NULL))
        return SLABBY_INVALID_ARGUMENT;
    if (slb_unlikely(!take_quickly(out_ref, out_data, allocator)))
        return allocate_aside(out_ref, out_data, allocator);
    return SLABBY_OK;
}

/* A try that finds nothing is neither counted nor a failure: the caller waits next, and that call counts its end. */
static __attribute__((noinline)) slabby_status try_slow(slabby_ref *out_ref, void **out_data,
                                                        struct slabby_allocator *pool) {
    uint64_t word, probe;
    uint32_t id;
    if (slb_takes_singles(pool) && take_single(out_ref, out_data, pool))
        return SLABBY_OK;
    slabby_status status = slb_take_slab(pool, SLABBY_SLAB_STATE_LIVE, &id, &word, &probe);
    if (status == SLABBY_OK)
        hand_out(pool, id, word, out_ref, out_data);
    else if (status == SLABBY_OUT_OF_MEMORY)
        slb_probe_return(pool, probe);
    return status == SLABBY_OK || status == SLABBY_OUT_OF_MEMORY
               ? status
               : slb_allocation_failed(pool, SLABBY_AUDIT_OPERATION_ALLOCATE, status);
}

SLB_PUBLIC slabby_status slabby_try_allocate(slabby_ref *out_ref, void **out_data,
                                             slabby_allocator *allocator) {
    if (slb_unlikely(!slb_is_pool_entry(allocator) || out_ref == NULL))
        return SLABBY_INVALID_ARGUMENT;
    if (slb_unlikely(!take_quickly(out_ref, out_data, allocator)))
        return try_slow(out_ref, out_data, allocator);
    return SLABBY_OK;
}

static __attribute__((noinline)) slabby_status allocate_within(slabby_ref *out_ref, void **out_data,
                                                               struct slabby_allocator *allocator,
                                                               uint64_t timeout_ns) {
    uint64_t word, probe;
    uint32_t id;
    if (slb_takes_singles(allocator) && take_single(out_ref, out_data, allocator))
        return SLABBY_OK;
    if (timeout_ns == 0)
        return allocate_slow(out_ref, out_data, allocator);
    slabby_status status = slb_take_slab(allocator, SLABBY_SLAB_STATE_LIVE, &id, &word, &probe);
    if (status == SLABBY_OUT_OF_MEMORY) {
        uint64_t now = slb_os_now_ns();
        status = slb_wait(allocator, timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns, &id);
        if (status == SLABBY_OK)
            word =
                slb_issue_protected(allocator, id, SLABBY_SLAB_STATE_LIVE, SLABBY_AUDIT_OPERATION_ALLOCATE);
        else
            slb_probe_return(allocator, probe);
    }
    if (status != SLABBY_OK)
        return slb_allocation_failed(allocator, SLABBY_AUDIT_OPERATION_ALLOCATE, status);
    hand_out(allocator, id, word, out_ref, out_data);
    return SLABBY_OK;
}

SLB_PUBLIC slabby_status slabby_allocate_timeout(slabby_ref *out_ref, void **out_data,
                                                 slabby_allocator *allocator, uint64_t timeout_ns) {
    if (slb_unlikely(!slb_is_pool_entry(allocator) || out_ref == NULL))
        return SLABBY_INVALID_ARGUMENT;
    if (slb_unlikely(!take_quickly(out_ref, out_data, allocator)))
        return allocate_within(out_ref, out_data, allocator, timeout_ns);
    return SLABBY_OK;
}

static __attribute__((noinline)) slabby_status allocate_fast_slow(void **out_data, uint32_t *out_id,
                                                                  struct slabby_allocator *pool) {
    uint64_t word;
    slabby_status status = take_or_refuse(pool, SLABBY_SLAB_STATE_LIVE_FAST, out_id, &word);
    if (status == SLABBY_OK)
        *out_data = data_of_issued(pool, *out_id, word);
    return status;
}

/* As allocate_timed. */
static __attribute__((noinline)) slabby_status allocate_fast_timed(void **out_data, uint32_t *out_id,
                                                                   struct slabby_allocator *pool) {
    uint64_t word;
    uint32_t id;
    bool slow;
    if (slb_unlikely(!slb_take_timed(pool, SLABBY_SLAB_STATE_LIVE_FAST, &id, &word, &slow)))
        return allocate_fast_slow(out_data, out_id, pool);
    *out_data = pool->slabs + (uint64_t)id * pool->stride;
    *out_id = id;
    if (slb_unlikely(slow))
        note_violation(pool);
    return SLABBY_OK;
}

static __attribute__((noinline)) slabby_status allocate_fast_uncounted(void **out_data, uint32_t *out_id,
                                                                       struct slabby_allocator *pool) {
    slb_cache_uncount_fast_taken(pool);
    return allocate_fast_timed(out_data, out_id, pool);
}

SLB_PUBLIC SLB_HOT slabby_status slabby_allocate_fast(void **out_data, uint32_t *out_id,
                                                      slabby_allocator *allocator) {
    struct slb_cpu_cache *cache;
    uint32_t id;
    if (slb_unlikely(!slb_is_pool_entry(allocator) || out_id == NULL || out_data == NULL))
        return SLABBY_INVALID_ARGUMENT;
    enum slb_rseq_result result = slb_cache_take_fast(allocator, &id, &cache);
    if (slb_unlikely(result != SLB_RSEQ_DONE))
        return result == SLB_RSEQ_COUNTED ? allocate_fast_uncounted(out_data, out_id, allocator)
                                          : allocate_fast_timed(out_data, out_id, allocator);
    (void)slb_issue(allocator, id, slb_bias_here(cache) + SLABBY_SLAB_STATE_LIVE_FAST);
    *out_data = allocator->slabs + (uint64_t)id * allocator->stride; /* CPU caches hold no heap slabs */
    *out_id = id;
    return SLABBY_OK;
}
