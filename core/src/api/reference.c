/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The queries about one reference. */
#include "api/call.h"
#include "observe/labels.h"
#include "observe/ref_text.h"
#include "ref.h"
#include "status.h"
#include "tiers/word_bias.h"

/* Heap slabs, slabs on guard slots, last generations, and references that are refused. */
static __attribute__((noinline)) slabby_status data_slow(void **out_data, struct slabby_allocator *pool,
                                                         slabby_ref ref) {
    uint64_t word;
    uint32_t id;
    SLB_HOLD(pool);
    if (slb_pool_exists(pool) && slb_ref_live_word(pool, ref, &id, &word)) {
        void *data = slb_slab_data_of(pool, id, word);
        if (slb_likely(data != NULL)) { /* null: a heap slab that another thread released this moment */
            *out_data = data;
            return SLABBY_OK;
        }
    }
    return slb_answered(pool, SLABBY_AUDIT_OPERATION_ACCESS, ref,
                        slb_ref_refusal(pool, ref, SLABBY_USE_AFTER_FREE));
}

SLB_PUBLIC slabby_status slabby_data(void **out_data, slabby_allocator *allocator, slabby_ref ref) {
    uint64_t word;
    uint32_t id;
    if (slb_unlikely(!slb_is_pool_entry(allocator) || out_data == NULL))
        return SLABBY_INVALID_ARGUMENT;
    if (slb_unlikely(!slb_word_read_live(allocator, ref, &id, &word) || slb_word_is_guarded(word)))
        return data_slow(out_data, allocator, ref);
    *out_data = allocator->slabs + (uint64_t)id * allocator->stride;
    return SLABBY_OK;
}

SLB_PUBLIC int32_t slabby_is_valid(slabby_allocator *allocator, slabby_ref ref) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    uint64_t word;
    uint32_t id;
    if (slb_unlikely(pool == NULL))
        return 0;
    if (slb_likely(slb_word_read_live(pool, ref, &id, &word)))
        return 1;
    SLB_HOLD(pool);
    return slb_pool_exists(pool) && slb_ref_live_word(pool, ref, &id, &word);
}

SLB_PUBLIC slabby_status slabby_id(uint32_t *out_id, slabby_allocator *allocator, slabby_ref ref) {
    SLB_HOLD_HANDLE(allocator);
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

SLB_PUBLIC slabby_status slabby_ref_text(char *buffer, uint64_t capacity, uint64_t *out_length,
                                         slabby_allocator *allocator, slabby_ref ref) {
    SLB_HOLD_HANDLE(allocator);
    struct slb_text text = {.buffer = buffer, .capacity = capacity};
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL || (buffer == NULL && capacity > 0))
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    status = slb_ref_text(&text, pool, ref);
    return status == SLABBY_OK ? slb_text_end(&text, out_length)
                               : slb_answered(pool, SLABBY_AUDIT_OPERATION_ACCESS, ref, status);
}

SLB_PUBLIC slabby_status slabby_set_label(slabby_allocator *allocator, slabby_ref ref, uint64_t label) {
    SLB_HOLD_HANDLE(allocator);
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL)
        return SLABBY_INVALID_ARGUMENT;
    slabby_status status = slb_label_set(pool, ref, label);
    return slb_likely(status == SLABBY_OK) ? status
                                           : slb_answered(pool, SLABBY_AUDIT_OPERATION_ACCESS, ref, status);
}

SLB_PUBLIC slabby_status slabby_get_label(uint64_t *out_label, slabby_allocator *allocator, slabby_ref ref) {
    SLB_HOLD_HANDLE(allocator);
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL || out_label == NULL)
        return SLABBY_INVALID_ARGUMENT;
    slabby_status status = slb_label_get(pool, ref, out_label);
    return slb_likely(status == SLABBY_OK) ? status
                                           : slb_answered(pool, SLABBY_AUDIT_OPERATION_ACCESS, ref, status);
}
