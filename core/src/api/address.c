/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From an address to its slab and its pool, for callers that hold no reference. */
#include "pool/address.h"

#include "api/call.h"
#include "api/release.h"
#include "ref.h"
#include "resilience/fork.h"
#include "tiers/word_bias.h"

/* The slab that begins at an address, and the status that follows from its word. */
struct found {
    slabby_status status; /* OK: the slab is live */
    uint32_t id;
    uint64_t word;
};

static struct found judge(struct slabby_allocator *pool, uint32_t id, bool elsewhere, slabby_status stale) {
    struct found found = {SLABBY_OK, id, 0};
    if (!slb_word_read(pool, id, &found.word)) {
        found.status = slb_pool_closed_status(pool);
        return found;
    }
    uint32_t state = slb_word_state(found.word);
    bool live = state == SLABBY_SLAB_STATE_LIVE || state == SLABBY_SLAB_STATE_LIVE_FAST;
    bool used = state != SLABBY_SLAB_STATE_FREE || slb_word_generation(pool->id_bits, found.word) != 0;
    if (live && slb_word_is_guarded(found.word) != elsewhere) /* the slab's data lies elsewhere now */
        found.status = stale;
    else if (!live)
        found.status = used ? stale : SLABBY_INVALID_REFERENCE;
    return found;
}

static SLB_COLD struct found find_elsewhere(struct slabby_allocator *pool, uintptr_t address,
                                            slabby_status stale) {
    uint32_t id;
    SLB_HOLD(pool);
    if (!slb_pool_exists(pool))
        return (struct found){slb_pool_closed_status(pool), 0, 0};
    if (!slb_address_find_elsewhere(pool, address, &id))
        return (struct found){SLABBY_INVALID_REFERENCE, 0, 0};
    return judge(pool, id, id < pool->reserved, stale);
}

static struct found find(struct slabby_allocator *pool, uintptr_t address, slabby_status stale) {
    uint64_t id = slb_slab_at(pool, address);
    if (slb_likely(id < pool->reserved))
        return judge(pool, (uint32_t)id, false, stale);
    return find_elsewhere(pool, address, stale);
}

/* For everything off the short path: guarded slabs, heap slabs, slabs that are live by id, and refusals. */
static SLB_COLD slabby_status ref_of_slow(slabby_ref *out_ref, struct slabby_allocator *pool,
                                          uintptr_t address) {
    if (!slb_pool_exists(pool))
        return slb_pool_closed_status(pool);
    if (address == 0 || out_ref == NULL)
        return SLABBY_INVALID_ARGUMENT;
    struct found found = find(pool, address, SLABBY_USE_AFTER_FREE);
    if (found.status == SLABBY_OK && slb_word_state(found.word) == SLABBY_SLAB_STATE_LIVE_FAST)
        found.status = SLABBY_INVALID_REFERENCE;
    if (found.status != SLABBY_OK)
        return slb_answered(pool, SLABBY_AUDIT_OPERATION_ACCESS, 0, found.status);
    *out_ref = slb_ref_make(pool, slb_word_generation(pool->id_bits, found.word), found.id);
    return SLABBY_OK;
}

SLB_PUBLIC slabby_status slabby_ref_of(slabby_ref *out_ref, slabby_allocator *allocator,
                                       const void *pointer) {
    if (slb_unlikely(!slb_is_pool_entry(allocator)))
        return SLABBY_INVALID_ARGUMENT;
    uint64_t id = slb_slab_at(allocator, (uintptr_t)pointer);
    if (slb_unlikely(out_ref == NULL || id >= allocator->reserved))
        return ref_of_slow(out_ref, allocator, (uintptr_t)pointer);
    uint64_t word;
    if (slb_unlikely(slb_rseq_try_read(allocator, id, &word) != SLB_RSEQ_DONE ||
                     (word & (7u | SLB_WORD_GUARDED)) != SLABBY_SLAB_STATE_LIVE))
        return ref_of_slow(out_ref, allocator, (uintptr_t)pointer);
    *out_ref = slb_ref_issued(allocator, slb_word_without_pins(word) - SLABBY_SLAB_STATE_LIVE, id);
    return SLABBY_OK;
}

SLB_PUBLIC slabby_status slabby_release_data(slabby_allocator *allocator, const void *pointer) {
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL || pointer == NULL)
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    struct found found = find(pool, (uintptr_t)pointer, SLABBY_DOUBLE_DEALLOCATION);
    if (slb_unlikely(found.status != SLABBY_OK))
        return slb_answered(pool, SLABBY_AUDIT_OPERATION_RELEASE, 0, found.status);
    if (slb_word_state(found.word) == SLABBY_SLAB_STATE_LIVE_FAST)
        return slabby_deallocate_fast(allocator, found.id);
    return slabby_release(allocator,
                          slb_ref_make(pool, slb_word_generation(pool->id_bits, found.word), found.id));
}

SLB_PUBLIC slabby_status slabby_pool_of(slabby_allocator **out_allocator, const void *address) {
    if (out_allocator == NULL || address == NULL)
        return SLABBY_INVALID_ARGUMENT;
    struct slabby_allocator *pool = slb_address_pool((uintptr_t)address);
    if (pool == NULL)
        return SLABBY_INVALID_REFERENCE;
    *out_allocator = pool;
    return SLABBY_OK;
}
