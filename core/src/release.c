/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "release.h"

#include "protect/secure.h"
#include "tiers/depot.h"
#include "tiers/gate.h"
#include "tiers/heap.h"
#include "tiers/in_flight.h"
#include "tiers/shards.h"

/* ------------------------------------------------------------------------------------- into the tiers */

/* The cache is full: its oldest batch goes to the depot, or to the shards where no node is free. */
static bool flush_and_give(struct slabby_allocator *pool, struct slb_stripe *stripe, uint32_t id, bool fast) {
    uint32_t ids[SLB_CACHE_IDS];
    slb_move_begin(stripe);
    bool taken = slb_cache_take_batch(pool, ids, pool->batch);
    SLB_POINT(SLB_POINT_FLUSH);
    if (taken) {
        if (!slb_depot_push(pool, ids))
            for (uint32_t i = 0; i < pool->batch; i++)
                slb_shards_push(pool, slb_os_cpu(), ids[i]);
        slb_count(&stripe->cache_out, pool->batch);
    }
    slb_move_end(stripe);
    return taken && slb_cache_give(pool, id, fast);
}

static void give_slowly(struct slabby_allocator *pool, struct slb_stripe *stripe, uint32_t id, bool fast) {
    uint32_t gate = atomic_load_explicit(&pool->gate, memory_order_seq_cst);
    if (gate == 0 && pool->cache_max != 0 && flush_and_give(pool, stripe, id, fast))
        return;
    slb_shards_push(pool, slb_os_cpu(), id);
    slb_count(&stripe->releases, 1);
    slb_count(&stripe->fast_given, fast);
    if (gate != 0)
        slb_gate_note_free(pool, 1);
}

static SLB_COLD void give_inside(struct slabby_allocator *pool, uint32_t id, bool fast) {
    struct slb_stripe *stripe = slb_enter(pool);
    give_slowly(pool, stripe, id, fast);
    slb_leave(stripe);
    if (slb_unlikely(atomic_load_explicit(&pool->gate, memory_order_seq_cst) & SLB_GATE_CLOSED))
        slb_pool_settle(pool);
}

/* A slab that does not come back: counted, so that no capacity is lost silently. */
static SLB_COLD void keep_out(struct slabby_allocator *pool, uint32_t id, bool fast) {
    struct slb_stripe *stripe = slb_enter(pool);
    if (id >= pool->capacity) {
        slb_count(&pool->heap_retired, 1);
        slb_heap_give(pool, id, false);
    } else {
        slb_count(&pool->retired, 1);
    }
    slb_count(&stripe->releases, 1);
    slb_count(&stripe->fast_given, fast);
    slb_leave(stripe);
    if (atomic_load_explicit(&pool->gate, memory_order_seq_cst) & SLB_GATE_CLOSED)
        slb_pool_settle(pool);
}

static SLB_COLD void give_heap(struct slabby_allocator *pool, uint32_t id, bool fast) {
    struct slb_stripe *stripe = slb_enter(pool);
    slb_heap_give(pool, id, true);
    slb_count(&stripe->releases, 1);
    slb_count(&stripe->fast_given, fast);
    slb_leave(stripe);
    if (atomic_load_explicit(&pool->gate, memory_order_seq_cst) & SLB_GATE_CLOSED)
        slb_pool_settle(pool);
}

SLB_PRIVATE slabby_status slb_return_slab(struct slabby_allocator *pool, uint32_t id, bool fast) {
    uint32_t protect = atomic_load_explicit(&pool->protect, memory_order_relaxed);
    SLB_POINT(SLB_POINT_RELEASED);
    if (slb_unlikely(protect & SLB_PROTECT_SECURE))
        slb_secure_zero(slb_slab_data(pool, id), pool->slab_size);
    if (slb_unlikely(id >= pool->capacity))
        give_heap(pool, id, fast);
    else if (slb_unlikely(!slb_cache_give(pool, id, fast)))
        give_inside(pool, id, fast);
    return SLABBY_OK;
}

/* --------------------------------------------------------------------------------- the word decides */

static slabby_status finish(struct slabby_allocator *pool, uint32_t id, uint64_t new_word, bool fast) {
    if (slb_likely(slb_word_state(new_word) == SLABBY_SLAB_STATE_FREE))
        return slb_return_slab(pool, id, fast);
    if (atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_SECURE)
        slb_secure_zero(slb_slab_data(pool, id), pool->slab_size);
    keep_out(pool, id, fast);
    return SLABBY_OK;
}

/* One try to move a slab's word on. acq_rel: releases the owner's writes to whoever gets the slab next, acquires
 * those of others who held pins. */
static bool swap_word(struct slabby_allocator *pool, uint32_t id, uint64_t *word, uint64_t new_word) {
    return atomic_compare_exchange_strong_explicit(&pool->words[id], word, new_word, memory_order_acq_rel,
                                                   memory_order_acquire);
}

SLB_PRIVATE SLB_COLD slabby_status slb_release_slowly(struct slabby_allocator *pool, slabby_ref ref) {
    uint64_t word;
    uint32_t id;
    while (slb_pool_exists(pool) && slb_ref_live_word(pool, ref, &id, &word)) {
        if (slb_word_pins(word) != 0)
            return SLABBY_PINNED;
        uint64_t released = slb_word_released(pool, slb_word_generation(word));
        if (swap_word(pool, id, &word, released))
            return finish(pool, id, released, false);
    }
    return slb_ref_refusal(pool, ref, SLABBY_DOUBLE_DEALLOCATION);
}

SLB_PRIVATE slabby_status slb_release_deferred(struct slabby_allocator *pool, slabby_ref ref) {
    uint64_t word;
    uint32_t id;
    while (slb_pool_exists(pool) && slb_ref_live_word(pool, ref, &id, &word)) {
        if (slb_word_pins(word) == 0) {
            uint64_t released = slb_word_released(pool, slb_word_generation(word));
            if (swap_word(pool, id, &word, released))
                return finish(pool, id, released, false);
        } else if (swap_word(pool, id, &word, word + SLABBY_SLAB_STATE_DYING - SLABBY_SLAB_STATE_LIVE)) {
            return SLABBY_OK;
        }
    }
    return slb_ref_refusal(pool, ref, SLABBY_DOUBLE_DEALLOCATION);
}

SLB_PRIVATE slabby_status slb_release_fast(struct slabby_allocator *pool, uint32_t id) {
    if (!slb_pool_exists(pool))
        return slb_pool_absence(pool);
    if (id >= atomic_load_explicit(&pool->id_limit, memory_order_acquire))
        return SLABBY_INVALID_SLAB_ID;
    uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_relaxed);
    while (slb_word_state(word) == SLABBY_SLAB_STATE_LIVE_FAST) {
        uint64_t released = slb_word_released(pool, slb_word_generation(word));
        if (swap_word(pool, id, &word, released))
            return finish(pool, id, released, true);
    }
    return slb_word_is_out(word) ? SLABBY_INVALID_SLAB_ID : SLABBY_DOUBLE_DEALLOCATION;
}

/* ------------------------------------------------------------------------------------------------- pins */

SLB_PRIVATE slabby_status slb_pin(struct slabby_allocator *pool, slabby_ref ref) {
    uint64_t word;
    uint32_t id;
    while (slb_pool_exists(pool) && slb_ref_live_word(pool, ref, &id, &word)) {
        if (slb_word_pins(word) == SLB_WORD_MAX_PINS)
            return SLABBY_TOO_MANY_PINS;
        if (swap_word(pool, id, &word, word + SLB_WORD_PIN))
            return SLABBY_OK;
    }
    return slb_ref_refusal(pool, ref, SLABBY_USE_AFTER_FREE);
}

/* The last pin of a dying slab carries out the release that was deferred. */
SLB_PRIVATE slabby_status slb_unpin(struct slabby_allocator *pool, slabby_ref ref) {
    uint64_t generation;
    uint32_t id;
    if (!slb_pool_exists(pool) || !slb_ref_split(pool, ref, &generation, &id))
        return slb_ref_refusal(pool, ref, SLABBY_USE_AFTER_FREE);
    uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_relaxed);
    while (slb_word_generation(word) == generation && slb_word_is_out(word) &&
           slb_word_state(word) != SLABBY_SLAB_STATE_LIVE_FAST) {
        if (slb_word_pins(word) == 0)
            return SLABBY_INVALID_ARGUMENT;
        bool last = slb_word_state(word) == SLABBY_SLAB_STATE_DYING && slb_word_pins(word) == 1;
        uint64_t released = slb_word_released(pool, generation);
        if (swap_word(pool, id, &word, last ? released : word - SLB_WORD_PIN))
            return last ? finish(pool, id, released, false) : SLABBY_OK;
    }
    return slb_ref_refusal(pool, ref, SLABBY_USE_AFTER_FREE);
}
