/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The last step of an allocation: the word of a slab that this thread has taken says live. */
#ifndef SLB_API_ISSUE_H
#define SLB_API_ISSUE_H

#include "observe/audit.h"
#include "protect/protect.h"
#include "ref.h"
#include "tiers/heap.h"

/* The name under which the caller will know a free slab: its next reference, or its id. */
SLB_INLINE uint64_t slb_name_of(struct slabby_allocator *pool, uint32_t id, uint64_t state) {
    uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_relaxed);
    return slb_word_state(state) == SLABBY_SLAB_STATE_LIVE_FAST
               ? id
               : slb_ref_make(pool, slb_word_generation(pool->id_bits, word), id);
}

/*
 * The slab leaves the free state, for LIVE or LIVE_FAST, with the bias of its word (word_bias.h). No other thread
 * may change the word before this store. The store releases it to threads that walk the words. The load acquires: it
 * pairs with the release swap of the thread that freed the slab, so what that thread did to the memory (zeroing) is
 * visible. A free word has no bit of `state`, so a sum serves, and takes one instruction less.
 */
SLB_INLINE uint64_t slb_issue_word(_Atomic uint64_t *entry, uint64_t state) {
    SLB_POINT(SLB_POINT_TAKEN);
    uint64_t word = atomic_load_explicit(entry, memory_order_acquire);
    SLB_ASSERT(slb_word_state(word) == SLABBY_SLAB_STATE_FREE && slb_word_pins(word) == 0);
    atomic_store_explicit(entry, word + state, memory_order_release);
    return word;
}

SLB_INLINE uint64_t slb_issue(struct slabby_allocator *pool, uint64_t id, uint64_t state) {
    return slb_issue_word(&pool->words[id], state);
}

/* The steps before slb_issue_word, off the inline path: runs the protections, and writes the audit record. */
SLB_INLINE void slb_issue_prepare(struct slabby_allocator *pool, uint32_t id, uint64_t state,
                                  int32_t operation) {
    if (slb_unlikely(id >= pool->reserved))
        slb_heap_clean(pool, id);
    slb_protect_issue(pool, id);
    if (slb_is_audited(pool))
        slb_audit_hand_over(pool, operation, id, slb_name_of(pool, id, state), SLABBY_OK);
}

SLB_INLINE uint64_t slb_issue_protected(struct slabby_allocator *pool, uint32_t id, uint64_t state,
                                        int32_t operation) {
    slb_issue_prepare(pool, id, state, operation);
    return slb_issue(pool, id, state);
}

#endif
