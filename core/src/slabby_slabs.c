/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The front door for slabs: allocate, release, and what can be done with one reference. Its inline paths settle
 * all that a CPU's cache and an owned word settle; everything else is one call inward. */
#include <slabby/slabby.h>

#include "allocate.h"
#include "front.h"
#include "observe/labels.h"
#include "observe/latency.h"
#include "observe/look.h"
#include "os/os.h"
#include "protect/guard_slots.h"
#include "protect/protect.h"
#include "release.h"
#include "resilience/breaker.h"
#include "resilience/waiters.h"
#include "status.h"
#include "word_bias.h"

#include <inttypes.h>

/* ------------------------------------------------------------------------------------ allocate and release */

/* Everything but the untimed hit in a CPU cache of the rseq backend. A refusal is not counted yet. */
static slabby_status try_slowly(struct slabby_allocator *pool, uint32_t state, uint32_t *out_id,
                                uint64_t *out_word) {
    bool fast = state == SLABBY_SLAB_STATE_LIVE_FAST;
    if (!slb_pool_exists(pool))
        return slb_pool_closed_status(pool);
    uint64_t owner = slb_bias_poll(pool, slb_os_cpu());
    struct slb_timing timing = slb_timing_if_due(pool);
    uint64_t stands_for = timing.weight;
    struct slb_found found = {.tier = SLB_TIER_CACHE};
    bool searched = !slb_cache_take(pool, out_id, fast);
    if (searched) {
        slb_timing_slow(pool, &timing);
        slabby_status status = slb_find(pool, out_id, fast, &found);
        if (status != SLABBY_OK)
            return status;
        stands_for = stands_for == 0 ? 1 : stands_for;
    }
    slb_guard_sample(pool, *out_id, found.tier, stands_for);
    if (fast || *out_id >= pool->reserved)
        owner = 0; /* only slabby_release of a slab of the pool knows what to do with it */
    *out_word =
        slb_issue_slowly(pool, *out_id, state | owner,
                         fast ? SLABBY_AUDIT_OPERATION_ALLOCATE_FAST : SLABBY_AUDIT_OPERATION_ALLOCATE);
    slb_timing_end(pool, &timing, 1);
    if (searched)
        slb_search_notify(pool, &found);
    return SLABBY_OK;
}

/* What counts as a failure of the pool is told to the breaker. */
static slabby_status fail_allocation(struct slabby_allocator *pool, int32_t operation, slabby_status status) {
    if (status == SLABBY_OUT_OF_MEMORY || status == SLABBY_LATENCY_EXCEEDED)
        slb_breaker_failed(pool, false);
    return slb_answered(pool, operation, 0, status);
}

static __attribute__((noinline)) slabby_status take_slowly(struct slabby_allocator *pool, uint32_t state,
                                                           uint32_t *out_id, uint64_t *out_word) {
    bool fast = state == SLABBY_SLAB_STATE_LIVE_FAST;
    slabby_status status = try_slowly(pool, state, out_id, out_word);
    return slb_likely(status == SLABBY_OK)
               ? status
               : fail_allocation(
                     pool, fast ? SLABBY_AUDIT_OPERATION_ALLOCATE_FAST : SLABBY_AUDIT_OPERATION_ALLOCATE,
                     status);
}

static void hand_out(struct slabby_allocator *pool, uint32_t id, uint64_t word, slabby_ref *out_ref,
                     void **out_data) {
    *out_ref = slb_ref_issued(pool, word, id);
    if (out_data != NULL)
        *out_data = slb_slab_data(pool, id);
}

static __attribute__((noinline)) slabby_status allocate_slowly(slabby_ref *out_ref, void **out_data,
                                                               struct slabby_allocator *pool) {
    uint64_t word;
    uint32_t id;
    slabby_status status = take_slowly(pool, SLABBY_SLAB_STATE_LIVE, &id, &word);
    if (status == SLABBY_OK)
        hand_out(pool, id, word, out_ref, out_data);
    return status;
}

SLB_PUBLIC slabby_status slabby_allocate(slabby_ref *out_ref, void **out_data, slabby_allocator *allocator) {
    struct slb_cpu_cache *cache;
    uint32_t id;
    if (slb_unlikely(!slb_is_pool_entry(allocator) || out_ref == NULL))
        return SLABBY_INVALID_ARGUMENT;
    if (slb_unlikely(!slb_rseq_take_untimed(allocator, &id, &cache)))
        return allocate_slowly(out_ref, out_data, allocator);
    uint64_t word = slb_issue(allocator, id, slb_bias_here(cache) | SLABBY_SLAB_STATE_LIVE);
    *out_ref = slb_ref_issued(allocator, word, id);
    if (slb_likely(out_data != NULL))
        *out_data = allocator->slabs + (uint64_t)id * allocator->stride; /* CPU caches hold no heap slabs */
    return SLABBY_OK;
}

/* A try that finds nothing is no failure of the pool: only the end of the wait is. */
SLB_PUBLIC slabby_status slabby_allocate_timeout(slabby_ref *out_ref, void **out_data,
                                                 slabby_allocator *allocator, uint64_t timeout_ns) {
    uint64_t word;
    uint32_t id;
    if (timeout_ns == 0)
        return slabby_allocate(out_ref, out_data, allocator);
    if (!slb_is_pool_entry(allocator) || out_ref == NULL)
        return SLABBY_INVALID_ARGUMENT;
    slabby_status status = try_slowly(allocator, SLABBY_SLAB_STATE_LIVE, &id, &word);
    if (status == SLABBY_OUT_OF_MEMORY) {
        uint64_t now = slb_os_now_ns();
        status = slb_wait(allocator, timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns, &id);
        if (status == SLABBY_OK)
            word = slb_issue_slowly(allocator, id, SLABBY_SLAB_STATE_LIVE, SLABBY_AUDIT_OPERATION_ALLOCATE);
    }
    if (status == SLABBY_OK)
        hand_out(allocator, id, word, out_ref, out_data);
    return slb_concluded(allocator, SLABBY_AUDIT_OPERATION_ALLOCATE, 0, status);
}

SLB_PUBLIC slabby_status slabby_allocate_batch(slabby_ref *out_refs, void **out_datas,
                                               slabby_allocator *allocator, uint64_t count) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL || out_refs == NULL)
        return SLABBY_INVALID_ARGUMENT;
    slabby_status status = slb_allocate_batch(pool, out_refs, out_datas, count);
    return status == SLABBY_OK ? status
                               : fail_allocation(pool, SLABBY_AUDIT_OPERATION_ALLOCATE_BATCH, status);
}

static SLB_COLD slabby_status release_slowly(struct slabby_allocator *pool, slabby_ref ref) {
    return slb_concluded(pool, SLABBY_AUDIT_OPERATION_RELEASE, ref, slb_release_slowly(pool, ref));
}

/* The word says free already. Of its reference id and generation are found again: the hot path keeps nothing else. */
static __attribute__((noinline)) slabby_status return_slowly(struct slabby_allocator *pool, slabby_ref ref) {
    uint64_t relative = slb_ref_relative(pool, ref);
    slabby_status status =
        slb_return_slab(pool, (uint32_t)(relative & pool->id_mask), relative >> pool->id_bits, false);
    return slb_likely(status == SLABBY_OK) ? status : slb_refuse(pool, status);
}

/* The word is not owned here. A pool whose slabs are released on other CPUs than they were allocated on comes this way
 * each time. */
static __attribute__((noinline)) slabby_status release_shared(struct slabby_allocator *pool, slabby_ref ref) {
    uint64_t relative = slb_ref_relative(pool, ref);
    uint32_t id = (uint32_t)(relative & pool->id_mask);
    uint64_t live = relative - id + SLABBY_SLAB_STATE_LIVE;
    /* seq_cst, as swap_word in release.c: protections are read behind it, see protect/switches.c */
    if (slb_unlikely(!atomic_compare_exchange_strong_explicit(&pool->words[id], &live,
                                                              relative - id + pool->generation_step,
                                                              memory_order_seq_cst, memory_order_relaxed)))
        return release_slowly(pool, ref);
    SLB_POINT(SLB_POINT_RELEASED);
    if (slb_unlikely(atomic_load_explicit(&pool->protect, memory_order_seq_cst) != 0 ||
                     !slb_rseq_give_once(pool, id)))
        return return_slowly(pool, ref);
    return SLABBY_OK;
}

/* This CPU looked at the word in vain. */
static SLB_COLD slabby_status release_unowned(struct slabby_allocator *pool, slabby_ref ref) {
    slb_bias_note_plain(pool);
    return release_shared(pool, ref);
}

SLB_PUBLIC slabby_status slabby_release(slabby_allocator *allocator, slabby_ref ref) {
    if (slb_unlikely(!slb_is_pool_entry(allocator)))
        return SLABBY_INVALID_ARGUMENT;
    uint64_t relative = slb_ref_relative(allocator, ref);
    uint64_t id = relative & allocator->id_mask;
    if (slb_unlikely(relative >= allocator->ref_limit || id >= allocator->reserved))
        return release_slowly(allocator, ref);
    enum slb_rseq_result biased = slb_bias_release(allocator, id, relative - id);
    if (slb_unlikely(biased != SLB_RSEQ_DONE))
        return biased == SLB_RSEQ_REFUSED ? release_unowned(allocator, ref) : release_shared(allocator, ref);
    SLB_POINT(SLB_POINT_RELEASED);
    if (slb_unlikely(!slb_rseq_give_once(allocator, (uint32_t)id)))
        return return_slowly(allocator, ref);
    return SLABBY_OK;
}

SLB_PUBLIC slabby_status slabby_release_deferred(slabby_allocator *allocator, slabby_ref ref) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL)
        return SLABBY_INVALID_ARGUMENT;
    return slb_concluded(pool, SLABBY_AUDIT_OPERATION_RELEASE_DEFERRED, ref, slb_release_deferred(pool, ref));
}

SLB_PUBLIC slabby_status slabby_release_batch(uint64_t *out_released, slabby_allocator *allocator,
                                              const slabby_ref *refs, uint64_t count) {
    slabby_status first = SLABBY_OK;
    uint64_t released = 0;
    if (out_released != NULL)
        *out_released = 0;
    if (slb_pool_of(allocator) == NULL || (refs == NULL && count > 0))
        return SLABBY_INVALID_ARGUMENT;
    for (uint64_t i = 0; i < count; i++) {
        slabby_status status = slabby_release(allocator, refs[i]);
        released += status == SLABBY_OK;
        if (first == SLABBY_OK)
            first = status;
    }
    if (out_released != NULL)
        *out_released = released;
    return first;
}

SLB_PUBLIC slabby_status slabby_allocate_fast(void **out_data, uint32_t *out_id,
                                              slabby_allocator *allocator) {
    struct slb_cpu_cache *cache;
    uint64_t word;
    uint32_t id;
    if (slb_unlikely(!slb_is_pool_entry(allocator) || out_id == NULL || out_data == NULL))
        return SLABBY_INVALID_ARGUMENT;
    if (slb_likely(slb_rseq_take_untimed(allocator, &id, &cache))) {
        slb_cache_count_fast(allocator, true);
        slb_issue(allocator, id, SLABBY_SLAB_STATE_LIVE_FAST);
    } else {
        slabby_status status = take_slowly(allocator, SLABBY_SLAB_STATE_LIVE_FAST, &id, &word);
        if (status != SLABBY_OK)
            return status;
    }
    *out_data = slb_slab_data(allocator, id);
    *out_id = id;
    return SLABBY_OK;
}

SLB_PUBLIC slabby_status slabby_deallocate_fast(slabby_allocator *allocator, uint32_t id) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (slb_unlikely(pool == NULL))
        return SLABBY_INVALID_ARGUMENT;
    return slb_concluded(pool, SLABBY_AUDIT_OPERATION_DEALLOCATE_FAST, id, slb_release_fast(pool, id));
}

/* ----------------------------------------------------------------------------------- looking at a reference */

static SLB_COLD slabby_status refuse_access(struct slabby_allocator *pool, slabby_ref ref) {
    return slb_answered(pool, SLABBY_AUDIT_OPERATION_ACCESS, ref,
                        slb_ref_refusal(pool, ref, SLABBY_USE_AFTER_FREE));
}

SLB_PUBLIC slabby_status slabby_data(void **out_data, slabby_allocator *allocator, slabby_ref ref) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    uint64_t word;
    uint32_t id;
    if (slb_unlikely(pool == NULL || out_data == NULL))
        return SLABBY_INVALID_ARGUMENT;
    if (slb_unlikely(!slb_pool_exists(pool) || !slb_ref_live_word(pool, ref, &id, &word)))
        return refuse_access(pool, ref);
    void *data = slb_slab_data(pool, id);
    if (slb_unlikely(data == NULL)) /* a heap slab that another thread released this moment */
        return refuse_access(pool, ref);
    *out_data = data;
    return SLABBY_OK;
}

SLB_PUBLIC int32_t slabby_is_valid(slabby_allocator *allocator, slabby_ref ref) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    uint64_t word;
    uint32_t id;
    return pool != NULL && slb_pool_exists(pool) && slb_ref_live_word(pool, ref, &id, &word);
}

SLB_PUBLIC slabby_status slabby_id(uint32_t *out_id, slabby_allocator *allocator, slabby_ref ref) {
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    uint64_t generation;
    uint32_t id;
    if (pool == NULL || out_id == NULL)
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    if (!slb_ref_was_issued(pool, ref, &generation, &id))
        return slb_answered(pool, SLABBY_AUDIT_OPERATION_ACCESS, ref, SLABBY_INVALID_REFERENCE);
    *out_id = id;
    return SLABBY_OK;
}

SLB_PUBLIC slabby_status slabby_size(uint64_t *out_size, slabby_allocator *allocator) {
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL || out_size == NULL)
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    *out_size = pool->slab_size;
    return SLABBY_OK;
}

SLB_PUBLIC slabby_status slabby_ref_text(char *buffer, uint64_t capacity, uint64_t *out_length,
                                         slabby_allocator *allocator, slabby_ref ref) {
    struct slb_text text = {.buffer = buffer, .capacity = capacity};
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL || (buffer == NULL && capacity > 0))
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    status = slb_ref_text(&text, pool, ref);
    return status == SLABBY_OK ? slb_text_end(&text, out_length)
                               : slb_answered(pool, SLABBY_AUDIT_OPERATION_ACCESS, ref, status);
}

SLB_PUBLIC slabby_status slabby_pin(slabby_allocator *allocator, slabby_ref ref) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL)
        return SLABBY_INVALID_ARGUMENT;
    return slb_answered(pool, SLABBY_AUDIT_OPERATION_PIN, ref, slb_pin(pool, ref));
}

SLB_PUBLIC slabby_status slabby_unpin(slabby_allocator *allocator, slabby_ref ref) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL)
        return SLABBY_INVALID_ARGUMENT;
    return slb_answered(pool, SLABBY_AUDIT_OPERATION_UNPIN, ref, slb_unpin(pool, ref));
}

SLB_PUBLIC slabby_status slabby_set_label(slabby_allocator *allocator, slabby_ref ref, uint64_t label) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL)
        return SLABBY_INVALID_ARGUMENT;
    slabby_status status = slb_label_set(pool, ref, label);
    return slb_likely(status == SLABBY_OK) ? status
                                           : slb_answered(pool, SLABBY_AUDIT_OPERATION_ACCESS, ref, status);
}

SLB_PUBLIC slabby_status slabby_get_label(uint64_t *out_label, slabby_allocator *allocator, slabby_ref ref) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL || out_label == NULL)
        return SLABBY_INVALID_ARGUMENT;
    slabby_status status = slb_label_get(pool, ref, out_label);
    return slb_likely(status == SLABBY_OK) ? status
                                           : slb_answered(pool, SLABBY_AUDIT_OPERATION_ACCESS, ref, status);
}
