/* SPDX-License-Identifier: GPL-3.0-or-later */
/* References that a binding found dropped. */
#include "api/call.h"
#include "api/release.h"
#include "observe/events.h"
#include "observe/leaks.h"
#include "ref.h"
#include "tiers/in_flight.h"

#include <stdio.h>

/* The pins that keep a reclaimed slab from going back; 0 if it went. */
static uint32_t pins_left(struct slabby_allocator *pool, uint32_t id, uint64_t generation) {
    uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_relaxed); /* for a text alone */
    return slb_word_without_pins(word) == slb_word_make(pool->id_bits, generation, SLABBY_SLAB_STATE_DYING)
               ? slb_word_pins(word)
               : 0;
}

static void prepare_event(struct slabby_allocator *pool, slabby_ref ref, uint32_t id, uint64_t generation,
                          bool reclaim, const char *slab, struct slb_notification *out_notification) {
    char pinned[64] = "";
    uint32_t pins = reclaim ? pins_left(pool, id, generation) : 0;
    if (pins != 0)
        (void)snprintf(pinned, sizeof pinned, "; it goes back with its last pin (%u held)", (unsigned)pins);
    slb_event_prepare(out_notification, pool, SLABBY_EVENT_LEVEL_WARNING, SLABBY_EVENT_CODE_LEAK, ref, id,
                      "%s was dropped without release%s", slab,
                      pins != 0 ? pinned
                      : reclaim ? "; it went back"
                                : "");
}

/* Inside slb_enter: the pool cannot be destroyed before the event is written, no matter which thread releases the last
 * slab. */
static slabby_status report_inside(struct slabby_allocator *pool, slabby_ref ref, const char *stack,
                                   bool reclaim, struct slb_notification *out_notification) {
    char slab[160];
    struct slb_text text = {.buffer = slab, .capacity = sizeof slab};
    uint64_t word;
    uint32_t id;
    bool known;
    if (!slb_pool_exists(pool) || !slb_ref_live_word(pool, ref, &id, &word))
        return slb_ref_refusal(pool, ref, SLABBY_DOUBLE_DEALLOCATION);
    uint64_t generation = slb_word_generation(pool->id_bits, word);
    slb_leak_print(&text, pool, id, generation, stack); /* before the slab can be allocated again */
    bool first = slb_leak_is_first(pool, id, generation, reclaim, &known);
    if (!known)
        return SLABBY_NO_SYSTEM_MEMORY;
    slabby_status status = reclaim ? slb_release_deferred(pool, ref) : SLABBY_OK;
    if (first && (status == SLABBY_OK || status == SLABBY_MEMORY_CORRUPTION)) {
        slb_count(&pool->counts.leaks, 1);
        prepare_event(pool, ref, id, generation, reclaim, slab, out_notification);
    }
    return status;
}

SLB_PUBLIC slabby_status slabby_report_leak(slabby_allocator *allocator, slabby_ref ref, const char *stack,
                                            int32_t reclaim) {
    SLB_HOLD_HANDLE(allocator);
    struct slabby_allocator *pool = slb_pool_of(allocator);
    struct slb_notification notification;
    slb_notification_none(&notification);
    if (pool == NULL)
        return SLABBY_INVALID_ARGUMENT;
    if (!slb_pool_exists(pool))
        return slb_pool_closed_status(pool);
    slb_fork_check(pool);
    struct slb_stripe *stripe = slb_enter(pool);
    slabby_status status = report_inside(pool, ref, stack, reclaim != 0, &notification);
    /* A stale reference is no leak, and nobody's mistake: its slab was released in another way. */
    if (status != SLABBY_OK && status != SLABBY_DOUBLE_DEALLOCATION)
        (void)slb_audited(pool, SLABBY_AUDIT_OPERATION_ACCESS, ref, slb_refuse(pool, status));
    slb_leave(stripe);
    slb_event_notify(&notification);
    /* seq_cst: behind the release, see resilience/waiters.h */
    if (atomic_load_explicit(&pool->gate.reasons, memory_order_seq_cst) & SLB_GATE_POLL)
        slb_pool_run_deferred(pool);
    return status;
}
