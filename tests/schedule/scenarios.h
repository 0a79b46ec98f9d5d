/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The races that matter, a list per room of the core; each list ends with a scenario without a name. */
#ifndef SLABBY_SCHEDULE_SCENARIOS_H
#define SLABBY_SCHEDULE_SCENARIOS_H

#include "scheduler.h"

extern const struct scenario word_scenarios[]; /* releases, pins: the compare-and-swap of a slab's word */
extern const struct scenario bias_scenarios[]; /* words that one CPU may change without compare-and-swap */
extern const struct scenario tier_scenarios[]; /* ids on their way between tiers, the gate, the proof */
extern const struct scenario
    shuffle_scenarios[];                        /* the two stacks of a CPU whose slabs come in random order */
extern const struct scenario order_scenarios[]; /* a cache whose ids are put in another order */
extern const struct scenario lease_scenarios[]; /* a binding's own code beside all that */
extern const struct scenario waiting_scenarios[]; /* waiters and who wakes them */
extern const struct scenario ending_scenarios[];  /* close, abandon, destroy, reset, trim, secure */
extern const struct scenario late_scenarios[];    /* calls that the end of a pool overtakes */
extern const struct scenario awaited_scenarios[]; /* slabs that a smaller capacity awaits */
extern const struct scenario resize_scenarios[];  /* a capacity that changes */
extern const struct scenario section_scenarios[]; /* the sections of the portable backend, and their bias */
extern const struct scenario single_scenarios[];  /* the short path without CPU caches */
extern const struct scenario by_id_scenarios[];   /* the counts of uses by id */
extern const struct scenario fork_scenarios[];    /* the first calls in a child of fork */
extern const struct scenario audit_scenarios[];   /* records from several CPUs, and their readers */

#endif
