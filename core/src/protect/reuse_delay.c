/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protect/reuse_delay.h"

#include "protect/quarantine.h"
#include "protect/tools.h"
#include "ref.h"

#include <string.h>

SLB_PRIVATE uint64_t slb_delay_length(struct slabby_allocator *pool, uint64_t *out_moves) {
    uint64_t head = atomic_load_explicit(&pool->delay.head, memory_order_seq_cst);
    uint64_t tail = atomic_load_explicit(&pool->delay.tail, memory_order_seq_cst);
    *out_moves = head + tail;
    return tail - head;
}

SLB_PRIVATE bool slb_delay_push(struct slabby_allocator *pool, uint32_t id) {
    struct slb_delay *delay = &pool->delay;
    uint64_t tail = atomic_load_explicit(&delay->tail, memory_order_relaxed);
    for (;;) {
        struct slb_delay_cell *cell = &delay->cells[tail & delay->mask];
        uint64_t turn = atomic_load_explicit(&cell->turn, memory_order_acquire);
        uint64_t wanted = tail & ~delay->mask; /* cells start at 0 in zero pages: turns count whole rounds */
        if (turn == wanted) {
            if (atomic_compare_exchange_weak_explicit(&delay->tail, &tail, tail + 1, memory_order_seq_cst,
                                                      memory_order_relaxed)) {
                atomic_store_explicit(&cell->id, id, memory_order_relaxed);
                atomic_store_explicit(&cell->turn, wanted + 1, memory_order_release);
                return true;
            }
        } else if (turn < wanted) {
            return false; /* still full from the round before */
        } else {
            tail = atomic_load_explicit(&delay->tail, memory_order_relaxed);
        }
    }
}

static bool delay_take(struct slb_delay *delay, uint64_t keep, uint32_t *out_id) {
    uint64_t head = atomic_load_explicit(&delay->head, memory_order_relaxed);
    for (;;) {
        struct slb_delay_cell *cell = &delay->cells[head & delay->mask];
        uint64_t wanted = head & ~delay->mask;
        uint64_t turn = atomic_load_explicit(&cell->turn, memory_order_acquire);
        if (atomic_load_explicit(&delay->tail, memory_order_relaxed) - head <= keep)
            return false;
        if (turn == wanted + 1) {
            uint32_t id = atomic_load_explicit(&cell->id, memory_order_relaxed);
            if (atomic_compare_exchange_weak_explicit(&delay->head, &head, head + 1, memory_order_seq_cst,
                                                      memory_order_relaxed)) {
                *out_id = id;
                atomic_store_explicit(&cell->turn, wanted + delay->mask + 1, memory_order_release);
                return true;
            }
        } else if (turn <= wanted) {
            return false; /* empty, or its pusher is still on the way */
        } else {
            head = atomic_load_explicit(&delay->head, memory_order_relaxed);
        }
    }
}

/* Offset of the first byte that is not zero, or the slab size. */
static uint64_t first_written(const unsigned char *data, uint64_t size) {
    if (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0)
        return size;
    uint64_t offset = 0;
    while (offset < size && data[offset] == 0)
        offset++;
    return offset;
}

/* Where a slab that waited was written to, with the byte found there, or the slab size. */
static uint64_t check_for_writes(struct slabby_allocator *pool, uint32_t id, uint8_t *out_found) {
    const unsigned char *data = slb_slab_data(pool, id);
    slb_tools_open(pool, id);
    uint64_t offset = first_written(data, pool->slab_size);
    *out_found = offset < pool->slab_size ? data[offset] : 0;
    slb_tools_shut(pool, id);
    return offset;
}

SLB_PRIVATE bool slb_delay_pop(struct slabby_allocator *pool, uint64_t keep, uint32_t *out_id,
                               struct slb_notification *out_notification) {
    while (delay_take(&pool->delay, keep, out_id)) {
        uint8_t found;
        uint64_t offset = check_for_writes(pool, *out_id, &found);
        if (offset == pool->slab_size)
            return true;
        uint64_t word = atomic_load_explicit(&pool->words[*out_id], memory_order_relaxed);
        struct slb_damage damage = {.offset = (int64_t)offset, .expected = 0, .found = found};
        damage.ref = slb_ref_make(pool, slb_word_generation(pool->id_bits, word) - 1, *out_id);
        if (!slb_corruption_found(pool, *out_id, &damage, out_notification))
            return true;
    }
    return false;
}
