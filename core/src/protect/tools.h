/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Tools that watch a program's memory: AddressSanitizer and valgrind are told which slabs are in use. ThreadSanitizer,
 * helgrind and drd are told that what one owner of a slab did comes before what the next one does.
 *
 *   | slab in use | gap | slab free | gap |        accessible: the bytes of slabs in use
 *   |  may be used | no | no        | no  |        a gap with patterns or guard pages of ours is theirs to watch
 *
 * Whether a tool is there is asked when a pool is made; without one, SLB_PROTECT_TOOLS stays off and nothing here is
 * called. The sanitizers are found by their weak symbols, so that a program built with one is told by a library that
 * was not. Slabs that were never handed out, heap slabs and slabs on guard slots are left to the system and malloc.
 */
#ifndef SLB_PROTECT_TOOLS_H
#define SLB_PROTECT_TOOLS_H

#include "pool.h"

SLB_PRIVATE bool slb_tools_watch(void);

/* A pool begins and ends. */
SLB_PRIVATE void slb_tools_begin(struct slabby_allocator *pool);
SLB_PRIVATE void slb_tools_end(struct slabby_allocator *pool);

/* The calling thread has the slab in hand: its owner is about to get it, or has released it. */
SLB_PRIVATE void slb_tools_issue(struct slabby_allocator *pool, uint32_t id, uint64_t generation);
SLB_PRIVATE void slb_tools_return(struct slabby_allocator *pool, uint32_t id);

/* The same for a slab on a guard slot: ahead of emptying the slot, and when it is closed. */
SLB_PRIVATE void slb_tools_empty_guarded(struct slabby_allocator *pool, uint32_t id);
SLB_PRIVATE void slb_tools_return_guarded(struct slabby_allocator *pool, uint32_t id);

/* Memory of the core's own, which threads share by atomic operations that helgrind and drd do not know. */
SLB_PRIVATE void slb_tools_ignore_races(void *memory, uint64_t size);

/* The calling thread is about to give up a pin. */
SLB_PRIVATE void slb_tools_unpinning(struct slabby_allocator *pool, uint32_t id);

/* Before and after the core itself reads a slab that is not in use. */
SLB_PRIVATE void slb_tools_open(struct slabby_allocator *pool, uint32_t id);
SLB_PRIVATE void slb_tools_shut(struct slabby_allocator *pool, uint32_t id);

/* Zeroes memory that a tool may have been told is not in use: two threads may zero a slab, one of them after the other
 * gave it back. No compiler removes the stores. */
SLB_PRIVATE void slb_tools_zero(void *memory, uint64_t size);

#endif
