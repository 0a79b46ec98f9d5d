/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tiers/section.h"

#ifndef SLB_AMALGAMATION
struct slb_section slb_sections[SLB_OS_MOST_CPUS];
struct slb_section_turn slb_section_turns[SLB_SECTION_TURNS];
#define OF_THREAD
#else
#define OF_THREAD static
#endif
OF_THREAD SLB_THREAD_LOCAL uint64_t slb_section_thread = SLB_SECTION_NO_THREAD;

/* After the fence an even turn means that the thread of the bias is not inside, and will never be inside by this bias.
 * acquire: pairs with the thread's exit. */
static bool is_left(uint64_t owner) {
    return atomic_load_explicit(slb_section_turn_of(owner), memory_order_acquire) % 2 == 0;
}

/* Counts also the turns that the thread spent by the bias of another section meanwhile. relaxed: a number that
 * publishes nothing else */
static void note_revocation(struct slb_section *section, uint64_t owner) {
    uint64_t turns =
        atomic_load_explicit(slb_section_turn_of(owner), memory_order_relaxed) - section->biased_at;
    section->in_a_row = 0;
    if (turns / 2 >= SLB_SECTION_BIAS_PAYS)
        section->revocations = 0;
    else
        section->revocations += section->revocations < SLB_SECTION_MOST_REVOCATIONS;
}

SLB_PRIVATE SLB_COLD bool slb_section_revoke(struct slb_section *section, uint64_t owner) {
    bool revoked = (owner & SLB_SECTION_REVOKED) != 0;
    if (revoked && !is_left(owner))
        return false;
    /* seq_cst: ahead of the fence */
    if (!atomic_compare_exchange_strong_explicit(&section->owner, &owner, SLB_SECTION_LOCKED,
                                                 memory_order_seq_cst, memory_order_relaxed))
        return false;
    if (!revoked) {
        SLB_POINT(SLB_POINT_REVOKING);
        slb_os_fence_threads();
        note_revocation(section, owner);
    }
    if (is_left(owner))
        return true;
    /* release: the fields above, for the next thread that locks it */
    atomic_store_explicit(&section->owner, owner | SLB_SECTION_REVOKED, memory_order_release);
    return false;
}

/* Threads without a turn are numbered down from above. */
static uint64_t number_of_thread(void) {
    static _Atomic uint64_t numbers = SLB_SECTION_NO_THREAD;
    if (slb_section_thread == SLB_SECTION_NO_THREAD) /* relaxed: nothing else goes by it */
        slb_section_thread = atomic_fetch_sub_explicit(&numbers, 1, memory_order_relaxed) - 1;
    return slb_section_thread;
}

/* False where all turns have been given away. A signal handler may run in between, and use up a second turn. */
static bool has_a_turn(void) {
    static _Atomic uint64_t next = SLB_SECTION_FIRST_THREAD;
    if (slb_section_thread < 2 * SLB_SECTION_TURNS)
        return true;
    if (atomic_load_explicit(&next, memory_order_relaxed) >= 2 * SLB_SECTION_TURNS)
        return false;
    uint64_t number = atomic_fetch_add_explicit(&next, 2, memory_order_relaxed); /* relaxed: as above */
    if (number >= 2 * SLB_SECTION_TURNS)
        return false;
    slb_section_thread = number;
    return true;
}

SLB_PRIVATE SLB_COLD void slb_section_note_exit(struct slb_section *section) {
    uint64_t next = SLB_SECTION_FREE;
    if (section->last != number_of_thread())
        section->in_a_row = 0;
    else if (slb_os_fences_threads() && has_a_turn()) {
        next = slb_section_thread;
        section->biased_at =
            atomic_load_explicit(slb_section_turn_of(next), memory_order_relaxed); /* as above */
    }
    section->last = slb_section_thread;
    atomic_store_explicit(&section->owner, next, memory_order_release);
}

/* A section that is free is locked for a moment: see section.h. Answers the owner that it found. */
static uint64_t wait_until_unlocked(struct slb_section *section) {
    for (uint32_t attempt = 0;; attempt++) {
        uint64_t owner = atomic_load_explicit(&section->owner, memory_order_acquire);
        if (owner > SLB_SECTION_LOCKED)
            return owner;
        if (owner == SLB_SECTION_FREE &&
            atomic_compare_exchange_strong_explicit(&section->owner, &owner, SLB_SECTION_LOCKED,
                                                    memory_order_acq_rel, memory_order_relaxed)) {
            atomic_store_explicit(&section->owner, SLB_SECTION_FREE, memory_order_release);
            return SLB_SECTION_FREE;
        }
        slb_os_wait_a_little(attempt);
    }
}

/* A thread that is inside again has left in between. */
static void wait_until_left(uint64_t owner) {
    _Atomic uint64_t *of_thread = slb_section_turn_of(owner);
    uint64_t turn = atomic_load_explicit(of_thread, memory_order_acquire);
    for (uint32_t attempt = 0; turn % 2 != 0 && atomic_load_explicit(of_thread, memory_order_acquire) == turn;
         attempt++)
        slb_os_wait_a_little(attempt);
}

/* Inside: a handler must not wait for the section that this thread has locked. */
SLB_PRIVATE void slb_sections_fence(uint32_t cpus) {
    slb_in_section_enter();
    slb_os_fence_threads();
    for (uint32_t cpu = 0; cpu < cpus; cpu++) {
        uint64_t owner = wait_until_unlocked(&slb_sections[cpu]);
        if (owner != SLB_SECTION_FREE)
            wait_until_left(owner);
    }
    slb_in_section_leave();
}

SLB_PRIVATE void slb_sections_after_fork(void) {
    for (uint32_t cpu = 0; cpu < slb_os_cpu_count(); cpu++)
        atomic_store(&slb_sections[cpu].owner, SLB_SECTION_FREE);
}
