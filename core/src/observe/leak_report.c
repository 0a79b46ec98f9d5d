/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "observe/leak_report.h"

#include "observe/audit.h"
#include "observe/counters.h"
#include "observe/events.h"
#include "observe/look.h"
#include "observe/plain_text.h"
#include "observe/stacks.h"
#include "options.h"
#include "os/os.h"
#include "ref.h"
#include "release.h"
#include "resilience/fork.h"
#include "tiers/in_flight.h"

#include <inttypes.h>

/* Slabs that the end of a pool names one by one: below the events that one code may have in a second. */
#define NAMED_AT_END 8u

/* --------------------------------------------------------------------------------------------------- marks */

static uint64_t marks_size(struct slabby_allocator *pool) {
    uint64_t page = slb_os_page_size();
    uint64_t size = ((uint64_t)pool->reserved + pool->heap.limit) * sizeof(uint64_t);
    return (size + page - 1) / page * page;
}

SLB_PRIVATE void slb_leaks_forget(struct slabby_allocator *pool) {
    slb_os_unmap((void *)atomic_load(&pool->leak_marks), marks_size(pool));
    atomic_store(&pool->leak_marks, NULL);
}

/* Threads may race to map the table: the first publishes it (release, paired with the acquire here and in is_marked),
 * the others unmap theirs. */
static _Atomic uint64_t *marks_table(struct slabby_allocator *pool) {
    _Atomic uint64_t *table = atomic_load_explicit(&pool->leak_marks, memory_order_acquire);
    if (table != NULL)
        return table;
    _Atomic uint64_t *mine = slb_os_map(marks_size(pool));
    if (mine == NULL || atomic_compare_exchange_strong_explicit(&pool->leak_marks, &table, mine,
                                                                memory_order_acq_rel, memory_order_acquire))
        return mine;
    slb_os_unmap((void *)mine, marks_size(pool));
    return table;
}

static bool is_marked(struct slabby_allocator *pool, uint32_t id, uint64_t generation) {
    _Atomic uint64_t *table = atomic_load_explicit(&pool->leak_marks, memory_order_acquire);
    return table != NULL && atomic_load_explicit(&table[id], memory_order_relaxed) == generation + 1;
}

/* --------------------------------------------------------------------------------------------------- telling */

/* "slab 3 of pool "orders"", then where it came from: in the binding's words, or by the recorded stack. */
static void print_dropped(struct slb_text *text, struct slabby_allocator *pool, uint32_t id,
                          uint64_t generation, const char *stack) {
    struct slb_trace trace;
    slb_plain_add(text, "slab ");
    slb_plain_number(text, id);
    slb_plain_add(text, " of pool \"");
    slb_plain_add(text, pool->options.name);
    slb_plain_add(text, "\"");
    if (stack != NULL && stack[0] != 0) {
        slb_plain_add(text, ", allocated at ");
        slb_plain_add(text, stack);
        slb_plain_add(text, ",");
    } else if (slb_stacks_read(pool, id, generation, false, &trace)) {
        slb_plain_add(text, ", ");
        slb_trace_print_short(text, "allocated", &trace);
        slb_plain_add(text, ",");
    }
}

/* ------------------------------------------------------------------------------------------ what bindings report */

/* Whether this report is the reference's first. False in out_known where there is no room to note it. */
static bool first_report(struct slabby_allocator *pool, uint32_t id, uint64_t generation, bool reclaim,
                         bool *out_known) {
    *out_known = true;
    if (reclaim)
        return !is_marked(pool, id, generation);
    _Atomic uint64_t *table = marks_table(pool);
    *out_known = table != NULL;
    return table != NULL &&
           atomic_exchange_explicit(&table[id], generation + 1, memory_order_relaxed) != generation + 1;
}

/* Inside slb_enter: the pool cannot be torn down before its event is written, whoever brings the last slab back. */
static slabby_status report_inside(struct slabby_allocator *pool, slabby_ref ref, const char *stack,
                                   bool reclaim, struct slb_notification *out_notification) {
    char slab[160];
    struct slb_text text = {.buffer = slab, .capacity = sizeof slab};
    uint64_t word;
    uint32_t id;
    bool known;
    if (!slb_pool_exists(pool) || !slb_ref_live_word(pool, ref, &id, &word))
        return slb_ref_refusal(pool, ref, SLABBY_DOUBLE_DEALLOCATION);
    print_dropped(&text, pool, id, slb_word_generation(pool->id_bits, word),
                  stack); /* before the slab is somebody else's */
    bool first = first_report(pool, id, slb_word_generation(pool->id_bits, word), reclaim, &known);
    if (!known)
        return SLABBY_NO_SYSTEM_MEMORY;
    slabby_status status = reclaim ? slb_release_deferred(pool, ref) : SLABBY_OK;
    if (first && (status == SLABBY_OK || status == SLABBY_MEMORY_CORRUPTION)) {
        slb_count(&pool->leaks, 1);
        slb_event_prepare(out_notification, pool, SLABBY_EVENT_LEVEL_WARNING, SLABBY_EVENT_CODE_LEAK, ref, id,
                          "%s was dropped without release%s", slab, reclaim ? "; it went back" : "");
    }
    return status;
}

SLB_PUBLIC slabby_status slabby_report_leak(slabby_allocator *allocator, slabby_ref ref, const char *stack,
                                            int32_t reclaim) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    struct slb_notification notification = {.function = NULL};
    if (pool == NULL)
        return SLABBY_INVALID_ARGUMENT;
    if (!slb_pool_exists(pool))
        return slb_pool_closed_status(pool);
    slb_fork_check(pool);
    struct slb_stripe *stripe = slb_enter(pool);
    slabby_status status = report_inside(pool, ref, stack, reclaim != 0, &notification);
    if (status != SLABBY_OK)
        (void)slb_audited(pool, SLABBY_AUDIT_OPERATION_ACCESS, ref, slb_refuse(pool, status));
    slb_leave(stripe);
    slb_event_notify(&notification);
    /* seq_cst: behind the release, see resilience/waiters.h */
    if (atomic_load_explicit(&pool->gate, memory_order_seq_cst) & SLB_GATE_POLL)
        slb_pool_run_deferred(pool);
    return status;
}

/* ------------------------------------------------------------------------------------------ the end of a pool */

static const struct {
    int32_t code;
    const char *end;
} at_end[] = {
    [SLB_ENDING_CLOSED] = {SLABBY_EVENT_CODE_OUTSTANDING, "is still out after the close"},
    [SLB_ENDING_REFUSED] = {SLABBY_EVENT_CODE_OUTSTANDING, "keeps the pool from being destroyed"},
    [SLB_ENDING_ABANDONED] = {SLABBY_EVENT_CODE_LEAK, "was dropped with its pool"},
};

static void name_slab(struct slabby_allocator *pool, const slabby_live *live, uint64_t generation,
                      enum slb_ending ending) {
    char slab[160];
    struct slb_text text = {.buffer = slab, .capacity = sizeof slab};
    print_dropped(&text, pool, live->id, generation, NULL);
    slb_event(pool, SLABBY_EVENT_LEVEL_WARNING, at_end[ending].code, live->ref, live->id, "%s %s", slab,
              at_end[ending].end);
}

/* A dying slab was released: only a pin keeps it. */
SLB_PRIVATE void slb_leaks_at_end(struct slabby_allocator *pool, enum slb_ending ending) {
    uint64_t cursor = 0, seen = 0, lost = 0;
    slabby_live live;
    if (!slb_option(&pool->options, SLABBY_OPTION_FINALIZERS))
        return;
    while (slb_live_next(pool, &cursor, &live)) {
        uint64_t generation = slb_word_generation(
            pool->id_bits, atomic_load_explicit(&pool->words[live.id], memory_order_relaxed));
        if (live.state == SLABBY_SLAB_STATE_DYING || is_marked(pool, live.id, generation))
            continue;
        if (seen++ < NAMED_AT_END)
            name_slab(pool, &live, generation, ending);
        lost += ending == SLB_ENDING_ABANDONED;
    }
    slb_count(&pool->leaks, lost);
    if (seen > NAMED_AT_END)
        slb_event(pool, SLABBY_EVENT_LEVEL_WARNING, at_end[ending].code, 0, (int64_t)seen,
                  "%" PRIu64 " slabs of pool \"%s\" in all: each %s", seen, pool->options.name,
                  at_end[ending].end);
}
