/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Looking inside a pool: slabs that are out, the self-check, explanations, stacks, events, the view for bindings. */
#include "api/call.h"
#include "observe/events.h"
#include "observe/live.h"
#include "observe/ref_text.h"
#include "observe/stacks.h"
#include "pool/verify.h"
#include "protect/quarantine.h"
#include "ref.h"
#include "resilience/grants.h"
#include "slabby_contract.h"
#include "status.h"

#include <inttypes.h>

/* A cursor from here on goes through the grants, which come after the words. */
#define GRANTS_FROM (1ull << 63)

static bool next_grant(struct slabby_allocator *pool, uint64_t *cursor, slabby_live *out) {
    struct slb_grant grant;
    uint64_t at = *cursor - GRANTS_FROM;
    bool found = slb_grants_next(pool, &at, &grant);
    *cursor = at + GRANTS_FROM;
    if (found)
        *out = (slabby_live){.state = SLABBY_SLAB_STATE_GRANTED,
                             .id = grant.id,
                             .age_ns = grant.age_ns,
                             .ticket = grant.ticket};
    return found;
}

static bool next_outstanding(struct slabby_allocator *pool, uint64_t *cursor, slabby_live *out) {
    if (*cursor < GRANTS_FROM && slb_live_next(pool, cursor, out))
        return true;
    if (*cursor < GRANTS_FROM)
        *cursor = GRANTS_FROM;
    return next_grant(pool, cursor, out);
}

SLB_PUBLIC slabby_status slabby_live_next(slabby_live *out_live, uint64_t *out_count, uint64_t *cursor,
                                          slabby_allocator *allocator) {
    SLB_HOLD_HANDLE(allocator);
    slabby_live live;
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL)
        return SLABBY_INVALID_ARGUMENT;
    if (!slb_pool_exists(pool))
        return slb_pool_closed_status(pool);
    slb_fork_check(pool);
    if (out_live == NULL || out_count == NULL || cursor == NULL)
        return SLABBY_INVALID_ARGUMENT;
    if (out_live->struct_size < 8)
        return SLABBY_ABI_MISMATCH;
    *out_count = next_outstanding(pool, cursor, &live);
    return *out_count == 0 ? SLABBY_OK : slb_copy_out(out_live, &live, sizeof live);
}

SLB_PUBLIC slabby_status slabby_verify(slabby_finding *out_findings, uint64_t *out_count,
                                       slabby_allocator *allocator, uint64_t capacity) {
    SLB_HOLD_HANDLE(allocator);
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL)
        return SLABBY_INVALID_ARGUMENT;
    if (!slb_pool_exists(pool))
        return slb_pool_closed_status(pool);
    if (out_count == NULL || (out_findings == NULL && capacity > 0))
        return SLABBY_INVALID_ARGUMENT;
    if (capacity > 0 && out_findings[0].struct_size < 8)
        return SLABBY_ABI_MISMATCH;
    slabby_status status = slb_verify(pool, out_findings, capacity, out_count);
    return status == SLABBY_OK ? status : slb_refuse(pool, status);
}

static void explain_slab(struct slb_text *text, struct slabby_allocator *pool, slabby_ref ref) {
    uint64_t generation;
    uint32_t id;
    if ((ref >> SLB_REF_TAG_SHIFT) != slb_pool_tag(pool)) {
        slb_text_add(text, "; reference 0x%016" PRIx64 " carries tag %" PRIu64 ", this pool's is %" PRIu64,
                     ref, ref >> SLB_REF_TAG_SHIFT, slb_pool_tag(pool));
        return;
    }
    if (!slb_ref_split(pool, ref, &generation, &id)) {
        slb_text_add(text, "; reference 0x%016" PRIx64 " names no slab of this pool", ref);
        return;
    }
    uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_relaxed);
    uint32_t state = slb_word_state(word);
    slb_text_add(text, "; the reference names allocation %" PRIu64 " of slab %" PRIu32, generation, id);
    slb_text_add(text, ", which is %s now",
                 state <= SLABBY_SLAB_STATE_RETIRED ? slb_enum_slab_state[state].text : "damaged");
    generation = slb_word_generation(pool->id_bits, word);
    if (state == SLABBY_SLAB_STATE_LIVE || state == SLABBY_SLAB_STATE_LIVE_FAST ||
        state == SLABBY_SLAB_STATE_DYING)
        slb_text_add(text, " in allocation %" PRIu64, generation);
    else if (state != SLABBY_SLAB_STATE_RETIRED)
        slb_text_add(text, " (next allocation: %" PRIu64 ")", generation);
    uint32_t pins = slb_word_pins(word);
    if (pins != 0)
        slb_text_add(text, " with %" PRIu32 " pin%s", pins, pins == 1 ? "" : "s");
}

static void explain(struct slb_text *text, struct slabby_allocator *pool, slabby_ref ref,
                    slabby_status status) {
    slb_text_add(text, "%s: %s", slb_status_name(status), slb_status_message(status));
    if (pool == NULL)
        return;
    slb_text_add(text, "; pool ");
    slb_pool_name(text, pool);
    if (!slb_pool_exists(pool)) {
        slb_text_add(text, " was destroyed");
        return;
    }
    slb_text_add(text, " (%" PRIu32 " slab%s of %" PRIu64 " byte%s)", slb_capacity(pool),
                 slb_capacity(pool) == 1 ? "" : "s", pool->slab_size, pool->slab_size == 1 ? "" : "s");
    if (ref != 0)
        explain_slab(text, pool, ref);
    struct slb_damage damage;
    if (status == SLABBY_MEMORY_CORRUPTION && slb_corruption_recall(pool, ref, &damage))
        slb_text_add(text, "; the byte at offset %" PRId64 " was 0x%02x where 0x%02x was expected",
                     damage.offset, damage.found, damage.expected);
    uint64_t generation;
    uint32_t id;
    if (ref != 0 && slb_ref_split(pool, ref, &generation, &id))
        (void)slb_stacks_print(text, pool, id, generation);
}

SLB_PUBLIC slabby_status slabby_explain(char *buffer, uint64_t capacity, uint64_t *out_length,
                                        slabby_allocator *allocator, slabby_ref ref, slabby_status status) {
    SLB_HOLD_HANDLE(allocator);
    struct slb_text text = {.buffer = buffer, .capacity = capacity};
    if (buffer == NULL && capacity > 0)
        return SLABBY_INVALID_ARGUMENT;
    explain(&text, slb_pool_of(allocator), ref, status);
    return slb_text_end(&text, out_length);
}

SLB_PUBLIC slabby_status slabby_stack(char *buffer, uint64_t capacity, uint64_t *out_length,
                                      slabby_allocator *allocator, slabby_ref ref) {
    SLB_HOLD_HANDLE(allocator);
    struct slb_text text = {.buffer = buffer, .capacity = capacity};
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL)
        return SLABBY_INVALID_ARGUMENT;
    if (!slb_pool_exists(pool))
        return slb_pool_closed_status(pool);
    if (buffer == NULL && capacity > 0)
        return SLABBY_INVALID_ARGUMENT;
    slabby_status status = slb_stacks_text(&text, pool, ref);
    if (status == SLABBY_OK)
        return slb_text_end(&text, out_length);
    return slb_audited(pool, SLABBY_AUDIT_OPERATION_ACCESS, ref, slb_refuse(pool, status));
}

static slabby_status events_read(struct slabby_allocator *pool, slabby_event *events, uint64_t *out_count,
                                 uint64_t *out_lost, uint64_t *cursor, uint64_t capacity) {
    slabby_event event;
    uint64_t at = *cursor, count = 0, lost = 0, deferred;
    while (count < capacity) {
        enum slb_ring_found found = slb_event_read(pool, &at, &lost, &event, &deferred);
        if (found == SLB_RING_BAD_CURSOR)
            return SLABBY_INVALID_ARGUMENT;
        if (found == SLB_RING_END)
            break;
        slb_copy_record(events, count++, &event, sizeof event);
    }
    *out_count = count;
    *cursor = at;
    if (out_lost != NULL)
        *out_lost = lost;
    return SLABBY_OK;
}

SLB_PUBLIC slabby_status slabby_events_read(slabby_event *out_events, uint64_t *out_count, uint64_t *out_lost,
                                            uint64_t *cursor, slabby_allocator *allocator,
                                            uint64_t capacity) {
    SLB_HOLD_HANDLE(allocator);
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL || out_count == NULL || cursor == NULL || (out_events == NULL && capacity > 0))
        return SLABBY_INVALID_ARGUMENT;
    if (!slb_pool_exists(pool))
        return slb_pool_closed_status(pool);
    if (capacity > 0 && out_events[0].struct_size < 8)
        return SLABBY_ABI_MISMATCH;
    return events_read(pool, out_events, out_count, out_lost, cursor, capacity);
}

SLB_PUBLIC slabby_status slabby_view(slabby_view_info *out_view, slabby_allocator *allocator) {
    SLB_HOLD_HANDLE(allocator);
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL || out_view == NULL)
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    slabby_view_info view = {.version = 2,
                             .words_address = (uint64_t)(uintptr_t)pool->words,
                             .slabs_address = (uint64_t)(uintptr_t)pool->slabs,
                             .stride = pool->stride,
                             .slab_size = pool->slab_size,
                             .capacity = pool->reserved,
                             .id_limit = (uint64_t)pool->reserved + pool->heap.limit,
                             .ref_bias = pool->ref_bias,
                             .ref_limit = pool->ref_end,
                             .id_bits = pool->id_bits,
                             .mode_address = (uint64_t)(uintptr_t)&pool->protect};
    return slb_copy_out(out_view, &view, sizeof view);
}
