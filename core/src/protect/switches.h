/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Hot options that need memory of their own before they work: the same steps at create and in a running pool. */
#ifndef SLB_PROTECT_SWITCHES_H
#define SLB_PROTECT_SWITCHES_H

#include "pool.h"

/* The set of protections that act, enum slb_protection. Under the gate lock, or before any other thread knows the
 * pool. */
SLB_PRIVATE void slb_protections_set(struct slabby_allocator *pool, uint32_t protect);

/* What the options of a new pool ask for. */
SLB_PRIVATE slabby_status slb_switches_begin(struct slabby_allocator *pool, slabby_error *error);

/* Recording stacks. OK, NoSystemMemory. */
SLB_PRIVATE slabby_status slb_switch_debug(struct slabby_allocator *pool, bool on, slabby_error *error);

/* Sampled guards: one allocation in `rate`, 0 for none. OK, NoSystemMemory. */
SLB_PRIVATE slabby_status slb_switch_guards(struct slabby_allocator *pool, uint32_t rate,
                                            slabby_error *error);

#endif
