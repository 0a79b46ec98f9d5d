/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The states of a pool as statistics and health show them: what the next allocation would meet. Reading them changes
 * none and raises no event; states that change with time alone are computed for the moment of the call. */
#ifndef SLB_RESILIENCE_CONDITIONS_H
#define SLB_RESILIENCE_CONDITIONS_H

#include "observe/condition_state.h"
#include "pool.h"

SLB_PRIVATE struct slb_conditions slb_conditions_of(struct slabby_allocator *pool);

/* A tick: takes the steps that are due, then adds a score of what it finds to the health's trend. */
SLB_PRIVATE void slb_conditions_tick(struct slabby_allocator *pool);

#endif
