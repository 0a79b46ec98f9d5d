/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Many slabs in one call: allocated all or none, released one by one. */
#include "api/allocate.h"
#include "api/call.h"
#include "api/issue.h"
#include "api/release.h"
#include "observe/latency.h"
#include "protect/shuffle.h"
#include "resilience/breaker.h"
#include "resilience/degrade.h"
#include "resilience/grants.h"
#include "tiers/cpu_cache.h"
#include "tiers/gate.h"
#include "tiers/heap.h"
#include "tiers/in_flight.h"
#include "tiers/shards.h"
#include "tiers/word_bias.h"

#include <string.h>

struct batch_hits {
    uint64_t by_tier[SLB_TIER_COUNT];
};

/* Returns the slabs of an unfinished batch. They were not counted when taken and are not counted here. If another
 * thread finds every tier empty meanwhile, its answer is correct: the caller still demands these slabs. */
static void undo_batch(struct slabby_allocator *pool, const slabby_ref *ids, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        uint32_t id = (uint32_t)ids[i];
        if (id >= pool->reserved) {
            slb_heap_give(pool, id, true);
            continue;
        }
        slb_shards_push(pool, slb_os_cpu(), id);
        slb_gate_note_free(pool, 1);
    }
}

static slabby_status collect_batch(struct slabby_allocator *pool, struct slb_stripe *stripe,
                                   struct slb_search *search, slabby_ref *out_ids, uint64_t count,
                                   struct batch_hits *hits) {
    slb_count_ahead(&stripe->tentative, count);
    for (uint64_t i = 0; i < count; i++) {
        uint32_t id;
        enum slb_tier tier = SLB_TIER_CACHE;
        slabby_status status = SLABBY_OK;
        if (!slb_shuffled_take(pool, &id, false))
            status = slb_search_inside(pool, stripe, search, &id, &tier);
        if (status != SLABBY_OK) {
            undo_batch(pool, out_ids, i);
            slb_count(&stripe->undone, hits->by_tier[SLB_TIER_CACHE]);
            slb_count(&stripe->confirmed, count - hits->by_tier[SLB_TIER_CACHE]);
            return status;
        }
        hits->by_tier[tier]++;
        out_ids[i] = id;
    }
    for (uint32_t tier = SLB_TIER_CACHE + 1; tier < SLB_TIER_COUNT; tier++)
        slb_count(&stripe->hits[tier], hits->by_tier[tier]);
    slb_count(&stripe->confirmed, count);
    if (!search->nested && (count >= pool->batch || slb_peak_is_due(pool, stripe)))
        slb_note_peak(pool);
    return SLABBY_OK;
}

/* The values that are the same for all slabs. A copy stays in registers, because the compiler must assume that the
 * caller's arrays are part of the pool. */
struct issue {
    uint64_t ref_bias, stride, state;
    char *slabs;
    _Atomic uint64_t *words;
};

SLB_INLINE slabby_ref issue_one(const struct issue *issue, uint64_t id) {
    return issue->ref_bias + (slb_issue_word(&issue->words[id], issue->state) + id);
}

SLB_INLINE void issue_with_data(const struct issue *issue, uint64_t id, slabby_ref *out_ref,
                                void **out_data) {
    *out_data = issue->slabs + id * issue->stride; /* CPU caches hold no heap slabs */
    *out_ref = issue_one(issue, id);
}

static void issue_all(struct slabby_allocator *pool, const uint32_t *ids, uint64_t state,
                      slabby_ref *out_refs, void **out_datas, uint32_t count) {
    const struct issue issue = {.ref_bias = pool->ref_bias,
                                .stride = pool->stride,
                                .state = state,
                                .slabs = pool->slabs,
                                .words = pool->words};
    uint32_t i = 0;
    if (out_datas == NULL) {
        for (; i < count; i++)
            out_refs[i] = issue_one(&issue, ids[i]);
        return;
    }
    for (uint32_t fours = count / 4; fours != 0; fours--, i += 4) {
        issue_with_data(&issue, ids[i], &out_refs[i], &out_datas[i]);
        issue_with_data(&issue, ids[i + 1], &out_refs[i + 1], &out_datas[i + 1]);
        issue_with_data(&issue, ids[i + 2], &out_refs[i + 2], &out_datas[i + 2]);
        issue_with_data(&issue, ids[i + 3], &out_refs[i + 3], &out_datas[i + 3]);
    }
    for (; i < count; i++)
        issue_with_data(&issue, ids[i], &out_refs[i], &out_datas[i]);
}

/* A binding's leases release plain words alone, and what such a binding allocates here it releases there. relaxed: a
 * hint, because each word itself says whether it is biased. */
SLB_INLINE uint64_t bias_of_batch(struct slabby_allocator *pool, const struct slb_cpu_cache *cache) {
    if (slb_unlikely(atomic_load_explicit(&pool->leases, memory_order_relaxed) != NULL))
        return 0;
    uint64_t bias = slb_bias_here(cache);
    return slb_likely(bias != 0) ? bias : slb_bias_poll(pool, slb_os_cpu());
}

/* Takes all of the batch in one commit, if this CPU's cache holds that many and nothing acts on allocations. It updates
 * the peak and the sampling point while the slabs are in hand: once the last word says live, the pool may end. */
SLB_INLINE bool allocate_from_cache(struct slabby_allocator *pool, slabby_ref *out_refs, void **out_datas,
                                    uint64_t count) {
    uint32_t ids[SLB_CACHE_IDS];
    struct slb_cpu_cache *cache;
    if (count == 0 || count > SLB_CACHE_IDS || slb_unlikely(slb_degrade_is_on(pool)) ||
        slb_unlikely(!slb_rseq_take_batch(pool, &pool->caches, &pool->hot_cpus, ids, (uint32_t)count,
                                          count * SLB_CACHE_TAKE, &cache)))
        return false;
    slb_timing_catch_up(pool);
    if (count >= pool->batch && !slb_in_flight())
        slb_note_peak(pool);
    uint64_t bias = bias_of_batch(pool, cache);
    issue_all(pool, ids, bias | SLABBY_SLAB_STATE_LIVE, out_refs, out_datas, (uint32_t)count);
    return true;
}

/* Ids first, in the caller's array; references only once all are there. */
static slabby_status allocate_batch(struct slabby_allocator *pool, slabby_ref *out_refs, void **out_datas,
                                    uint64_t count) {
    slabby_status status;
    if (!slb_pool_exists(pool))
        return slb_pool_closed_status(pool);
    bool heap = atomic_load_explicit(&pool->heap.enabled, memory_order_relaxed) != 0;
    if (count == 0 || count > (uint64_t)slb_capacity(pool) + (heap ? pool->heap.limit : 0))
        return SLABBY_INVALID_BATCH_SIZE;
    struct slb_search search = slb_search_begin(pool);
    struct batch_hits hits;
    struct slb_timing timing = {0, 0};
    slb_timing_slow(pool, &timing);
    for (;;) {
        memset(&hits, 0, sizeof hits);
        struct slb_stripe *stripe = slb_enter(pool);
        status = collect_batch(pool, stripe, &search, out_refs, count, &hits);
        slb_leave(stripe);
        if (status == SLABBY_OUT_OF_MEMORY && slb_grants_revoke(pool) != 0)
            continue;
        if (status != SLB_SEARCH_AGAIN)
            break;
        slb_search_wait(pool);
    }
    slb_search_leave(pool);
    struct slb_found found = {
        .tier = hits.by_tier[SLB_TIER_HEAP] != 0 ? SLB_TIER_HEAP : SLB_TIER_CACHE,
        .degrade_due = slb_degrade_is_on(pool),
        .mark = search.mark,
        .probe = search.probe,
    };
    if (status != SLABBY_OK) {
        slb_search_notify(pool, &found, status);
        return status;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint32_t id = (uint32_t)out_refs[i];
        uint64_t word =
            slb_issue_protected(pool, id, SLABBY_SLAB_STATE_LIVE, SLABBY_AUDIT_OPERATION_ALLOCATE_BATCH);
        out_refs[i] = slb_ref_make(pool, slb_word_generation(pool->id_bits, word), id);
        if (out_datas != NULL)
            out_datas[i] = slb_slab_data(pool, id);
    }
    /* the weight of the CPU caches' samples already includes what these served */
    timing.weight = count - hits.by_tier[SLB_TIER_CACHE];
    if (slb_timing_end(pool, &timing, count))
        slb_breaker_failed(pool, true);
    slb_timing_catch_up(pool);
    slb_search_notify(pool, &found, SLABBY_OK);
    return SLABBY_OK;
}

static __attribute__((noinline)) slabby_status allocate_held(slabby_ref *out_refs, void **out_datas,
                                                             struct slabby_allocator *pool, uint64_t count) {
    SLB_HOLD(pool);
    slabby_status status = allocate_batch(pool, out_refs, out_datas, count);
    return status == SLABBY_OK ? status
                               : slb_allocation_failed(pool, SLABBY_AUDIT_OPERATION_ALLOCATE_BATCH, status);
}

SLB_PUBLIC slabby_status slabby_allocate_batch(slabby_ref *out_refs, void **out_datas,
                                               slabby_allocator *allocator, uint64_t count) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL || out_refs == NULL)
        return SLABBY_INVALID_ARGUMENT;
    if (slb_likely(allocate_from_cache(pool, out_refs, out_datas, count)))
        return SLABBY_OK;
    return allocate_held(out_refs, out_datas, pool, count);
}

SLB_PUBLIC slabby_status slabby_release_batch(uint64_t *out_released, slabby_allocator *allocator,
                                              const slabby_ref *refs, uint64_t count) {
    slabby_status first = SLABBY_OK;
    uint64_t released = 0, at = 0;
    if (out_released != NULL)
        *out_released = 0;
    if (slb_pool_of(allocator) == NULL || (refs == NULL && count > 0))
        return SLABBY_INVALID_ARGUMENT;
    while (at < count) {
        uint64_t run = slb_release_run(allocator, &refs[at], count - at);
        released += run;
        at += run;
        if (at == count)
            break;
        slabby_status status = slabby_release(allocator, refs[at++]);
        released += status == SLABBY_OK;
        if (first == SLABBY_OK)
            first = status;
    }
    if (out_released != NULL)
        *out_released = released;
    return first;
}
