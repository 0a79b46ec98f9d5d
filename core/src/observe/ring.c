/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "observe/ring.h"

#include "os/os.h"

#define RING_TIMEOUT_NS 1000000000

static _Atomic uint64_t *ring_entry(const struct slb_ring *ring, uint64_t sequence) {
    _Atomic uint64_t *entries = (_Atomic uint64_t *)(void *)(ring->head + 1);
    return entries + (sequence & (ring->size - 1)) * ring->stride;
}

/* Every step is one to one in the word and in the hash so far, so one changed word always changes the check. The check
 * is never 0, so untouched memory is no record. */
static uint64_t ring_check(const struct slb_ring *ring, uint64_t sequence, const uint64_t *words) {
    uint64_t check = (sequence + 1) * 0x9e3779b97f4a7c15u;
    for (uint32_t i = 0; i < ring->words; i++) {
        check = (check ^ words[i]) * 0xd6e8feb86659fd93u;
        check ^= check >> 32;
    }
    return check;
}

SLB_PRIVATE uint64_t slb_ring_next(const struct slb_ring *ring) {
    return atomic_load_explicit(&ring->head->next, memory_order_acquire);
}

SLB_PRIVATE uint64_t slb_ring_write(const struct slb_ring *ring, const uint64_t *words) {
    uint64_t sequence = atomic_fetch_add_explicit(&ring->head->next, 1, memory_order_acq_rel);
    _Atomic uint64_t *entry = ring_entry(ring, sequence);
    SLB_POINT(SLB_POINT_RING_WRITE);
    /* release: a reader that sees one of these words also sees that the number was taken */
    for (uint32_t i = 0; i < ring->words; i++)
        atomic_store_explicit(&entry[1 + i], words[i], memory_order_release);
    atomic_store_explicit(&entry[0], ring_check(ring, sequence, words), memory_order_release);
    return sequence;
}

/* acquire, all of them: pairs with the stores of slb_ring_write, so that `next`, loaded after a failed check, is
 * newer than the words that failed it. */
static bool ring_copy(const struct slb_ring *ring, uint64_t sequence, uint64_t *words) {
    _Atomic uint64_t *entry = ring_entry(ring, sequence);
    uint64_t check = atomic_load_explicit(&entry[0], memory_order_acquire);
    for (uint32_t i = 0; i < ring->words; i++)
        words[i] = atomic_load_explicit(&entry[1 + i], memory_order_acquire);
    return check == ring_check(ring, sequence, words);
}

/* Whether the writer of an incomplete record has been inactive too long to wait for it, judged by the age of the
 * first complete record behind it. */
static bool ring_writer_died(const struct slb_ring *ring, uint64_t sequence, uint64_t next) {
    uint64_t words[SLB_RING_WORDS];
    while (++sequence < next)
        if (ring_copy(ring, sequence, words))
            return (int64_t)(slb_os_wall_ns() - words[0]) > RING_TIMEOUT_NS;
    return false;
}

SLB_PRIVATE enum slb_ring_found slb_ring_read(const struct slb_ring *ring, uint64_t *cursor, uint64_t *lost,
                                              uint64_t *words) {
    uint64_t next = slb_ring_next(ring);
    if (*cursor > next)
        return SLB_RING_BAD_CURSOR;
    while (*cursor != next) {
        if (next - *cursor > ring->size) {
            *lost += next - ring->size - *cursor;
            *cursor = next - ring->size;
        }
        if (ring_copy(ring, *cursor, words)) {
            ++*cursor;
            return SLB_RING_RECORD;
        }
        next = slb_ring_next(ring);
        if (next - *cursor > ring->size)
            continue;
        if (!ring_writer_died(ring, *cursor, next))
            break;
        ++*cursor;
        ++*lost;
    }
    return SLB_RING_END;
}
