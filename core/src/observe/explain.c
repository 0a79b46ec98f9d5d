/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Text about a reference and about what went wrong with it. */
#include "observe/look.h"

#include "observe/stacks.h"
#include "protect/quarantine.h"
#include "ref.h"
#include "slabby_contract.h"

#include <inttypes.h>

static void pool_name(struct slb_text *text, struct slabby_allocator *pool) {
    if (pool->options.name[0] != '\0')
        slb_text_add(text, "%s", pool->options.name);
    else
        slb_text_add(text, "pool%" PRIu64, slb_pool_tag(pool));
}

SLB_PRIVATE slabby_status slb_ref_text(struct slb_text *text, struct slabby_allocator *pool, slabby_ref ref) {
    uint64_t generation;
    uint32_t id;
    if (!slb_ref_was_issued(pool, ref, &generation, &id))
        return SLABBY_INVALID_REFERENCE;
    pool_name(text, pool);
    slb_text_add(text, ":%" PRIu32 "#%" PRIu64, id, generation);
    return SLABBY_OK;
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
    slb_text_add(text, ", which is %s now in allocation %" PRIu64,
                 state <= SLABBY_SLAB_STATE_RETIRED ? slb_enum_slab_state[state].text : "damaged",
                 slb_word_generation(pool->id_bits, word));
    if (slb_word_pins(word) != 0)
        slb_text_add(text, " with %" PRIu32 " pins", slb_word_pins(word));
}

SLB_PRIVATE void slb_explain(struct slb_text *text, struct slabby_allocator *pool, slabby_ref ref,
                             slabby_status status) {
    slb_text_add(text, "%s: %s", slabby_status_name(status), slabby_status_message(status));
    if (pool == NULL)
        return;
    slb_text_add(text, "; pool ");
    pool_name(text, pool);
    if (!slb_pool_exists(pool)) {
        slb_text_add(text, " was destroyed");
        return;
    }
    slb_text_add(text, " (%" PRIu32 " slabs of %" PRIu64 " bytes)", slb_capacity(pool), pool->slab_size);
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
    struct slb_text text = {.buffer = buffer, .capacity = capacity};
    if (buffer == NULL && capacity > 0)
        return SLABBY_INVALID_ARGUMENT;
    slb_explain(&text, slb_pool_of(allocator), ref, status);
    return slb_text_end(&text, out_length);
}
