/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The short path of a pool without CPU caches: one id at a time between a shard and its user, counted by restartable
 * sequences. An allocation has one atomic instruction (the pop), a release two (its word, the push).
 *
 *      allocate                                        release
 *      single_entered + 1    a sequence                the word: live -> free
 *      pop                   a locked swap             push                  a locked swap
 *      single_taken + 1      a sequence                single_given + 1      a sequence
 *      the word: free -> live                          look at the gate
 *
 * The counters lie in the stripe of a CPU, and only sequences on that CPU add to them: an addition is one instruction,
 * the commit. Where a sequence does not complete, the stripe's atomic counters take its place (`hits` and `left`,
 * `releases`). An allocation is inside from single_entered to single_taken, as others are from slb_enter to slb_leave.
 *
 * No count is a barrier. So a thread that needs to know that no thread is inside, or which slabs are live, sets its
 * reason and then fences: the gate that closes for SLB_GATE_RESETTING or SLB_GATE_CLOSED stores single_cpus = 0, and
 * issues slb_os_fence_rseq before it looks at any counter. The fence is a full barrier in each running thread, at one
 * moment of that thread, and restarts a sequence that has not committed.
 *
 * - An allocation that entered before that moment is visible to slb_is_idle, and waited for. One that enters later
 *   reads 0 and takes the slow path, which sees the reason. So between its two counts the pool does not end, and no
 *   work on the whole pool goes on: the memory of the pool that the thread accesses stays mapped, and no slab is taken
 *   meanwhile.
 * - A release that has pushed and not counted has a slab in hand, as far as the counters show. If it counted before
 *   that moment, the closing thread sees the count. If it counts later, it checks the gate later still, and finds
 *   CLOSED. So one of them ends the pool. The count is the last access to memory that is unmapped with the pool.
 *
 * Other reasons need no fence. An allocation that has read the gate before a reason was set may take one slab more, as
 * on the slow path. A release: {push, look at the gate} against {set the reason, look into the shards}, as in
 * resilience/waiters.h; the push is a locked instruction, which is a full barrier on x86-64.
 *
 * The proof of emptiness (gate.h): exactly one thread or list has the id at any time, so nothing here is a move.
 *
 * Quiescence (pool/quiesce.h): single_taken is stored before the word says live, single_given after the word that says
 * free; stores become visible in their order on x86-64.
 */
#ifndef SLB_TIERS_SINGLE_H
#define SLB_TIERS_SINGLE_H

#include "tiers/cpu_cache_rseq.h"
#include "tiers/in_flight.h"
#include "tiers/stack.h"

/* An allocation that is inside. */
struct slb_single {
    struct slb_stripe *stripe; /* of the CPU on which it entered */
    uint32_t cpu;
    uint64_t number; /* of the allocations that entered there */
};

#if SLB_HAVE_SINGLES

/* One try; false: the pool does not take this path now, or not on this CPU. */
SLB_INLINE bool slb_single_enter(struct slabby_allocator *pool, struct slb_single *out) {
    slb_in_flight_enter();
    if (slb_likely(slb_rseq_enter_single(pool, &out->stripe, &out->cpu, &out->number)))
        return true;
    slb_in_flight_leave();
    return false;
}

/* Leaves without a slab. seq_cst: as slb_leave. */
SLB_INLINE void slb_single_leave(const struct slb_single *single) {
    atomic_fetch_add_explicit(&single->stripe->left, 1, memory_order_seq_cst);
    slb_in_flight_leave();
}

/* Leaves with a slab, which counts as allocated from now on. */
SLB_INLINE void slb_single_leave_with_slab(const struct slb_single *single) {
    struct slb_stripe *stripe = single->stripe;
    if (slb_likely(slb_rseq_try_add(single->cpu, &stripe->single_taken, 1) == SLB_RSEQ_DONE)) {
        slb_in_flight_leave();
        return;
    }
    slb_count(&stripe->hits[SLB_TIER_SHARD], 1);
    slb_single_leave(single);
}

/* One id of the shard of its CPU. */
SLB_INLINE bool slb_single_pop(struct slabby_allocator *pool, const struct slb_single *single,
                               uint32_t *out_id) {
    return slb_stack_pop(&pool->shards[single->cpu & pool->shard_mask].head, pool->next, out_id);
}

/* Gives back the id of a slab that this thread has freed. Until the release is counted, the slab is in hand; from the
 * count on, the pool may end. False: nothing was done. */
SLB_INLINE bool slb_single_give(struct slabby_allocator *pool, uint32_t id) {
    uint32_t cpu = slb_rseq_cpu();
    /* relaxed: a hint; a stripe that has been used once stays */
    if (slb_unlikely(cpu >= atomic_load_explicit(&pool->single_cpus, memory_order_relaxed)))
        return false;
    struct slb_stripe *stripe = &pool->stripes[cpu];
    slb_stack_push(&pool->shards[cpu & pool->shard_mask].head, pool->next, id);
    SLB_POINT(SLB_POINT_RELEASED);
    if (slb_unlikely(slb_rseq_try_add(cpu, &stripe->single_given, 1) != SLB_RSEQ_DONE))
        atomic_fetch_add_explicit(&stripe->releases, 1, memory_order_seq_cst);
    return true;
}

#else

SLB_INLINE bool slb_single_enter(struct slabby_allocator *pool, struct slb_single *out) {
    (void)pool, (void)out;
    return false;
}

SLB_INLINE void slb_single_leave(const struct slb_single *single) {
    (void)single;
}

SLB_INLINE void slb_single_leave_with_slab(const struct slb_single *single) {
    (void)single;
}

SLB_INLINE bool slb_single_pop(struct slabby_allocator *pool, const struct slb_single *single,
                               uint32_t *out_id) {
    (void)pool, (void)single, (void)out_id;
    return false;
}

SLB_INLINE bool slb_single_give(struct slabby_allocator *pool, uint32_t id) {
    (void)pool, (void)id;
    return false;
}

#endif

#endif
