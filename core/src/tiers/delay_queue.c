/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tiers/delay_queue.h"

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

SLB_PRIVATE bool slb_delay_take(struct slabby_allocator *pool, uint64_t keep, uint32_t *out_id) {
    struct slb_delay *delay = &pool->delay;
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
