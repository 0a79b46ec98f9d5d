/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What can be asked of one reference. */
#include "api/call.h"
#include "observe/labels.h"
#include "observe/ref_text.h"
#include "ref.h"
#include "status.h"

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
    void *data = slb_slab_data_of(pool, id, word);
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
