/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protect/bit_guard.h"

#include "ref.h"

SLB_PRIVATE void slb_pattern_write(unsigned char *at, uint32_t size, uint64_t seed, uint32_t first) {
    slb_pattern_put(at, size, seed, first);
}

SLB_PRIVATE SLB_COLD uint32_t slb_pattern_compare(const unsigned char *at, uint32_t size, uint64_t seed,
                                                  uint32_t first, uint8_t *out_expected) {
    for (uint32_t k = 0; k < size; k++) {
        uint64_t word = slb_pattern_word(seed, first + k / 8);
        *out_expected = ((const unsigned char *)&word)[k % 8];
        if (at[k] != *out_expected)
            return k;
    }
    return size;
}

/* Slabs on guard slots have other patterns, and their pages may become inaccessible under a reader. */
static void *own_entry(struct slabby_allocator *pool, uint32_t id) {
    return id < pool->reserved ? pool->slabs + (uint64_t)id * pool->stride
                               : slb_heap_data(&pool->heap, id - pool->reserved);
}

SLB_PRIVATE void slb_bit_guard_write(struct slabby_allocator *pool, uint32_t id, uint64_t generation) {
    slb_sides_write(pool, own_entry(pool, id), slb_pattern_seed(pool, id, generation));
}

SLB_PRIVATE bool slb_bit_guard_intact(struct slabby_allocator *pool, uint32_t id, uint64_t generation,
                                      struct slb_damage *out_damage) {
    const unsigned char *data = own_entry(pool, id);
    uint64_t seed = slb_pattern_seed(pool, id, generation);
    const unsigned char *front = data - pool->guard_front, *back = data + pool->slab_size;
    if (slb_likely(slb_sides_hold(pool, data, seed)))
        return true;
    uint32_t bad = slb_pattern_compare(front, pool->guard_front, seed, 0, &out_damage->expected);
    if (bad < pool->guard_front) {
        out_damage->offset = (int64_t)bad - pool->guard_front;
        out_damage->found = front[bad];
    } else {
        bad = slb_pattern_compare(back, pool->guard_back, seed, pool->guard_front, &out_damage->expected);
        if (bad == pool->guard_back)
            return true;
        out_damage->offset = (int64_t)pool->slab_size + bad;
        out_damage->found = back[bad];
    }
    out_damage->ref = slb_ref_make(pool, generation, id);
    return false;
}
