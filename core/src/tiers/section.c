/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tiers/section.h"

#ifndef SLB_AMALGAMATION
struct slb_section slb_sections[SLB_OS_MOST_CPUS];
#define OF_THREAD
#else
#define OF_THREAD static
#endif
OF_THREAD SLB_THREAD_LOCAL uint64_t slb_section_thread = SLB_SECTION_NO_THREAD;

/* acquire: with the exit of the thread that had the bias. Behind the fence an even turn means that it is not inside,
 * and never will be by this bias. */
static bool is_left(struct slb_section *section) {
    return atomic_load_explicit(&section->turn, memory_order_acquire) % 2 == 0;
}

/* relaxed: a number, by which nothing is handed over */
static void note_revocation(struct slb_section *section) {
    uint64_t turns = atomic_load_explicit(&section->turn, memory_order_relaxed) - section->biased_at;
    section->in_a_row = 0;
    if (turns / 2 >= SLB_SECTION_BIAS_PAYS)
        section->revocations = 0;
    else
        section->revocations += section->revocations < SLB_SECTION_MOST_REVOCATIONS;
}

SLB_PRIVATE SLB_COLD bool slb_section_revoke(struct slb_section *section, uint64_t owner) {
    bool revoked = owner == SLB_SECTION_REVOKED;
    if (revoked && !is_left(section))
        return false;
    /* seq_cst: ahead of the fence */
    if (!atomic_compare_exchange_strong_explicit(&section->owner, &owner, SLB_SECTION_LOCKED,
                                                 memory_order_seq_cst, memory_order_relaxed))
        return false;
    if (revoked)
        return true;
    SLB_POINT(SLB_POINT_REVOKING);
    slb_os_fence_threads();
    note_revocation(section);
    if (is_left(section))
        return true;
    /* release: the fields above, for the next thread that locks it */
    atomic_store_explicit(&section->owner, SLB_SECTION_REVOKED, memory_order_release);
    return false;
}

static uint64_t number_of_thread(void) {
    static _Atomic uint64_t numbers = SLB_SECTION_REVOKED;
    if (slb_section_thread == SLB_SECTION_NO_THREAD) /* relaxed: nothing else goes by it */
        slb_section_thread = 1 + atomic_fetch_add_explicit(&numbers, 1, memory_order_relaxed);
    return slb_section_thread;
}

SLB_PRIVATE SLB_COLD void slb_section_note_exit(struct slb_section *section) {
    uint64_t thread = number_of_thread(), next = SLB_SECTION_FREE;
    if (section->last != thread)
        section->in_a_row = 0;
    else if (slb_os_fences_threads())
        next = thread;
    section->last = thread;
    section->biased_at = atomic_load_explicit(&section->turn, memory_order_relaxed); /* as above */
    atomic_store_explicit(&section->owner, next, memory_order_release);
}

/* A section that is free is locked for a moment: see section.h. */
static void wait_until_unlocked(struct slb_section *section) {
    for (uint32_t attempt = 0;; attempt++) {
        uint64_t owner = atomic_load_explicit(&section->owner, memory_order_acquire);
        if (owner > SLB_SECTION_LOCKED)
            return;
        if (owner == SLB_SECTION_FREE &&
            atomic_compare_exchange_strong_explicit(&section->owner, &owner, SLB_SECTION_LOCKED,
                                                    memory_order_acq_rel, memory_order_relaxed)) {
            atomic_store_explicit(&section->owner, SLB_SECTION_FREE, memory_order_release);
            return;
        }
        slb_os_wait_a_little(attempt);
    }
}

/* A thread that has entered again since has left in between. */
static void wait_until_left(struct slb_section *section) {
    uint64_t turn = atomic_load_explicit(&section->turn, memory_order_acquire);
    for (uint32_t attempt = 0;
         turn % 2 != 0 && atomic_load_explicit(&section->turn, memory_order_acquire) == turn; attempt++)
        slb_os_wait_a_little(attempt);
}

/* In flight: a handler must not wait for the section that this thread has locked. */
SLB_PRIVATE void slb_sections_fence(uint32_t cpus) {
    slb_in_flight_enter();
    slb_os_fence_threads();
    for (uint32_t cpu = 0; cpu < cpus; cpu++) {
        wait_until_unlocked(&slb_sections[cpu]);
        wait_until_left(&slb_sections[cpu]);
    }
    slb_in_flight_leave();
}

SLB_PRIVATE void slb_sections_after_fork(void) {
    for (uint32_t cpu = 0; cpu < slb_os_cpu_count(); cpu++) {
        atomic_store(&slb_sections[cpu].owner, SLB_SECTION_FREE);
        atomic_store(&slb_sections[cpu].turn, 0);
    }
}
