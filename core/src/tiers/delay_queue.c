/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tiers/delay_queue.h"

#define DELAY_PUSHED (1ull << 32)

static uint32_t tail_of(uint64_t ends) {
    return (uint32_t)(ends >> 32);
}

static uint32_t head_of(uint64_t ends) {
    return (uint32_t)ends;
}

static uint32_t length_of(uint64_t ends) {
    return tail_of(ends) - head_of(ends);
}

/* One more taken; the addition must not carry into what was pushed. */
static uint64_t after_taking(uint64_t ends) {
    return (ends & ~(uint64_t)UINT32_MAX) | (uint32_t)(head_of(ends) + 1);
}

/* How the turn of a number's cell compares with the one that is wanted: 0 where it has come, below 0 where not yet. */
static int32_t cell_is(const struct slb_delay *delay, uint32_t number, uint32_t full) {
    /* acquire: pairs with the store of the thread that filled or emptied it */
    uint32_t turn = atomic_load_explicit(&delay->cells[number & delay->mask].turn, memory_order_acquire);
    return (int32_t)(turn - ((number & ~delay->mask) + full));
}

static void fill_cell(struct slb_delay *delay, uint32_t number, uint32_t id) {
    struct slb_delay_cell *cell = &delay->cells[number & delay->mask];
    atomic_store_explicit(&cell->id, id, memory_order_relaxed);
    atomic_store_explicit(&cell->turn, (number & ~delay->mask) + 1, memory_order_release);
}

static void empty_cell(struct slb_delay *delay, uint32_t number) {
    atomic_store_explicit(&delay->cells[number & delay->mask].turn, (number & ~delay->mask) + delay->mask + 1,
                          memory_order_release);
}

static uint32_t id_in_cell(struct slb_delay *delay, uint32_t number) {
    return atomic_load_explicit(&delay->cells[number & delay->mask].id, memory_order_relaxed);
}

SLB_PRIVATE uint64_t slb_delay_length(struct slabby_allocator *pool, uint64_t *out_moves) {
    *out_moves = atomic_load_explicit(&pool->delay.ends, memory_order_seq_cst);
    return length_of(*out_moves);
}

SLB_PRIVATE uint32_t slb_delay_at(struct slabby_allocator *pool, uint64_t n) {
    uint64_t ends = atomic_load_explicit(&pool->delay.ends, memory_order_acquire);
    return id_in_cell(&pool->delay, head_of(ends) + (uint32_t)n);
}

SLB_PRIVATE void slb_delay_forget(struct slabby_allocator *pool) {
    for (uint64_t i = 0; i <= pool->delay.mask && pool->delay.limit != 0; i++)
        atomic_store(&pool->delay.cells[i].turn, 0);
    atomic_store(&pool->delay.ends, 0);
}

/* seq_cst, here and below: the look at the gate comes behind it, see resilience/waiters.h. relaxed ahead of it: the
 * swap finds out where `ends` has changed. */
SLB_PRIVATE bool slb_delay_push(struct slabby_allocator *pool, uint32_t id) {
    struct slb_delay *delay = &pool->delay;
    uint64_t ends = atomic_load_explicit(&delay->ends, memory_order_relaxed);
    for (;;) {
        int32_t cell = cell_is(delay, tail_of(ends), 0);
        if (cell < 0)
            return false; /* still full from the round before */
        if (cell != 0)
            ends = atomic_load_explicit(&delay->ends, memory_order_relaxed);
        else if (atomic_compare_exchange_weak_explicit(&delay->ends, &ends, ends + DELAY_PUSHED,
                                                       memory_order_seq_cst, memory_order_relaxed))
            break;
    }
    fill_cell(delay, tail_of(ends), id);
    return true;
}

SLB_PRIVATE bool slb_delay_take(struct slabby_allocator *pool, uint64_t keep, uint32_t *out_id) {
    struct slb_delay *delay = &pool->delay;
    uint64_t ends = atomic_load_explicit(&delay->ends, memory_order_relaxed);
    for (;;) {
        int32_t cell = cell_is(delay, head_of(ends), 1);
        if (length_of(ends) <= keep || cell < 0)
            return false; /* too few, or the pusher is still on the way */
        *out_id = id_in_cell(delay, head_of(ends));
        if (cell != 0)
            ends = atomic_load_explicit(&delay->ends, memory_order_relaxed);
        else if (atomic_compare_exchange_weak_explicit(&delay->ends, &ends, after_taking(ends),
                                                       memory_order_seq_cst, memory_order_relaxed))
            break;
    }
    empty_cell(delay, head_of(ends));
    return true;
}

SLB_PRIVATE bool slb_delay_exchange(struct slabby_allocator *pool, uint64_t keep, uint32_t id,
                                    uint32_t *out_oldest) {
    struct slb_delay *delay = &pool->delay;
    uint64_t ends = atomic_load_explicit(&delay->ends, memory_order_relaxed);
    do {
        if (length_of(ends) == 0 || length_of(ends) < keep || cell_is(delay, head_of(ends), 1) != 0 ||
            cell_is(delay, tail_of(ends), 0) != 0)
            return false;
        *out_oldest = id_in_cell(delay, head_of(ends));
    } while (!atomic_compare_exchange_weak_explicit(&delay->ends, &ends, after_taking(ends) + DELAY_PUSHED,
                                                    memory_order_seq_cst, memory_order_relaxed));
    fill_cell(delay, tail_of(ends), id);
    empty_cell(delay, head_of(ends));
    return true;
}
