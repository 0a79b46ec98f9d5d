/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The word of a slab: its state, its generation, and its pins or its bias.
 *
 *    63        52 51                    id_bits    6     5  4  3  2     0
 *   +------------+--------------------------+-----+-------+---+---+-------+
 *   | pins (12)  | generation               | 0   | 0     | g | 0 | state |      plain
 *   +------------+--------------------------+-----+-------+---+---+-------+
 *   | CPU (12)   | generation               | 0   | turns | 0 | 1 | live  |      biased to a CPU
 *   +------------+--------------------------+-----+-------+---+---+-------+
 *
 * The generation stands where a reference has it (ref.h), so that the word of a free slab and its id add up to a
 * reference, and a reference less its id is a word. It counts the releases of this slab since the pool was made. A
 * word of zeros is a free slab that was never used, so fresh zero pages need no writing.
 *
 * Who may write: only the thread that took a free slab out of a tier may change its word until the word says live.
 * Then every change is a compare-and-swap. Release: {g, 0 pins, live} -> {g + 1, 0, free}; exactly one of several
 * concurrent releases can find the old value. A biased word is cheaper to change, see tiers/word_bias.h.
 *
 * The turns of a biased word count pins and unpins of its CPU: 0 as it was handed out, 1 with one pin, 2 without it, 3
 * with one pin again. More than one pin at a time, and what comes after the third turn, makes the word plain. Turns
 * only rise, so a word that was left never comes back, which revocation depends on.
 *
 * The bit g says that the slab is on a guard slot (protect/guard_slots.h). The compare of an ordinary release fails
 * only for such a slab, so a pool that samples guards pays nothing for its other slabs.
 */
#ifndef SLB_SLAB_WORD_H
#define SLB_SLAB_WORD_H

#include "base.h"
#include <slabby/slabby.h>

#define SLB_WORD_HIGH 52 /* where pins, or the CPU, begin */
#define SLB_WORD_PIN (1ull << SLB_WORD_HIGH)
#define SLB_WORD_MAX_PINS 4095u
#define SLB_WORD_BIASED 8u
#define SLB_WORD_GUARDED 16u
/* In place of a CPU: the bias of this word is being revoked. No word is biased to a CPU from here on: the last two are
 * what a thread without sequences reads as its CPU, modulo 4,096. */
#define SLB_WORD_REVOKING 4093u
#define SLB_WORD_TURN 32u
#define SLB_WORD_TURNS 96u
#define SLB_WORD_LOW_BITS 7u /* state, biased, guarded, turns: an id has at least as many bits */
#define SLB_WORDS_A_LINE (SLB_CACHE_LINE / (uint32_t)sizeof(uint64_t))

SLB_INLINE uint64_t slb_word_make(uint32_t id_bits, uint64_t generation, uint32_t state) {
    return generation << id_bits | state;
}

/* The bits that bias the word of a live slab: to a CPU, or SLB_WORD_REVOKING. */
SLB_INLINE uint64_t slb_word_mark(uint32_t cpu) {
    return (uint64_t)cpu << SLB_WORD_HIGH | SLB_WORD_BIASED;
}

SLB_INLINE uint64_t slb_word_generation(uint32_t id_bits, uint64_t word) {
    return (word & (SLB_WORD_PIN - 1)) >> id_bits;
}

SLB_INLINE bool slb_word_is_biased(uint64_t word) {
    return (word & SLB_WORD_BIASED) != 0;
}

/* Of a biased word: a CPU, or SLB_WORD_REVOKING. */
SLB_INLINE uint32_t slb_word_bias_cpu(uint64_t word) {
    return (uint32_t)(word >> SLB_WORD_HIGH);
}

/* Of a biased word. */
SLB_INLINE uint32_t slb_word_turns(uint64_t word) {
    return (uint32_t)(word & SLB_WORD_TURNS) / SLB_WORD_TURN;
}

SLB_INLINE uint32_t slb_word_pins(uint64_t word) {
    return slb_word_is_biased(word) ? slb_word_turns(word) % 2 : (uint32_t)(word >> SLB_WORD_HIGH);
}

SLB_INLINE uint32_t slb_word_state(uint64_t word) {
    return (uint32_t)(word & 7u);
}

/* Generation and state alone. */
SLB_INLINE uint64_t slb_word_without_pins(uint64_t word) {
    return word & ((SLB_WORD_PIN - 1) & ~(uint64_t)(SLB_WORD_BIASED | SLB_WORD_GUARDED | SLB_WORD_TURNS));
}

SLB_INLINE bool slb_word_is_guarded(uint64_t word) {
    return (word & SLB_WORD_GUARDED) != 0;
}

/* The same slab in the same state, with its pins, as a plain word. */
SLB_INLINE uint64_t slb_word_plain(uint64_t word) {
    return slb_word_is_biased(word) ? slb_word_without_pins(word) + slb_word_pins(word) * SLB_WORD_PIN : word;
}

/* What a biased word is without the CPU, as the sequences on that CPU want it. */
SLB_INLINE uint64_t slb_word_of_any_cpu(uint64_t biased) {
    return biased & (SLB_WORD_PIN - 1);
}

/* Whether the CPU of the bias can pin a slab with this word, or unpin it, by a turn. */
SLB_INLINE bool slb_word_can_turn(uint64_t word) {
    return slb_word_is_biased(word) && slb_word_turns(word) < 3;
}

/* The word with one pin more, of a slab that is live. */
SLB_INLINE uint64_t slb_word_pinned(uint64_t word) {
    return slb_word_can_turn(word) && slb_word_pins(word) == 0 ? word + SLB_WORD_TURN
                                                               : slb_word_plain(word) + SLB_WORD_PIN;
}

/* The word with one pin less, of a slab that has one. */
SLB_INLINE uint64_t slb_word_unpinned(uint64_t word) {
    return slb_word_can_turn(word) ? word + SLB_WORD_TURN : slb_word_plain(word) - SLB_WORD_PIN;
}

/* The plain word of a live slab with pins that is to be released with the last of them. */
SLB_INLINE uint64_t slb_word_dying(uint64_t word) {
    return slb_word_plain(word) + SLABBY_SLAB_STATE_DYING - SLABBY_SLAB_STATE_LIVE;
}

/* Whether a user holds the slab: it is live, live by id, or waiting for its last unpin. */
SLB_INLINE bool slb_word_is_out(uint64_t word) {
    uint32_t state = slb_word_state(word);
    return state == SLABBY_SLAB_STATE_LIVE || state == SLABBY_SLAB_STATE_LIVE_FAST ||
           state == SLABBY_SLAB_STATE_DYING;
}

#endif
