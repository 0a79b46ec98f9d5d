/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The number of operations that a thread is inside, for a signal handler that interrupts it. While this depth is above
 * 0, a handler that waits for other threads might wait for its own thread, so its call answers Busy instead.
 *
 * With glibc the address is known without a call into the dynamic linker (os/system.h); elsewhere that call does not
 * allocate for a thread that has used the library before.
 */
#ifndef SLB_TIERS_IN_FLIGHT_H
#define SLB_TIERS_IN_FLIGHT_H

#include "base.h"
#include "os/os.h"
#include "pool.h"

SLB_SHARED_DATA SLB_THREAD_LOCAL uint32_t slb_in_flight_depth;

/* Only handlers of this thread read it, so compiler order is enough. */
SLB_INLINE void slb_in_flight_enter(void) {
    slb_in_flight_depth++;
    atomic_signal_fence(memory_order_seq_cst);
}

SLB_INLINE void slb_in_flight_leave(void) {
    atomic_signal_fence(memory_order_seq_cst);
    slb_in_flight_depth--;
}

/* Sections (section.h) are counted separately: a thread waits for all of them, so a handler must know whether its own
 * thread is in one, for any pool. A section that the thread entered by a bias is not counted: the thread's turn is odd
 * instead. */
#define SLB_IN_FLIGHT_SECTION (1u << 16)

/* Where the number of a thread is below 2 * SLB_SECTION_TURNS, the thread has the turn of this number. */
#define SLB_SECTION_TURNS 1024u
struct slb_section_turn {
    _Alignas(SLB_CACHE_LINE) _Atomic uint64_t turn;
};
SLB_SHARED_DATA struct slb_section_turn slb_section_turns[SLB_SECTION_TURNS];

SLB_INLINE _Atomic uint64_t *slb_section_turn_of(uint64_t thread) {
    return &slb_section_turns[thread / 2].turn;
}

/* The number of the calling thread; no two threads of a process have the same. It is above the numbers of turns until
 * the thread is due a bias for the first time. */
#define SLB_SECTION_NO_THREAD UINT64_MAX
SLB_SHARED_DATA SLB_THREAD_LOCAL uint64_t slb_section_thread;

SLB_INLINE void slb_in_section_enter(void) {
    slb_in_flight_depth += SLB_IN_FLIGHT_SECTION;
    atomic_signal_fence(memory_order_seq_cst);
}

SLB_INLINE void slb_in_section_leave(void) {
    atomic_signal_fence(memory_order_seq_cst);
    slb_in_flight_depth -= SLB_IN_FLIGHT_SECTION;
}

/* relaxed: only this thread stores its turn */
SLB_INLINE bool slb_in_section_by_bias(void) {
    uint64_t thread = slb_section_thread;
    return thread < 2 * SLB_SECTION_TURNS &&
           atomic_load_explicit(slb_section_turn_of(thread), memory_order_relaxed) % 2 != 0;
}

SLB_INLINE bool slb_in_section(void) {
    return slb_in_flight_depth >= SLB_IN_FLIGHT_SECTION || slb_in_section_by_bias();
}

/* Whether the calling thread is in the middle of anything, beside the `own` operations that the caller itself has
 * entered. */
SLB_INLINE bool slb_in_flight_beside(uint32_t own) {
    return slb_in_flight_depth != own || slb_in_section_by_bias();
}

SLB_INLINE bool slb_in_flight(void) {
    return slb_in_flight_beside(0);
}

SLB_INLINE struct slb_stripe *slb_stripe_here(struct slabby_allocator *pool) {
    uint32_t cpu = slb_os_cpu();
    return &pool->stripes[cpu < slb_used_cpus(pool) ? cpu : 0];
}

/* This CPU reaches a slow path for the first time: from now on it has a cache and a stripe of its own. Does nothing
 * while the gate is closed, or its lock is taken; then the next slow path tries again. */
SLB_PRIVATE SLB_COLD void slb_cpu_join(struct slabby_allocator *pool, uint32_t cpu);

SLB_INLINE void slb_cpu_join_if_new(struct slabby_allocator *pool) {
    uint32_t cpu = slb_os_cpu();
    if (slb_unlikely(cpu >= slb_used_cpus(pool)) && cpu < pool->cpus)
        slb_cpu_join(pool, cpu);
}

/* release: a thread that sees the count sees the header or list that it counts, see observe/counters.h */
SLB_INLINE void slb_count(_Atomic uint64_t *counter, uint64_t by) {
    atomic_fetch_add_explicit(counter, by, memory_order_release);
}

/*
 * A slow operation: from slb_enter to slb_leave the pool may not be reset or destroyed. seq_cst on both sides of the
 * pair {entered, gate}: either the operation sees the reason that another thread set, or that thread sees the
 * operation.
 */
SLB_INLINE struct slb_stripe *slb_enter(struct slabby_allocator *pool) {
    slb_cpu_join_if_new(pool);
    struct slb_stripe *stripe = slb_stripe_here(pool);
    slb_in_flight_enter();
    atomic_fetch_add_explicit(&stripe->entered, 1, memory_order_seq_cst);
    return stripe;
}

SLB_INLINE void slb_leave(struct slb_stripe *stripe) {
    atomic_fetch_add_explicit(&stripe->left, 1, memory_order_seq_cst);
    slb_in_flight_leave();
}

/*
 * Several ids in transit: between these two calls no thread can prove that the pool is empty. The proof reads
 * finished, then the tiers, then started; seq_cst keeps the start before the first id leaves a tier and the finish
 * behind the last id's return.
 */
SLB_INLINE void slb_move_begin(struct slb_stripe *stripe) {
    atomic_fetch_add_explicit(&stripe->moves_started, 1, memory_order_seq_cst);
}

SLB_INLINE void slb_move_end(struct slb_stripe *stripe) {
    atomic_fetch_add_explicit(&stripe->moves_finished, 1, memory_order_seq_cst);
}

/* Whether no slow operation is under way, at some moment during the call. */
SLB_PRIVATE bool slb_is_idle(struct slabby_allocator *pool);

#endif
