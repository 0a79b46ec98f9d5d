/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "observe/live.h"

#include "observe/labels.h"
#include "observe/stacks.h"
#include "os/os.h"
#include "ref.h"
#include "tiers/used_slabs.h"

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
