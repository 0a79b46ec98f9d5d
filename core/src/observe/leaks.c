/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The cursor over outstanding slabs. */
#include "observe/look.h"

#include "maintenance.h"
#include "observe/labels.h"
#include "observe/stacks.h"
#include "os/os.h"
#include "ref.h"
#include "resilience/fork.h"

#include <string.h>

static void describe_live(struct slabby_allocator *pool, uint32_t id, uint64_t word, slabby_live *out) {
    uint64_t generation = slb_word_generation(pool->id_bits, word);
    memset(out, 0, sizeof *out);
    out->state = (int32_t)slb_word_state(word);
    out->id = id;
    out->pins = slb_word_pins(word);
    struct slb_trace trace;
    if (slb_stacks_read(pool, id, generation, false, &trace)) {
        uint64_t now = slb_os_now_ns();
        out->age_ns = now > trace.time_ns ? now - trace.time_ns : 1;
        out->thread = trace.thread;
    }
    if (out->state != SLABBY_SLAB_STATE_LIVE_FAST) {
        out->ref = slb_ref_make(pool, generation, id);
        out->label = slb_label_of(pool, id, generation);
    }
}

SLB_PRIVATE bool slb_live_next(struct slabby_allocator *pool, uint64_t *cursor, slabby_live *out) {
    uint32_t limit = atomic_load_explicit(&pool->id_limit, memory_order_acquire);
    uint32_t id = *cursor < limit ? slb_next_used(pool, (uint32_t)*cursor) : limit;
    for (; id < limit; id = slb_next_used(pool, id + 1)) {
        uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_acquire);
        if (slb_word_is_out(word)) {
            describe_live(pool, id, word, out);
            *cursor = (uint64_t)id + 1;
            return true;
        }
    }
    *cursor = limit;
    return false;
}

SLB_PUBLIC slabby_status slabby_live_next(slabby_live *out_live, uint64_t *out_count, uint64_t *cursor,
                                          slabby_allocator *allocator) {
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
    *out_count = slb_live_next(pool, cursor, &live);
    return *out_count == 0 ? SLABBY_OK : slb_copy_out(out_live, &live, sizeof live);
}
