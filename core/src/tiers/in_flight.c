/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tiers/in_flight.h"

/* The sums are not read at one moment. Those of `left` are read first, so equality means that at some moment in between
 * no thread was inside. Allocations that entered by a sequence (single.h) are seen after the fence of
 * slb_gate_close. */
SLB_PRIVATE bool slb_is_idle(struct slabby_allocator *pool) {
    uint64_t left = 0, entered = 0;
    for (uint32_t i = 0; i < slb_used_cpus(pool); i++) {
        left += atomic_load_explicit(&pool->stripes[i].left, memory_order_seq_cst);
        left += atomic_load_explicit(&pool->stripes[i].single_taken, memory_order_seq_cst);
    }
    for (uint32_t i = 0; i < slb_used_cpus(pool); i++) {
        entered += atomic_load_explicit(&pool->stripes[i].entered, memory_order_seq_cst);
        entered += atomic_load_explicit(&pool->stripes[i].single_entered, memory_order_seq_cst);
    }
    return left == entered;
}
