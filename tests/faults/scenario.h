/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A pool's whole life in steps, each of which may meet the system's refusal and must say so as the table in scenario.c
 * has it. */
#ifndef SLABBY_FAULTS_SCENARIO_H
#define SLABBY_FAULTS_SCENARIO_H

#include "inject.h"
#include "support.h"

/* One set of options; the flags say what the story does with the pool and expects of it. */
struct scenario_set {
    const char *name;
    const struct setting *settings;
    bool heap;          /* heap_fallback is on: a full pool goes on there */
    bool lock_required; /* a refused lock is an error */
};

/* Lives one life with the k-th call of a kind refused (and those after it, where `on`). False once the life makes
 * fewer than k such calls. Afterwards everything is given back but the bookkeeping, which the pool's place keeps. */
bool scenario_with_refusal(const struct scenario_set *set, enum inject_kind kind, uint64_t k, bool on);

/* Whether a pool of the set can be made here at all; if not, *out_reason has the core's words. */
bool scenario_is_possible(const struct scenario_set *set, slabby_error *out_reason);

#endif
