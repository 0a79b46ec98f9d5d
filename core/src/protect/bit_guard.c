/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protect/bit_guard.h"

#include "ref.h"

#include <string.h>

/* Takes the next bytes of a word, in memory order, off the word. */
SLB_INLINE uint64_t next_bytes(uint64_t *word, unsigned count) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    uint64_t bytes = *word >> (64 - 8 * count);
    *word <<= 8 * count;
#else
    uint64_t bytes = *word;
    *word >>= 8 * count;
#endif
    return bytes;
}

/* Writes the end of a pattern: the first `size` bytes of `word`, fewer than 8. It stores pieces from registers, because
 * a loop over bytes, or a word assembled in memory, costs more than the rest of the pattern. */
SLB_INLINE void write_rest(unsigned char *at, uint32_t size, uint64_t word) {
    if (size & 4) {
        uint32_t four = (uint32_t)next_bytes(&word, 4);
        memcpy(at, &four, 4);
        at += 4;
    }
    if (size & 2) {
        uint16_t two = (uint16_t)next_bytes(&word, 2);
        memcpy(at, &two, 2);
        at += 2;
    }
    if (size & 1)
        *at = (unsigned char)next_bytes(&word, 1);
}

SLB_INLINE uint64_t rest_difference(const unsigned char *at, uint32_t size, uint64_t word) {
    uint64_t different = 0;
    uint32_t four;
    uint16_t two;
    if (size & 4) {
        memcpy(&four, at, 4);
        different = four ^ (uint32_t)next_bytes(&word, 4);
        at += 4;
    }
    if (size & 2) {
        memcpy(&two, at, 2);
        different |= (uint64_t)(two ^ (uint16_t)next_bytes(&word, 2));
        at += 2;
    }
    if (size & 1)
        different |= (uint64_t)(*at ^ (unsigned char)next_bytes(&word, 1));
    return different;
}

SLB_INLINE void write_pattern(unsigned char *at, uint32_t size, uint64_t seed, uint32_t first) {
    slb_pair words = slb_side_begin(seed, first);
    for (; size >= 16; size -= 16, at += 16, words += SLB_PAIR_STEP)
        *(slb_pair *)(void *)at = words;
    uint64_t word = words[0];
    if (size & 8) {
        memcpy(at, &word, 8);
        at += 8, word = words[1];
    }
    write_rest(at, size & 7, word);
}

/* `different` says what differs before: one test is enough for all of it. */
SLB_INLINE bool pattern_holds(const unsigned char *at, uint32_t size, uint64_t seed, uint32_t first,
                              slb_pair different) {
    slb_pair words = slb_side_begin(seed, first);
    for (; size >= 16; size -= 16, at += 16, words += SLB_PAIR_STEP)
        different |= *(const slb_pair *)(const void *)at ^ words;
    uint64_t word = words[0], found, last = 0;
    if (size & 8) {
        memcpy(&found, at, 8);
        last = found ^ word;
        at += 8, word = words[1];
    }
    last |= rest_difference(at, size & 7, word);
    return (different[0] | different[1] | last) == 0;
}

SLB_PRIVATE void slb_pattern_write(unsigned char *at, uint32_t size, uint64_t seed, uint32_t first) {
    write_pattern(at, size, seed, first);
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

SLB_PRIVATE void slb_sides_write(const struct slabby_allocator *pool, unsigned char *data, uint64_t seed) {
    unsigned char *end = data + pool->slab_size;
    uint32_t front = pool->guard_front;
    if (slb_likely(front == SLB_PATTERN_SIDE)) {
        slb_side_write(data - SLB_PATTERN_SIDE, seed, 0);
        write_pattern(end, pool->guard_back, seed, SLB_PATTERN_SIDE);
    } else {
        write_pattern(data - front, front, seed, 0);
        write_pattern(end, pool->guard_back, seed, front);
    }
}

SLB_PRIVATE bool slb_sides_hold(const struct slabby_allocator *pool, const unsigned char *data,
                                uint64_t seed) {
    const unsigned char *end = data + pool->slab_size;
    const slb_pair nothing = {0, 0};
    uint32_t front = pool->guard_front;
    if (slb_likely(front == SLB_PATTERN_SIDE))
        return pattern_holds(end, pool->guard_back, seed, SLB_PATTERN_SIDE,
                             slb_side_difference(data - SLB_PATTERN_SIDE, seed, 0));
    return pattern_holds(data - front, front, seed, 0, nothing) &&
           pattern_holds(end, pool->guard_back, seed, front, nothing);
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
