/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tiers/delay_queue.h"

#include "tiers/cpu_cache_rseq.h"

#define DELAY_ROUND (1ull << 32)

static struct slb_delay_ring *delay_ring(const struct slb_delay *delay, uint32_t ring) {
    return (struct slb_delay_ring *)(void *)(delay->rings + ring * delay->ring_bytes);
}

/* Any ring is right; this one is used by no other CPU, or by few. */
static struct slb_delay_ring *ring_here(struct slabby_allocator *pool) {
    uint32_t cpu = pool->backend == SLABBY_CPU_CACHE_BACKEND_RSEQ ? slb_rseq_cpu() : slb_os_cpu();
    return delay_ring(&pool->delay, cpu & pool->delay.ring_mask);
}

/* ----------------------------------------------------------------------------------------------- numbers */

static uint32_t cell_of(uint64_t number) {
    return (uint32_t)number;
}

/* The first number of the round behind this one's. */
static uint64_t next_round(uint64_t number) {
    return (number & ~(uint64_t)UINT32_MAX) + DELAY_ROUND;
}

/* acquire: pairs with the swap that put the id there. seq_cst: two readers decide by cells, the proof of emptiness, and
 * a waiter that searches for slabs after it has set its reason at the gate. */
static uint64_t load_cell(struct slb_delay_ring *ring, uint64_t number) {
    return atomic_load_explicit(&ring->cells[cell_of(number)], memory_order_seq_cst);
}

/* `distance` is at most `limit`. */
static uint64_t number_behind(const struct slb_delay *delay, uint64_t number, uint64_t distance) {
    uint64_t cell = cell_of(number) + distance;
    return cell < delay->limit ? number + distance : next_round(number) + (cell - delay->limit);
}

/* How many rounds a cell is ahead of a number: 0 where the number has not come yet, 1 where its id came last. */
static int32_t rounds_ahead(uint64_t cell, uint64_t number) {
    return (int32_t)((uint32_t)(cell >> 32) - (uint32_t)(number >> 32));
}

/* The next number is one of the `limit` numbers that end with the one which the hint's cell awaits. */
static uint64_t next_in_ring(const struct slb_delay *delay, struct slb_delay_ring *ring) {
    uint64_t hint = atomic_load_explicit(&ring->hint, memory_order_relaxed);
    uint64_t awaited = (load_cell(ring, hint) & ~(uint64_t)UINT32_MAX) | cell_of(hint);
    uint64_t came = awaited - DELAY_ROUND;
    uint64_t low = 1, high = delay->limit;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2, number = number_behind(delay, came, middle);
        if (rounds_ahead(load_cell(ring, number), number) > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return number_behind(delay, came, low);
}

/* ----------------------------------------------------------------------------------------- what waits */

/* The number that came last, with its cell. New numbers may come in between: then the cell already belongs to another
 * number. */
static uint64_t newest_in_ring(const struct slb_delay *delay, struct slb_delay_ring *ring,
                               uint64_t *out_cell) {
    uint64_t newest;
    do {
        newest = number_behind(delay, next_in_ring(delay, ring) - DELAY_ROUND, delay->limit - 1);
        *out_cell = load_cell(ring, newest);
    } while (rounds_ahead(*out_cell, newest) != 1);
    return newest;
}

struct waiting {
    _Atomic uint64_t *at;
    uint64_t cell, count;
};

/* The oldest id and how many wait with it; a count of 0 where none waits. */
static struct waiting oldest_in_ring(const struct slb_delay *delay, struct slb_delay_ring *ring) {
    uint64_t cell, newest = newest_in_ring(delay, ring, &cell);
    uint64_t first = number_behind(delay, newest - DELAY_ROUND, 1), low = 0, high = delay->limit - 1;
    struct waiting found = {&ring->cells[cell_of(newest)], cell, (uint32_t)cell != 0};
    while (found.count != 0 && low < high) {
        uint64_t middle = low + (high - low) / 2, number = number_behind(delay, first, middle);
        cell = load_cell(ring, number);
        if (rounds_ahead(cell, number) == 1 && (uint32_t)cell != 0) {
            found = (struct waiting){&ring->cells[cell_of(number)], cell, delay->limit - middle};
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return found;
}

SLB_PRIVATE bool slb_delay_take(struct slabby_allocator *pool, uint32_t *out_id) {
    for (;;) {
        struct waiting most = {0};
        for (uint32_t i = 0; i <= pool->delay.ring_mask; i++) {
            struct waiting found = oldest_in_ring(&pool->delay, delay_ring(&pool->delay, i));
            if (found.count > most.count)
                most = found;
        }
        if (most.count == 0)
            return false;
        *out_id = (uint32_t)most.cell - 1;
        if (atomic_compare_exchange_strong_explicit(most.at, &most.cell, most.cell & ~(uint64_t)UINT32_MAX,
                                                    memory_order_seq_cst, memory_order_relaxed))
            return true;
    }
}

/* No number comes twice, so an equal sum means that none has come. */
SLB_PRIVATE bool slb_delay_is_empty(struct slabby_allocator *pool, uint64_t *out_moves) {
    bool empty = true;
    *out_moves = 0;
    for (uint32_t i = 0; i <= pool->delay.ring_mask; i++) {
        uint64_t cell;
        *out_moves += newest_in_ring(&pool->delay, delay_ring(&pool->delay, i), &cell);
        empty &= (uint32_t)cell == 0;
    }
    return empty;
}

/* ------------------------------------------------------------------------------------------- a release */

/* In the swap the processor waits until the zeroed lines are in its cache. Meanwhile it loads the oldest slab, which is
 * checked next. */
static void prefetch_slab(const struct slabby_allocator *pool, uint32_t id_plus_1) {
    if (slb_likely(id_plus_1 != 0))
        __builtin_prefetch(pool->slabs + (id_plus_1 - 1ull) * pool->stride);
}

SLB_PRIVATE bool slb_delay_exchange(struct slabby_allocator *pool, uint32_t id, uint32_t *out_oldest) {
    struct slb_delay_ring *ring = ring_here(pool);
    uint64_t number = atomic_load_explicit(&ring->hint, memory_order_relaxed), cell;
    for (;;) {
        cell = load_cell(ring, number);
        prefetch_slab(pool, (uint32_t)cell);
        if (slb_unlikely(rounds_ahead(cell, number) != 0))
            number = next_in_ring(&pool->delay, ring);
        else if (slb_likely(atomic_compare_exchange_strong_explicit(
                     &ring->cells[cell_of(number)], &cell, next_round(number) + id + 1, memory_order_seq_cst,
                     memory_order_relaxed)))
            break;
    }
    SLB_POINT(SLB_POINT_DELAYED);
    /* relaxed: a hint */
    atomic_store_explicit(&ring->hint, number_behind(&pool->delay, number, 1), memory_order_relaxed);
    *out_oldest = (uint32_t)cell - 1;
    return (uint32_t)cell != 0;
}

/* --------------------------------------------------------------------------------------- all that is there */

SLB_PRIVATE uint64_t slb_delay_cells(const struct slabby_allocator *pool) {
    return pool->delay.limit * (pool->delay.ring_mask + 1ull);
}

SLB_PRIVATE bool slb_delay_at(struct slabby_allocator *pool, uint64_t n, uint32_t *out_id) {
    struct slb_delay_ring *ring = delay_ring(&pool->delay, (uint32_t)(n / pool->delay.limit));
    uint64_t cell = load_cell(ring, n % pool->delay.limit);
    *out_id = (uint32_t)cell - 1;
    return (uint32_t)cell != 0;
}

/* Cells that have never had an id are not touched, so their pages stay untouched. */
SLB_PRIVATE void slb_delay_forget(struct slabby_allocator *pool) {
    for (uint32_t i = 0; i <= pool->delay.ring_mask && pool->delay.limit != 0; i++) {
        struct slb_delay_ring *ring = delay_ring(&pool->delay, i);
        atomic_store(&ring->hint, 0);
        for (uint64_t n = 0; n < pool->delay.limit; n++)
            if (atomic_load(&ring->cells[n]) != 0)
                atomic_store(&ring->cells[n], 0);
    }
}
