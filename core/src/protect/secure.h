/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Zeroing that no compiler removes, so that no byte of a previous owner reaches the next. */
#ifndef SLB_PROTECT_SECURE_H
#define SLB_PROTECT_SECURE_H

#include "base.h"
#include "pool.h"

#include <string.h>

SLB_INLINE void slb_secure_zero(void *memory, uint64_t size) {
    memset(memory, 0, size);
    __asm__ __volatile__("" : : "r"(memory) : "memory"); /* somebody might look: the stores stay */
}

/* The bytes of a slab, wherever they lie; also while a tool watches that nobody touches it. */
SLB_PRIVATE void slb_secure_zero_slab(struct slabby_allocator *pool, uint32_t id);

/* The place of a free slab that nobody can take or is about to give back; one that was never used is zero already. */
SLB_PRIVATE void slb_secure_zero_free_slab(struct slabby_allocator *pool, uint32_t id);

#endif
