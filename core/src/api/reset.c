/* SPDX-License-Identifier: GPL-3.0-or-later */
/* reset: every slab is released at once. */
#include "api/call.h"
#include "api/release.h"
#include "observe/events.h"
#include "pool/quiesce.h"
#include "ref.h"
#include "tiers/used_slabs.h"
#include "tiers/word_bias.h"

static bool anything_pinned(struct slabby_allocator *pool, uint32_t limit) {
    for (uint32_t id = slb_next_used(pool, 0); id < limit; id = slb_next_used(pool, id + 1))
        if (slb_word_pins(atomic_load_explicit(&pool->words[id], memory_order_acquire)) != 0)
            return true;
    return false;
}

/* Releases each slab by the same compare-and-swap as a release by its user, so exactly one of the two succeeds. If a
 * pin was added after the check, slb_release_deferred defers the release. */
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

static slabby_status reset(struct slabby_allocator *pool) {
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

SLB_PUBLIC slabby_status slabby_reset(slabby_allocator *allocator) {
    SLB_HOLD_HANDLE(allocator);
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL)
        return SLABBY_INVALID_ARGUMENT;
    if (!slb_pool_exists(pool))
        return slb_refuse(pool, slb_pool_closed_status(pool));
    uint64_t mark = slb_events_mark(pool);
    slabby_status status = reset(pool);
    slb_events_deliver(pool, mark);
    return slb_answered(pool, SLABBY_AUDIT_OPERATION_RESET, 0, status);
}
