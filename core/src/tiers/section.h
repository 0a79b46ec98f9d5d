/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Sections: the portable backend has them in place of restartable sequences.
 *
 * Each CPU has one section, common to all pools. The thread inside it has the caches of that CPU for itself, in every
 * pool. A thread enters at once or not at all, and waits for nothing while it is inside. Sections are static and
 * outlive every pool, so a thread needs no hold (tiers/hold.h) to enter one.
 *
 *    owner   FREE               a thread enters by a compare-and-swap to LOCKED
 *            LOCKED             a thread that came this way is inside, or a thread revokes the bias
 *            a thread           biased to this thread, which enters by a plain store of its `turn`; no other thread may
 *            thread + REVOKED   it was biased to this thread: free as soon as the turn of this thread is even
 *    turn    of each thread: odd while it is inside any section by a bias
 *
 * A thread that entered a thousand times in a row gets the bias, where the system has a fence of all threads
 * (slb_os_fence_threads). The next thread on this CPU revokes it:
 *
 *      the thread of the bias               a thread that revokes
 *      turn = odd                           owner: the thread -> LOCKED
 *      load owner: still this thread?       fence of all threads
 *      ... inside ...                       load turn: even?
 *      turn = even
 *
 * The fence is a full barrier in each thread, at one moment of that thread. If the store of `turn` came before that
 * moment, the load of `turn` sees it. If the store came after that moment, so did the load of `owner`, which finds
 * LOCKED. So the two threads are never inside at the same time. Where `turn` is odd, the thread that revokes waits for
 * nothing: it leaves REVOKED, and goes on elsewhere. Only a thread itself stores its number as owner, so `owner` does
 * not become the same again meanwhile.
 *
 * Only a thread itself stores its turn. It may stop before this store, and the section may be biased to another thread
 * when it continues. If the turn belonged to the section, the late store would then say that the other thread is not
 * inside. So the turn belongs to the thread. Turns are static, as sections are, and no second thread gets one: the
 * first thousand threads of a process that get a bias have one, and all others enter by a compare-and-swap.
 *
 * A section may leave the state REVOKED, and return to it with the same thread. So a thread that found the turn even
 * locks the section, and then checks the turn again.
 *
 * What one thread did inside is visible to the next: an exit releases (`owner`, or `turn`), an entry acquires both.
 *
 * A thread that stores something for all sections to see (a header that is locked, a limit) calls slb_sections_fence
 * after the store. When the call returns, each section that may have missed the store is over:
 * - With the fence of all threads: the entries of a thread before the barrier are visible, and waited for; what it
 *   loads inside a later one comes behind the barrier, and finds the store.
 * - By compare-and-swap: the fence swaps `owner` as well. Exits before that are visible, and later entries acquire what
 *   the fence has released.
 */
#ifndef SLB_TIERS_SECTION_H
#define SLB_TIERS_SECTION_H

#include "os/os.h"
#include "tiers/in_flight.h"

/* The numbers of threads that have a turn (in_flight.h) are even, from SLB_SECTION_FIRST_THREAD on. */
enum slb_section_owner {
    SLB_SECTION_FREE = 0,
    SLB_SECTION_LOCKED = 1,
    SLB_SECTION_REVOKED = 1, /* added to the number of a thread */
    SLB_SECTION_FIRST_THREAD = 2,
};

/* The fields that are not atomic belong to the thread that has locked the section. */
struct slb_section {
    _Alignas(SLB_CACHE_LINE) _Atomic uint64_t owner; /* enum slb_section_owner, or the number of a thread */
    uint64_t last;                                   /* the thread that was inside last */
    uint32_t in_a_row;                               /* how often it came back */
    uint32_t revocations; /* how often the bias was revoked before it paid; each time delays the next bias */
    uint64_t biased_at;   /* the thread's turn when the bias began */
};

SLB_SHARED_DATA struct slb_section slb_sections[SLB_OS_MOST_CPUS];

/* An entry: of which section, and how. */
struct slb_inside {
    struct slb_section *section;
    _Atomic uint64_t *turn; /* NULL: by a compare-and-swap */
    uint64_t next;          /* what the turn will be behind the exit */
};

/* For an entry that found the section biased to another thread, or revoked. False: the caller goes on elsewhere. */
SLB_PRIVATE SLB_COLD bool slb_section_revoke(struct slb_section *section, uint64_t owner);

/* The exit of a thread that has not been inside last, or has been often enough to get the bias. */
SLB_PRIVATE SLB_COLD void slb_section_note_exit(struct slb_section *section);

/* Call this after a store. When it returns, every later section sees the store, and every earlier section is over. Not
 * for a signal handler that interrupted its own thread in a section (slb_in_section): it would wait for itself. */
SLB_PRIVATE void slb_sections_fence(uint32_t cpus);

/* In a child made by fork: no thread is inside. */
SLB_PRIVATE void slb_sections_after_fork(void);

/* How often a thread must come back before the section is biased to it. */
#define SLB_SECTION_BIAS_AFTER 1024u
#define SLB_SECTION_MOST_REVOCATIONS 12u

/* So many entries by a bias pay for the fence that revokes it. */
#define SLB_SECTION_BIAS_PAYS 65536u

SLB_INLINE uint32_t slb_section_enough(const struct slb_section *section) {
    return SLB_SECTION_BIAS_AFTER << section->revocations;
}

/* The section was biased to the calling thread. A signal handler that interrupted its own thread inside finds an odd
 * turn; a handler that ran between the load and the store has left the section again. */
SLB_INLINE bool slb_section_enter_biased(struct slb_section *section, uint64_t thread,
                                         struct slb_inside *out) {
    _Atomic uint64_t *own = slb_section_turn_of(thread);
    uint64_t turn = atomic_load_explicit(own, memory_order_relaxed); /* no other thread stores it */
    if (slb_unlikely(turn % 2 != 0))
        return false;
    atomic_store_explicit(own, turn + 1, memory_order_relaxed);
    /* orders the compiler; the fence of all threads orders the processor */
    atomic_signal_fence(memory_order_seq_cst);
    if (slb_unlikely(atomic_load_explicit(&section->owner, memory_order_acquire) != thread)) {
        atomic_store_explicit(own, turn + 2, memory_order_release);
        return false;
    }
    out->turn = own;
    out->next = turn + 2;
    return true;
}

/* A signal handler finds the thread inside from before the swap until behind the exit. */
SLB_INLINE bool slb_section_enter_locked(struct slb_section *section, uint64_t owner) {
    slb_in_section_enter();
    if (slb_likely(owner == SLB_SECTION_FREE)
            ? slb_likely(atomic_compare_exchange_strong_explicit(&section->owner, &owner, SLB_SECTION_LOCKED,
                                                                 memory_order_acquire, memory_order_relaxed))
            : owner != SLB_SECTION_LOCKED && slb_section_revoke(section, owner))
        return true;
    slb_in_section_leave();
    return false;
}

SLB_INLINE bool slb_section_enter(uint32_t cpu, struct slb_inside *out) {
    struct slb_section *section = &slb_sections[cpu];
    /* relaxed: a hint for the way; either way looks again */
    uint64_t owner = atomic_load_explicit(&section->owner, memory_order_relaxed);
    *out = (struct slb_inside){section, NULL, 0};
    return slb_likely(owner == slb_section_thread) ? slb_section_enter_biased(section, owner, out)
                                                   : slb_section_enter_locked(section, owner);
}

SLB_INLINE void slb_section_leave(const struct slb_inside *inside) {
    struct slb_section *section = inside->section;
    if (slb_likely(inside->turn != NULL)) {
        atomic_store_explicit(inside->turn, inside->next, memory_order_release);
        return;
    }
    if (slb_likely(section->last == slb_section_thread && ++section->in_a_row != slb_section_enough(section)))
        atomic_store_explicit(&section->owner, SLB_SECTION_FREE, memory_order_release);
    else
        slb_section_note_exit(section);
    slb_in_section_leave();
}

#endif
