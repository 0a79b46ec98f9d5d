/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The bytes of a pattern, from its seed: words, pairs of words in a vector register, and what is left. */
#ifndef SLB_PROTECT_PATTERN_H
#define SLB_PROTECT_PATTERN_H

#include "base.h"

#include <string.h>

/* Word k of a pattern is seed + k x SLB_PATTERN_STEP; front and back are numbered together. */
#define SLB_PATTERN_STEP 0x9E3779B97F4A7C15u

SLB_INLINE uint64_t slb_pattern_word(uint64_t seed, uint32_t k) {
    return seed + k * SLB_PATTERN_STEP;
}

/* Sixteen bytes at any address, in one vector register. */
typedef uint64_t slb_pair __attribute__((vector_size(16), aligned(1), may_alias));

#define SLB_PATTERN_SIDE 64u /* what the default alignment leaves on either side */

#define SLB_PAIR_STEP ((slb_pair){2 * SLB_PATTERN_STEP, 2 * SLB_PATTERN_STEP})

SLB_INLINE slb_pair slb_side_begin(uint64_t seed, uint32_t first) {
    return (slb_pair){slb_pattern_word(seed, first), slb_pattern_word(seed, first + 1)};
}

SLB_INLINE void slb_side_write(unsigned char *at, uint64_t seed, uint32_t first) {
    slb_pair words = slb_side_begin(seed, first), *pairs = (slb_pair *)(void *)at;
    pairs[0] = words;
    pairs[1] = words += SLB_PAIR_STEP;
    pairs[2] = words += SLB_PAIR_STEP;
    pairs[3] = words + SLB_PAIR_STEP;
}

SLB_INLINE slb_pair slb_side_difference(const unsigned char *at, uint64_t seed, uint32_t first) {
    slb_pair words = slb_side_begin(seed, first), different;
    const slb_pair *pairs = (const slb_pair *)(const void *)at;
    different = pairs[0] ^ words;
    words += SLB_PAIR_STEP;
    different |= pairs[1] ^ words;
    words += SLB_PAIR_STEP;
    different |= pairs[2] ^ words;
    words += SLB_PAIR_STEP;
    return different | (pairs[3] ^ words);
}

/* Takes the next bytes of a word, in memory order, off the word. */
SLB_INLINE uint64_t slb_next_bytes(uint64_t *word, unsigned count) {
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
SLB_INLINE void slb_write_rest(unsigned char *at, uint32_t size, uint64_t word) {
    if (size & 4) {
        uint32_t four = (uint32_t)slb_next_bytes(&word, 4);
        memcpy(at, &four, 4);
        at += 4;
    }
    if (size & 2) {
        uint16_t two = (uint16_t)slb_next_bytes(&word, 2);
        memcpy(at, &two, 2);
        at += 2;
    }
    if (size & 1)
        *at = (unsigned char)slb_next_bytes(&word, 1);
}

SLB_INLINE uint64_t slb_rest_difference(const unsigned char *at, uint32_t size, uint64_t word) {
    uint64_t different = 0;
    uint32_t four;
    uint16_t two;
    if (size & 4) {
        memcpy(&four, at, 4);
        different = four ^ (uint32_t)slb_next_bytes(&word, 4);
        at += 4;
    }
    if (size & 2) {
        memcpy(&two, at, 2);
        different |= (uint64_t)(two ^ (uint16_t)slb_next_bytes(&word, 2));
        at += 2;
    }
    if (size & 1)
        different |= (uint64_t)(*at ^ (unsigned char)slb_next_bytes(&word, 1));
    return different;
}

/* A pattern of any size: words from `first` on. */
SLB_INLINE void slb_pattern_put(unsigned char *at, uint32_t size, uint64_t seed, uint32_t first) {
    slb_pair words = slb_side_begin(seed, first);
    for (; size >= 16; size -= 16, at += 16, words += SLB_PAIR_STEP)
        *(slb_pair *)(void *)at = words;
    uint64_t word = words[0];
    if (size & 8) {
        memcpy(at, &word, 8);
        at += 8, word = words[1];
    }
    slb_write_rest(at, size & 7, word);
}

/* `different` says what differs before: one test is enough for all of it. */
SLB_INLINE bool slb_pattern_holds(const unsigned char *at, uint32_t size, uint64_t seed, uint32_t first,
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
    last |= slb_rest_difference(at, size & 7, word);
    return (different[0] | different[1] | last) == 0;
}

#endif
