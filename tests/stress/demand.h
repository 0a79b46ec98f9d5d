/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Threads that allocate and release at random, one by one and in batches, and hold slabs over many turns. By credit, a
 * refusal is a lie (law 1); without credits threads take what they get. */
#ifndef SLABBY_STRESS_DEMAND_H
#define SLABBY_STRESS_DEMAND_H

#include "support.h"
#include "threads.h"

struct demand {
    slabby_allocator *pool;
    _Atomic int64_t credits;
    _Atomic uint64_t served;
    uint64_t end_ns;      /* when the threads stop; UINT64_MAX where `over` alone ends them */
    atomic_int over;      /* stops them at once */
    uint64_t batch_limit; /* slabs in a batch at most */
    int by_credit;
    int hoards; /* nearly all slabs are out at every moment, not half of them */
};

/* What one thread does until the demand is over; what it holds then goes back. */
void demand_slabs(struct demand *demand, struct worker *worker);

int demand_is_over(struct demand *demand);

/* A sound pool has no findings, whatever the threads do. */
void verify_demanded(struct demand *demand);

#endif
