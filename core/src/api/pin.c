/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pins: they forbid the release of a slab while its memory is in use. */
#include "api/call.h"
#include "api/release.h"
#include "protect/tools.h"
#include "ref.h"
#include "tiers/word_bias.h"

static SLB_COLD slabby_status refuse_pin(struct slabby_allocator *pool, slabby_ref ref) {
    SLB_HOLD(pool);
    return slb_ref_refusal(pool, ref, SLABBY_USE_AFTER_FREE);
}

/* Handles the last generation of a slab too. */
static SLB_COLD slabby_status pin_slow(struct slabby_allocator *pool, slabby_ref ref) {
    uint64_t word;
    uint32_t id;
    SLB_HOLD(pool);
    while (slb_pool_exists(pool) && slb_ref_live_word(pool, ref, &id, &word)) {
        if (slb_word_pins(word) == SLB_WORD_MAX_PINS)
            return SLABBY_TOO_MANY_PINS;
        if (slb_word_swap(pool, id, &word, slb_word_pinned(word)))
            return SLABBY_OK;
    }
    return refuse_pin(pool, ref);
}

static slabby_status pin(struct slabby_allocator *pool, slabby_ref ref) {
    uint64_t word;
    uint32_t id;
    if (slb_likely(slb_word_read_live(pool, ref, &id, &word)) && slb_word_pins(word) != SLB_WORD_MAX_PINS) {
        uint64_t pinned = slb_word_pinned(word);
        if (slb_bias_turn(pool, id, word, pinned) || slb_word_swap(pool, id, &word, pinned))
            return SLABBY_OK;
    }
    return pin_slow(pool, ref);
}

SLB_PUBLIC slabby_status slabby_pin(slabby_allocator *allocator, slabby_ref ref) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL)
        return SLABBY_INVALID_ARGUMENT;
    return slb_answered(pool, SLABBY_AUDIT_OPERATION_PIN, ref, pin(pool, ref));
}

/* Handles every state; the last pin of a dying slab carries out the release that was deferred. */
static SLB_COLD slabby_status unpin_slow(struct slabby_allocator *pool, slabby_ref ref) {
    uint64_t generation;
    uint32_t id;
    uint64_t word;
    if (!slb_ref_split(pool, ref, &generation, &id) || !slb_word_read(pool, id, &word))
        return refuse_pin(pool, ref);
    slb_tools_unpinning(pool, id);
    while (slb_word_generation(pool->id_bits, word) == generation && slb_word_is_out(word) &&
           slb_word_state(word) != SLABBY_SLAB_STATE_LIVE_FAST) {
        if (slb_word_pins(word) == 0)
            return SLABBY_INVALID_ARGUMENT;
        bool last = slb_word_state(word) == SLABBY_SLAB_STATE_DYING && slb_word_pins(word) == 1;
        uint64_t released = slb_word_released(pool, generation);
        if (slb_word_swap(pool, id, &word, last ? released : slb_word_unpinned(word)))
            return last ? slb_finish_release(pool, id, released, false) : SLABBY_OK;
    }
    return refuse_pin(pool, ref);
}

static slabby_status unpin(struct slabby_allocator *pool, slabby_ref ref) {
    uint64_t word;
    uint32_t id;
    if (slb_likely(slb_word_read_live(pool, ref, &id, &word)) && slb_word_pins(word) != 0) {
        uint64_t unpinned = slb_word_unpinned(word);
        slb_tools_unpinning(pool, id);
        if (slb_bias_turn(pool, id, word, unpinned) || slb_word_swap(pool, id, &word, unpinned))
            return SLABBY_OK;
    }
    return unpin_slow(pool, ref);
}

SLB_PUBLIC slabby_status slabby_unpin(slabby_allocator *allocator, slabby_ref ref) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL)
        return SLABBY_INVALID_ARGUMENT;
    return slb_answered(pool, SLABBY_AUDIT_OPERATION_UNPIN, ref, unpin(pool, ref));
}
