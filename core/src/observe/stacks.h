/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * `debug`: for each slab, the stacks of its last allocation and its last release, in a table beside the words. The
 * table is mapped when the option is first switched on:
 *
 *   | slab 0: allocated, released | slab 1: allocated, released | ... heap ids
 *
 * A stale reference can ask where it was allocated until the slab's next allocation, and where it was released until
 * the slab's next release. When off, nothing is captured, and the inline path of allocate is unchanged.
 */
#ifndef SLB_OBSERVE_STACKS_H
#define SLB_OBSERVE_STACKS_H

#include "observe/stack_record.h"
#include "pool.h"

struct slb_stacks {
    struct slb_stack_record allocated, released;
};

/* Maps the table and readies the walker; false where the system refuses the memory. */
SLB_PRIVATE bool slb_stacks_prepare(struct slabby_allocator *pool);

/* The table goes, with the bookkeeping of a pool that has ended. */
SLB_PRIVATE void slb_stacks_forget(struct slabby_allocator *pool);

/* The calling thread holds the slab. */
SLB_PRIVATE void slb_stacks_allocated(struct slabby_allocator *pool, uint32_t id, uint64_t generation);
SLB_PRIVATE void slb_stacks_released(struct slabby_allocator *pool, uint32_t id, uint64_t generation);

/* What is known about one allocation of one slab. */
SLB_PRIVATE bool slb_stacks_read(struct slabby_allocator *pool, uint32_t id, uint64_t generation,
                                 bool released, struct slb_trace *out);

/* The same of a slab on a guard slot: protect/guard_slots.c keeps these. */
SLB_PRIVATE bool slb_guard_trace(struct slabby_allocator *pool, uint32_t id, uint64_t generation,
                                 bool released, struct slb_trace *out);

/* Both stacks of one allocation, as far as they are known; answers whether any was. */
SLB_PRIVATE bool slb_stacks_print(struct slb_text *text, struct slabby_allocator *pool, uint32_t id,
                                  uint64_t generation);

/* slabby_stack. */
SLB_PRIVATE slabby_status slb_stacks_text(struct slb_text *text, struct slabby_allocator *pool,
                                          slabby_ref ref);

#endif
