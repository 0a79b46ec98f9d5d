/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Holds: they keep the bookkeeping of a pool mapped while a thread reads it.
 *
 * The handle of a destroyed pool stays a valid argument, also in a call that another thread's destroy overtakes. The
 * control block is never unmapped, and answers such a call; but the words, headers and counters that it points to are
 * unmapped with the pool. So a call that follows one of these pointers
 *
 * - has a slab of the pool in hand, taken and not given back: then the pool has not ended;
 * - or holds the gate lock, under which pools end, and has seen that the pool exists;
 * - or runs a restartable sequence that compares its CPU with one of the pool's limits first (rseq_cpus, hot_cpus,
 *   release_cpus, word_cpus): the end of a pool sets them to 0, then fences;
 * - or is in a section, and has compared its CPU with portable_cpus there: the same;
 * - or is in a hold, and has seen after the beginning of the hold that the pool exists.
 *
 * No thread waits for a hold: the thread that ends the last hold unmaps the rest of the pool. So holds may be nested,
 * signal handlers may take them, and a thread may keep one while it waits.
 */
#ifndef SLB_TIERS_HOLD_H
#define SLB_TIERS_HOLD_H

#include "os/os.h"
#include "pool.h"

struct slb_hold {
    struct slabby_allocator *pool;
    _Atomic uint32_t *count;
};

/* seq_cst, the count before the phase: pairs with the end of a pool, which stores phase and remains, then reads the
 * counts. Either the ending thread sees the hold, or the thread that began the hold sees here that the pool is gone. */
SLB_INLINE struct slb_hold slb_hold_begin(struct slabby_allocator *pool) {
    struct slb_hold hold = {.pool = pool, .count = &pool->holds[slb_os_cpu() % SLB_HOLD_COUNTS].count};
    atomic_fetch_add_explicit(hold.count, 1, memory_order_seq_cst);
    (void)atomic_load_explicit(&pool->phase, memory_order_seq_cst);
    return hold;
}

/* seq_cst, the count before the load of `remains`: of the end of a pool and the end of its last hold, at least one sees
 * the other, and unmaps. */
SLB_INLINE void slb_hold_end(struct slb_hold *hold) {
    atomic_fetch_sub_explicit(hold->count, 1, memory_order_seq_cst);
    uint64_t remains = atomic_load_explicit(&hold->pool->remains, memory_order_seq_cst);
    if (slb_unlikely((remains & SLB_REMAINS_STATE) == SLB_REMAINS_UNUSED))
        slb_pool_unmap_remains(hold->pool);
}

/* A hold until the end of the block. */
#define SLB_HOLD(pool)                                                                                       \
    __attribute__((cleanup(slb_hold_end), unused)) struct slb_hold slb_hold_here = slb_hold_begin(pool)

#endif
