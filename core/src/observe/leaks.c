/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "observe/leaks.h"

#include "observe/events.h"
#include "observe/live.h"
#include "observe/plain_text.h"
#include "observe/stacks.h"
#include "options.h"
#include "os/os.h"
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

/* ------------------------------------------------------------------------------------------------ printing */

SLB_PRIVATE void slb_leak_print(struct slb_text *text, struct slabby_allocator *pool, uint32_t id,
                                uint64_t generation, const char *stack) {
    struct slb_trace trace;
    slb_plain_add(text, "slab ");
    slb_plain_number(text, id);
    slb_plain_add(text, " of pool \"");
    slb_plain_add(text, slb_shown_name(pool).text);
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

SLB_PRIVATE bool slb_leak_is_first(struct slabby_allocator *pool, uint32_t id, uint64_t generation,
                                   bool reclaim, bool *out_known) {
    *out_known = true;
    if (reclaim)
        return !is_marked(pool, id, generation);
    _Atomic uint64_t *table = marks_table(pool);
    *out_known = table != NULL;
    return table != NULL &&
           atomic_exchange_explicit(&table[id], generation + 1, memory_order_relaxed) != generation + 1;
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
    slb_leak_print(&text, pool, live->id, generation, NULL);
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
    slb_count(&pool->counts.leaks, lost);
    if (seen > NAMED_AT_END)
        slb_event(pool, SLABBY_EVENT_LEVEL_WARNING, at_end[ending].code, 0, (int64_t)seen,
                  "%" PRIu64 " slabs of pool \"%s\" in all: each %s", seen, slb_shown_name(pool).text,
                  at_end[ending].end);
}
