/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Ids of the same line of words, brought together again.
 *
 * After random lifetimes on several CPUs, the ids of one line lie in many batches. Between a producer and a consumer
 * the line then travels once for each of its slabs (id_order.h). No batch alone can be put in order, but many batches
 * of the depot together can:
 *
 *      before   a3 c1 b7 ..   b2 a1 c6 ..   c2 b1 a7 ..
 *      behind   a1 a2 a3 ..   b1 b2 b3 ..   c1 c2 c3 ..
 *
 * Ids are different numbers, so a bit for each sorts them. 3,800 ids take 10 to 50 us, and are in hand meanwhile. So it
 * is done at most for a thousandth of the time, with at most SLB_REGROUP_BATCHES batches, and a quarter of the depot
 * stays where it is, for other CPUs. One thread of the process does it at a time; the others do without.
 */
#ifndef SLB_TIERS_REGROUP_H
#define SLB_TIERS_REGROUP_H

#include "pool.h"

#define SLB_REGROUP_BATCHES 32u

/* Larger pools are not regrouped: of few batches there, no order brings many neighbours together. */
#define SLB_REGROUP_IDS 65536u

/* A bit for each id. One for the process: it is too large for the stack of a signal handler, and seldom needed. */
struct slb_id_set {
    _Atomic uint32_t taken;
    uint32_t lowest; /* the words below have no bit */
    uint64_t bits[SLB_REGROUP_IDS / 64];
};

SLB_SHARED_DATA struct slb_id_set slb_id_set;

/* Inside a move, with the gate open: exchanges `count` ids for as many of few lines, if they are of many, and the pool
 * was not regrouped lately. Waits for nothing. */
SLB_PRIVATE void slb_regroup_if_due(struct slabby_allocator *pool, uint32_t *ids, uint32_t count);

/* In the child of a fork: the thread that was regrouping does not exist there. */
SLB_PRIVATE void slb_regroup_after_fork(void);

#endif
