/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protect/bit_guard.h"

#include "ref.h"

#include <string.h>

/* One round of a well-known 64-bit mixer (Steele, Lea, Flood: splittable random numbers, 2014): every input bit
 * reaches every output bit. */
static uint64_t guard_mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

SLB_PRIVATE uint64_t slb_pattern_seed(const struct slabby_allocator *pool, uint32_t id, uint64_t generation) {
    return guard_mix(pool->guard_key ^ guard_mix((generation << 20) + id + 1));
}

/* Eight pattern bytes; k numbers the words of front and back together. */
static uint64_t guard_word(uint64_t seed, uint32_t k) {
    return seed + k * 0x9E3779B97F4A7C15u;
}

SLB_PRIVATE void slb_pattern_write(unsigned char *at, uint32_t size, uint64_t seed, uint32_t first) {
    for (uint32_t done = 0; done < size; done += 8) {
        uint64_t word = guard_word(seed, first + done / 8);
        memcpy(at + done, &word, size - done < 8 ? size - done : 8);
    }
}

SLB_PRIVATE uint32_t slb_pattern_compare(const unsigned char *at, uint32_t size, uint64_t seed,
                                         uint32_t first, uint8_t *out_expected) {
    for (uint32_t done = 0; done < size; done += 8) {
        uint64_t word = guard_word(seed, first + done / 8);
        uint32_t length = size - done < 8 ? size - done : 8;
        if (memcmp(at + done, &word, length) == 0)
            continue;
        const unsigned char *bytes = (const unsigned char *)&word;
        uint32_t k = 0;
        while (at[done + k] == bytes[k])
            k++;
        *out_expected = bytes[k];
        return done + k;
    }
    return size;
}

/* Slabs on guard slots have other patterns, and their pages may become inaccessible under a reader. */
static void *own_entry(struct slabby_allocator *pool, uint32_t id) {
    return id < pool->reserved ? pool->slabs + (uint64_t)id * pool->stride
                               : slb_heap_data(&pool->heap, id - pool->reserved);
}

SLB_PRIVATE void slb_bit_guard_write(struct slabby_allocator *pool, uint32_t id, uint64_t generation) {
    unsigned char *data = own_entry(pool, id);
    uint64_t seed = slb_pattern_seed(pool, id, generation);
    slb_pattern_write(data - pool->guard_front, pool->guard_front, seed, 0);
    slb_pattern_write(data + pool->slab_size, pool->guard_back, seed, pool->guard_front);
}

SLB_PRIVATE bool slb_bit_guard_intact(struct slabby_allocator *pool, uint32_t id, uint64_t generation,
                                      struct slb_damage *out_damage) {
    const unsigned char *data = own_entry(pool, id);
    uint64_t seed = slb_pattern_seed(pool, id, generation);
    const unsigned char *front = data - pool->guard_front, *back = data + pool->slab_size;
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
