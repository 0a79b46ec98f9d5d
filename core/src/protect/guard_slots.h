/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Sampled guards: one allocation in guard_sample_rate lies on a guard slot, whose pages are inaccessible while it is
 * free and which begins and ends at inaccessible pages.
 *
 *   | guard | slot 0 | guard | slot 1 | guard | ...        free: all of it faults
 *           |slack|user's bytes|                           live: the user's bytes end at the guard (even turns)
 *           |user's bytes|slack|                           or begin at it (odd turns); the slack is patterned
 *
 * The allocation keeps its ordinary slab: id, generation and capacity are unchanged, and only the address of the data
 * is different. The word says so with SLB_WORD_GUARDED for as long as the slab is live, and slot_of[id] names the slot
 * until slb_guard_close has closed it.
 *
 * Slots are handed out in turn, so that a free slot stays inaccessible for a long time; if no slot is free, the
 * allocation stays ordinary. The owner of the slab owns its slot.
 */
#ifndef SLB_PROTECT_GUARD_SLOTS_H
#define SLB_PROTECT_GUARD_SLOTS_H

#include "observe/stack_record.h"
#include "pool.h"
#include "protect/bit_guard.h"
#include "protect/fault.h"

/* Maps the slots, once; NoSystemMemory where the system refuses or lock_memory = required cannot be kept. */
SLB_PRIVATE slabby_status slb_guards_prepare(struct slabby_allocator *pool, slabby_error *error);

/* Call this when the rate has changed: the remaining countdown of each CPU was drawn by the old rate. */
SLB_PRIVATE void slb_guards_draw_again(struct slabby_allocator *pool);

/* Unmaps the slots and their records, with the bookkeeping of a pool that has ended. */
SLB_PRIVATE void slb_guards_forget(struct slabby_allocator *pool);

/* In a child made by fork: slots that vanished threads were busy with are free again, locked memory is locked again. */
SLB_PRIVATE bool slb_guards_renew(struct slabby_allocator *pool);

SLB_PRIVATE uint64_t slb_guards_bytes(struct slabby_allocator *pool);

/* `weight` allocations have come since the last call on this CPU, the allocation of this slab included; if one of them
 * is the N-th, this slab goes on a slot. The caller has the slab in hand, and its word still says free. It was counted
 * as sampled from this tier before it was counted as served. Answers the bits that the word must have beside its state:
 * SLB_WORD_GUARDED or 0. */
SLB_PRIVATE uint64_t slb_guard_sample(struct slabby_allocator *pool, uint32_t id, enum slb_tier tier,
                                      uint64_t weight);

/* Whether allocations are to be sampled for guard slots. relaxed: slb_guard_sample loads it again. */
SLB_INLINE bool slb_guard_is_on(struct slabby_allocator *pool) {
    return slb_unlikely(atomic_load_explicit(&pool->guard_rate, memory_order_relaxed) != 0);
}

/* Whether the next samples of this CPU concern no guard slot: none stands for more than SLB_SAMPLE_GUARDS_MOST
 * allocations.
 * relaxed, here and below: only a count. */
SLB_INLINE bool slb_guard_is_far(struct slabby_allocator *pool, uint32_t cpu) {
    return atomic_load_explicit(&pool->stripes[cpu].guard_countdown, memory_order_relaxed) >
           SLB_SAMPLE_GUARDS_MOST;
}

/* `weight` allocations have come that concern no guard slot. A countdown that another thread of this CPU, or
 * slb_guards_draw_again, has ended meanwhile stays unchanged; a countdown that would end here ends with the next
 * sample. */
SLB_INLINE void slb_guard_pass(struct slabby_allocator *pool, uint32_t cpu, uint64_t weight) {
    _Atomic int64_t *countdown = &pool->stripes[cpu].guard_countdown;
    int64_t left = atomic_load_explicit(countdown, memory_order_relaxed), next;
    do {
        if (slb_unlikely(left <= 0))
            return;
        next = (uint64_t)left > weight ? left - (int64_t)weight : 1;
    } while (!atomic_compare_exchange_weak_explicit(countdown, &left, next, memory_order_relaxed,
                                                    memory_order_relaxed));
}

/* Whether a slab in use lies on a slot. */
SLB_PRIVATE bool slb_guard_holds(struct slabby_allocator *pool, uint32_t id);

/* False where the slack was written to; out_damage is filled then. */
SLB_PRIVATE bool slb_guard_intact(struct slabby_allocator *pool, uint32_t id, uint64_t generation,
                                  struct slb_damage *out_damage);

/* The slab was released and is in the caller's hands: its slot becomes inaccessible. */
SLB_PRIVATE void slb_guard_close(struct slabby_allocator *pool, uint32_t id, uint64_t generation);

/* Whose slot an address concerns. Async-signal-safe. */
SLB_PRIVATE bool slb_guard_locate(struct slabby_allocator *pool, uintptr_t address,
                                  struct slb_fault_info *out);

#endif
