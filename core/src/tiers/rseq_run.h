/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Many releases in one restartable sequence, where this is written for the processor.
 *
 * The sequence looks at one word after the other, stores those that say live and biased to this CPU as free, writes
 * their ids above the stack of this CPU's cache, and commits all ids by one store of the header. Each word is a commit
 * of its own: it stays free when the kernel restarts the sequence behind it. So an interrupted run must know whether it
 * has stored the current word itself, or another thread of this CPU has released that slab. The words do not show this.
 *
 * So the store of the word is the last instruction that the kernel restarts, and the counting lies behind it:
 *
 *      still armed?   the kernel has not interrupted this thread since the run began       restarted
 *      compare        the word is what it must be                                           restarted
 *      store          the word                                                              restarted
 *      count + 1, back to the first line                                                    goes on
 *
 * Where the kernel interrupts a thread outside of what it restarts, it takes the thread's sequence back (rseq_cs
 * becomes 0, linux/rseq.h), and the first line finds that. So does the line ahead of the header. A signal handler may
 * release a run of its own there, which arms the same sequence; each run disarms it at its end.
 *
 * Until the header is stored, the slabs belong to the thread and count as used: they are part of its demand until the
 * call returns, like the one slab of slabby_release. So nothing is counted as a move.
 */
#ifndef SLB_TIERS_RSEQ_RUN_H
#define SLB_TIERS_RSEQ_RUN_H

#include "tiers/cpu_cache_rseq.h"

/* What a run did: how many slabs it has freed, by their words. Done: the cache has their ids. Restarted: the caller
 * gives them. Refused: the cache is locked or has too little space left, or this CPU makes no runs. */
struct slb_rseq_run {
    uint64_t freed;
    enum slb_rseq_result result;
};

#if SLB_HAVE_RSEQ && defined(__x86_64__)
#include "tiers/rseq_run_x86_64.h"
#else
#include "tiers/rseq_run_none.h"
#endif

#endif
