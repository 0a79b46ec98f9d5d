/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The lock-free tagged stack that shards, depot and heap ids share: indices linked through a side array.
 *
 * head = {tag:32, index + 1:32}. Push and pop raise the tag, so a head read before any other operation never matches
 * again (within 2^32 operations while one thread sleeps between its load and its swap). The swap is acq_rel: the
 * release half publishes the link and whatever the pusher wrote behind the index, the acquire half lets the popper
 * see it. Links are read before the swap has proved that they are current, hence atomics, relaxed.
 */
#ifndef SLB_TIERS_STACK_H
#define SLB_TIERS_STACK_H

#include "base.h"
#include "tiers/stack_state.h"

SLB_INLINE bool slb_stack_is_empty(uint64_t head) {
    return (uint32_t)head == 0;
}

SLB_INLINE uint64_t slb_stack_swap_value(uint64_t old_head, uint32_t index_plus_1) {
    return (((old_head >> 32) + 1) << 32) | index_plus_1;
}

SLB_INLINE void slb_stack_push(slb_stack *stack, _Atomic uint32_t *next, uint32_t index) {
    uint64_t head = atomic_load_explicit(stack, memory_order_relaxed);
    do {
        atomic_store_explicit(&next[index], (uint32_t)head, memory_order_relaxed);
        SLB_POINT(SLB_POINT_STACK);
    } while (!atomic_compare_exchange_weak_explicit(stack, &head, slb_stack_swap_value(head, index + 1),
                                                    memory_order_acq_rel, memory_order_relaxed));
}

SLB_INLINE bool slb_stack_pop(slb_stack *stack, _Atomic uint32_t *next, uint32_t *out_index) {
    uint64_t head = atomic_load_explicit(stack, memory_order_acquire);
    for (;;) {
        if (slb_stack_is_empty(head))
            return false;
        uint32_t index = (uint32_t)head - 1;
        uint32_t below = atomic_load_explicit(&next[index], memory_order_relaxed);
        SLB_POINT(SLB_POINT_STACK);
        if (atomic_compare_exchange_weak_explicit(stack, &head, slb_stack_swap_value(head, below),
                                                  memory_order_acq_rel, memory_order_acquire)) {
            *out_index = index;
            return true;
        }
    }
}

/* Pops several at once: *out_top and the indices below it down to *out_last, which stay linked; answers how many. The
 * links are those of the head that the swap finds unchanged. They were stored before swaps of this stack, which the
 * load of the head acquires. */
SLB_INLINE uint32_t slb_stack_pop_chain(slb_stack *stack, _Atomic uint32_t *next, uint32_t wanted,
                                        uint32_t *out_top, uint32_t *out_last) {
    uint64_t head = atomic_load_explicit(stack, memory_order_acquire);
    for (;;) {
        if (slb_stack_is_empty(head))
            return 0;
        uint32_t last = (uint32_t)head - 1, count = 1;
        uint32_t below = atomic_load_explicit(&next[last], memory_order_relaxed);
        for (; count < wanted && below != 0; count++) {
            last = below - 1;
            below = atomic_load_explicit(&next[last], memory_order_relaxed);
        }
        *out_top = (uint32_t)head - 1;
        *out_last = last;
        SLB_POINT(SLB_POINT_STACK);
        if (atomic_compare_exchange_weak_explicit(stack, &head, slb_stack_swap_value(head, below),
                                                  memory_order_acq_rel, memory_order_acquire))
            return count;
    }
}

SLB_INLINE void slb_stack_push_chain(slb_stack *stack, _Atomic uint32_t *next, uint32_t top, uint32_t last) {
    uint64_t head = atomic_load_explicit(stack, memory_order_relaxed);
    do {
        atomic_store_explicit(&next[last], (uint32_t)head, memory_order_relaxed);
        SLB_POINT(SLB_POINT_STACK);
    } while (!atomic_compare_exchange_weak_explicit(stack, &head, slb_stack_swap_value(head, top + 1),
                                                    memory_order_acq_rel, memory_order_relaxed));
}

/* Takes up to `wanted` of the `total` numbers that were never used, lowest first; answers how many. */
SLB_INLINE uint32_t slb_bump(_Atomic uint64_t *used, uint64_t total, uint32_t wanted, uint64_t *out_first) {
    uint64_t first = atomic_load_explicit(used, memory_order_relaxed);
    for (;;) {
        uint64_t left = first < total ? total - first : 0;
        uint32_t count = left < wanted ? (uint32_t)left : wanted;
        if (count == 0)
            return 0;
        if (atomic_compare_exchange_weak_explicit(used, &first, first + count, memory_order_acq_rel,
                                                  memory_order_relaxed)) {
            *out_first = first;
            return count;
        }
    }
}

#endif
