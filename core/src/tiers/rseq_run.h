/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Many releases in one restartable sequence, where the processor has the instruction that this needs.
 *
 * The sequence looks at one word after the other, stores those that say live and biased to this CPU as free, writes
 * their ids above the stack of this CPU's cache, and commits all ids by one store of the header. Each word is a commit
 * of its own: it stays free when the kernel restarts the sequence behind it. So an interrupted run must know whether it
 * has stored the current word itself, or another thread of this CPU has released that slab. The words do not show this.
 * The registers do, because the kernel changes nothing but the address at which the thread continues:
 *
 *      compare        the word is what it must be, so it is not the one stored last: that one says free
 *      at = word      the address of the word ..
 *      begun + 1      .. that was begun last
 *      stosq          one instruction: the word is stored, and `at` moves on
 *
 * At whichever instruction the run ended, all words that were begun are stored, except the last one if `at` still
 * points to it.
 *
 * Until the header is stored, the slabs belong to the thread and count as used: they are part of its demand until the
 * call returns, like the one slab of slabby_release. So nothing is counted as a move.
 */
#ifndef SLB_TIERS_RSEQ_RUN_H
#define SLB_TIERS_RSEQ_RUN_H

#include "tiers/cpu_cache_rseq.h"

/* What a run did. Done: the cache has the ids. Restarted: the caller gives them. Refused: the cache is locked or has
 * too little space left, or this CPU makes no runs. */
struct slb_rseq_run {
    uint64_t begun;
    const _Atomic uint64_t *at;
    enum slb_rseq_result result;
};

/* The number of slabs that a run has freed, by their words, when it was restarted or is done. */
SLB_INLINE uint64_t slb_rseq_run_freed(const struct slb_rseq_run *run, const _Atomic uint64_t *words,
                                       const uint32_t *ids) {
    return run->begun != 0 && run->at == &words[ids[run->begun - 1]] ? run->begun - 1 : run->begun;
}

#if SLB_HAVE_RSEQ && defined(__x86_64__)
#include "tiers/rseq_run_x86_64.h"
#else
#include "tiers/rseq_run_none.h"
#endif

#endif
