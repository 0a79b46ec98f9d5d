/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The limits that allow sequences and send releases aside, and hot options that need memory of their own before they
 * work: the same steps at create and in a running pool. */
#ifndef SLB_PROTECT_SWITCHES_H
#define SLB_PROTECT_SWITCHES_H

#include "pool.h"

/* The limits of all sequences that change words: 0 for each, so that none does; and what backend and used CPUs allow.
 * The second leaves those of the inline paths to slb_protections_set. seq_cst: a fence that follows restarts each
 * sequence that has read the old limits. */
SLB_PRIVATE void slb_word_sequences_forbid(struct slabby_allocator *pool);
SLB_PRIVATE void slb_word_sequences_allow(struct slabby_allocator *pool);

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
