/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The journey to a slab: CPU cache, depot, shards, gate, heap. */
#ifndef SLB_ALLOCATE_H
#define SLB_ALLOCATE_H

#include "observe/audit.h"
#include "pool.h"
#include "protect/protect.h"
#include "ref.h"
#include "tiers/cpu_cache.h"

/* Where a slab was found, and what is still to be told of it. */
struct slb_found {
    enum slb_tier tier;
    bool degrade_due;
    uint64_t mark; /* events from here on that this thread raised */
};

/* One free id from any tier behind the CPU cache, counted. `fast` counts it as one by id too. */
SLB_PRIVATE slabby_status slb_find(struct slabby_allocator *pool, uint32_t *out_id, bool fast,
                                   struct slb_found *out_found);

/* Due after each slb_find that answered OK, as soon as the id is no longer this call's alone: a logger may look at the
 * whole pool, and would wait for an id that is in no list and not out either. */
SLB_PRIVATE SLB_COLD void slb_search_notify(struct slabby_allocator *pool, const struct slb_found *found);

/* One free id while the gate is closed, not counted. */
SLB_PRIVATE bool slb_take_free(struct slabby_allocator *pool, struct slb_stripe *stripe, uint32_t *out_id);

SLB_PRIVATE slabby_status slb_allocate_batch(struct slabby_allocator *pool, slabby_ref *out_refs,
                                             void **out_datas, uint64_t count);

/* What the caller will know a free slab by: its next reference, or its id. */
SLB_INLINE uint64_t slb_name_of(struct slabby_allocator *pool, uint32_t id, uint64_t state) {
    uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_relaxed);
    return slb_word_state(state) == SLABBY_SLAB_STATE_LIVE_FAST
               ? id
               : slb_ref_make(pool, slb_word_generation(pool->id_bits, word), id);
}

/*
 * The slab leaves the free state, for LIVE or LIVE_FAST, with who owns its word (word_bias.h): its word is ours
 * alone until this store, which releases it to those who walk the words. The load acquires: it pairs with the release
 * swap of whoever freed the slab, so that what they did to the memory before (zeroing) is done.
 */
SLB_INLINE uint64_t slb_issue(struct slabby_allocator *pool, uint32_t id, uint64_t state) {
    SLB_POINT(SLB_POINT_TAKEN);
    _Atomic uint64_t *entry = &pool->words[id];
    uint64_t word = atomic_load_explicit(entry, memory_order_acquire);
    SLB_ASSERT(slb_word_state(word) == SLABBY_SLAB_STATE_FREE && slb_word_pins(word) == 0);
    atomic_store_explicit(entry, word | state, memory_order_release);
    return word;
}

/* The same past the inline path: with what protections do before, and the record of the audit trail. */
SLB_INLINE uint64_t slb_issue_slowly(struct slabby_allocator *pool, uint32_t id, uint64_t state,
                                     int32_t operation) {
    slb_protect_issue(pool, id);
    if (slb_unlikely(atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_AUDIT))
        slb_audit_record(pool, operation, slb_name_of(pool, id, state), SLABBY_OK);
    return slb_issue(pool, id, state);
}

#endif
