/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the programs about traps share: a workout that every healthy pool passes whatever it runs on, and skipping
 * with a reason. Links with the library as users have it, or with the one that has test hooks. */
#ifndef SLABBY_TRAPS_WORKOUT_H
#define SLABBY_TRAPS_WORKOUT_H

#include "support.h"

/* ctest's SKIP_RETURN_CODE. */
#define TRAP_SKIPPED 77

/* Ends the program as skipped. */
_Noreturn void skip_all(const char *format, ...) __attribute__((format(printf, 1, 2)));

int64_t backend_of(slabby_allocator *pool);
const char *backend_name(int64_t backend);

/* Whether this process can have a pool on the backend. */
int backend_is_here(int64_t backend);

/* Threads allocate, stamp, check and release `turns` times each, some slabs in hand at a time; every status must be OK
 * and no slab may be in two hands. Answers how many allocations there were. The pool needs 16 slabs a thread. */
uint64_t work_out(slabby_allocator *pool, unsigned threads, uint64_t turns);

/* Lets the calling thread run on one CPU only. False where the system refuses. */
int run_on(unsigned cpu);

#endif
