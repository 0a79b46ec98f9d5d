/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Leaks: references that a binding found dropped, and, with the option `finalizers`, slabs that are out when a pool
 * ends.
 *
 *   slabby_report_leak   event `leak`, counted        no code can release the reference any more
 *   abandon, last owner  event `leak`, counted        no handle is left to release anything with
 *   close, destroy       event `outstanding`          their owners may still release them
 *
 * A reported slab that stays live is marked with its generation, so that no reference counts twice. The first such
 * report maps the table of marks.
 */
#ifndef SLB_OBSERVE_LEAKS_H
#define SLB_OBSERVE_LEAKS_H

#include "pool.h"
#include "status.h"

enum slb_ending {
    SLB_ENDING_CLOSED,   /* allocations ended, releases go on */
    SLB_ENDING_REFUSED,  /* destroy answered InUse */
    SLB_ENDING_ABANDONED /* the last owner is giving up the pool */
};

/* Reports the live slabs, the first few by name. The caller owns the pool and holds no lock. */
SLB_PRIVATE void slb_leaks_at_end(struct slabby_allocator *pool, enum slb_ending ending);

/* "slab 3 of pool "orders"", then where it was allocated: the text of the binding, or the recorded stack. */
SLB_PRIVATE void slb_leak_print(struct slb_text *text, struct slabby_allocator *pool, uint32_t id,
                                uint64_t generation, const char *stack);

/* Whether this report is the reference's first; marks it where its slab stays out. False in out_known where the
 * system refused memory for the mark. */
SLB_PRIVATE bool slb_leak_is_first(struct slabby_allocator *pool, uint32_t id, uint64_t generation,
                                   bool reclaim, bool *out_known);

/* Unmaps the marks of a pool that has ended. */
SLB_PRIVATE void slb_leaks_forget(struct slabby_allocator *pool);

#endif
