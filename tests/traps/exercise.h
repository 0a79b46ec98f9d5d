/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An exercise that every healthy pool passes, whatever surroundings it runs in. Links with the library as users have
 * it, or with the one that has test hooks. */
#ifndef SLABBY_TRAPS_EXERCISE_H
#define SLABBY_TRAPS_EXERCISE_H

#include "support.h"

/* Threads allocate, stamp, check and release `turns` times each, some slabs in hand at a time; every status must be OK
 * and no slab may be in two hands. Answers how many allocations there were. The pool needs 16 slabs a thread. */
uint64_t exercise_pool(slabby_allocator *pool, unsigned threads, uint64_t turns);

#endif
