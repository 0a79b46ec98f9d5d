/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The data of the heap tier. */
#ifndef SLB_TIERS_HEAP_STATE_H
#define SLB_TIERS_HEAP_STATE_H

#include "tiers/stack_state.h"

/* The heap tier: pointers of slabs beyond capacity. */
struct slb_heap {
    _Atomic(void *) *_Atomic table; /* mapped on first use, id - capacity -> slab */
    uint32_t limit;
    _Atomic uint32_t enabled;
    slb_stack head;        /* free heap ids, linked through pool->next */
    _Atomic uint64_t used; /* heap ids that have been used at least once */
    _Atomic uint64_t live;
};

SLB_INLINE void *slb_heap_data(struct slb_heap *heap, uint32_t index) {
    /* acquire pairs with the release store of slb_heap_take: a thread that holds the id sees the pointer */
    _Atomic(void *) *table = atomic_load_explicit(&heap->table, memory_order_acquire);
    return table == NULL ? NULL : atomic_load_explicit(&table[index], memory_order_acquire);
}

#endif
