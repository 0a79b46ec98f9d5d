/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protect/fault.h"

#include "observe/plain_text.h"
#include "protect/guard_slots.h"
#include "ref.h"
#include "status.h"
#include "tiers/hold.h"
#include "tiers/word_bias.h"

#include <string.h>

/* ------------------------------------------------------------------------------------------------ locating */

/* Fills in the fields that follow from the slab's word. */
static void fault_read_word(struct slb_fault_info *info) {
    uint64_t word = atomic_load_explicit(&info->pool->words[info->id], memory_order_relaxed);
    uint64_t generation = slb_word_generation(info->pool->id_bits, word);
    bool out = slb_word_is_out(word);
    info->released = !out;
    info->used = out || generation != 0;
    info->generation = out || generation == 0 ? generation : generation - 1;
}

/* For the range in which slabs lie one stride apart. An address between two slabs belongs to the nearer one; in the
 * middle, to the one before. */
static bool locate_in_slabs(struct slabby_allocator *pool, uintptr_t address, struct slb_fault_info *out) {
    uintptr_t mapping = (uintptr_t)pool->slab_mapping;
    if (address < mapping || address - mapping >= pool->slab_mapping_size)
        return false;
    int64_t stride = (int64_t)pool->stride, size = (int64_t)pool->slab_size, last = pool->reserved - 1;
    int64_t from_first = (int64_t)(address - (uintptr_t)pool->slabs);
    int64_t id = from_first < 0 ? 0 : from_first / stride;
    if (id > last)
        id = last;
    int64_t offset = from_first - id * stride;
    if (id < last && offset >= size && stride - offset < offset - size + 1) {
        id++;
        offset -= stride;
    }
    *out = (struct slb_fault_info){.pool = pool, .id = (uint32_t)id, .offset = offset};
    fault_read_word(out);
    return true;
}

SLB_PRIVATE bool slb_fault_locate(uintptr_t address, struct slb_fault_info *out) {
    for (uint32_t i = 1; i < SLB_POOL_ENTRIES; i++) {
        struct slabby_allocator *pool = &slb_pool_table[i].pool;
        if (!slb_pool_exists(pool))
            continue;
        SLB_HOLD(pool);
        if (slb_pool_exists(pool) &&
            (locate_in_slabs(pool, address, out) || slb_guard_locate(pool, address, out)))
            return true;
    }
    return false;
}

/* ------------------------------------------------------------------------------------------------- reports */

static void print_count(struct slb_text *text, uint64_t bytes) {
    slb_plain_number(text, bytes);
    slb_plain_add(text, bytes == 1 ? " byte " : " bytes ");
}

static void print_slab(struct slb_text *text, const struct slb_fault_info *info) {
    struct slabby_allocator *pool = info->pool;
    slb_plain_add(text, "slab ");
    slb_plain_number(text, info->id);
    slb_plain_add(text, " (");
    print_count(text, pool->slab_size);
    if (text->length != 0 && text->length < text->capacity)
        text->length--; /* the blank behind the unit */
    slb_plain_add(text, ") of pool '");
    slb_plain_add(text, pool->options.name);
    if (pool->options.name[0] == '\0') { /* as slabby_explain calls it */
        slb_plain_add(text, "pool");
        slb_plain_number(text, slb_pool_tag(pool));
    }
    slb_plain_add(text, "'");
}

SLB_PRIVATE void slb_fault_print(struct slb_text *text, const char *verb, const struct slb_fault_info *info) {
    int64_t size = (int64_t)info->pool->slab_size;
    slb_plain_add(text, verb);
    slb_plain_add(text, " ");
    if (info->offset >= size) {
        print_count(text, (uint64_t)(info->offset - size) + 1);
        slb_plain_add(text, "past the end of ");
    } else if (info->offset < 0) {
        print_count(text, (uint64_t)-info->offset);
        slb_plain_add(text, "before the start of ");
    } else {
        slb_plain_add(text, "at offset ");
        slb_plain_number(text, (uint64_t)info->offset);
        slb_plain_add(text, " of ");
    }
    print_slab(text, info);
    if (!info->used)
        slb_plain_add(text, ", which was never handed out");
    else if (info->released)
        slb_plain_add(text, ", after its release");
}

static int32_t kind_of(const struct slb_fault_info *info) {
    if (!info->used)
        return SLABBY_FAULT_KIND_NEVER_ALLOCATED;
    if (info->released)
        return SLABBY_FAULT_KIND_AFTER_RELEASE;
    if (info->offset < 0)
        return SLABBY_FAULT_KIND_BEFORE_START;
    return info->offset < (int64_t)info->pool->slab_size ? SLABBY_FAULT_KIND_INSIDE
                                                         : SLABBY_FAULT_KIND_PAST_END;
}

SLB_PRIVATE void slb_fault_classify(uintptr_t address, slabby_fault *out) {
    struct slb_fault_info info;
    struct slb_text text = {.buffer = out->text, .capacity = sizeof out->text};
    out->address = address;
    if (!slb_fault_locate(address, &info)) {
        slb_plain_add(&text, "address ");
        slb_plain_hex(&text, address);
        slb_plain_add(&text, " belongs to no pool");
        return;
    }
    struct slabby_allocator *pool = info.pool;
    uint64_t word;
    (void)slb_word_read(pool, info.id, &word); /* 0, a free slab, where the pool has ended since */
    out->inside = 1;
    out->kind = kind_of(&info);
    out->allocator_address = (uint64_t)(uintptr_t)pool;
    out->id = info.id;
    out->state = (int32_t)slb_word_state(word);
    if (info.used && out->state != SLABBY_SLAB_STATE_LIVE_FAST)
        out->ref = slb_ref_make(pool, info.generation, info.id);
    out->offset = info.offset;
    out->slab_size = pool->slab_size;
    memcpy(out->pool_name, pool->options.name, sizeof out->pool_name);
    slb_fault_print(&text, "access", &info);
}
