/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Zeroing that no compiler removes, so that no byte of a previous owner reaches the next. */
#ifndef SLB_PROTECT_SECURE_H
#define SLB_PROTECT_SECURE_H

#include "base.h"
#include "pool.h"

#include <string.h>

/* Up to here the stores stand inline; beyond, libc's memset, which chooses its way by the processor, is worth a call.
 * */
#define SLB_ZERO_INLINE 256u

typedef uint64_t slb_zero_pair __attribute__((vector_size(16), aligned(1), may_alias));

SLB_INLINE void slb_zero_at(char *at) {
    *(slb_zero_pair *)(void *)at = (slb_zero_pair){0, 0};
    __asm__ __volatile__("" : : : "memory"); /* no compiler drops the stores, or makes a call of them */
}

/* At most SLB_ZERO_INLINE bytes. */
SLB_INLINE void slb_zero_few(void *memory, uint64_t size) {
    char *at = memory, *end = at + size;
    for (; end - at >= 64; at += 64) {
        slb_zero_at(at);
        slb_zero_at(at + 16);
        slb_zero_at(at + 32);
        slb_zero_at(at + 48);
    }
    if (slb_likely(at == end))
        return;
    for (; end - at >= 16; at += 16)
        slb_zero_at(at);
    for (; at < end; at++)
        *(volatile char *)at = 0;
}

SLB_INLINE void slb_secure_zero(void *memory, uint64_t size) {
    memset(memory, 0, size);
    __asm__ __volatile__("" : : "r"(memory) : "memory"); /* somebody might look: the stores stay */
}

/* The bytes of a slab, wherever they lie; also while a tool watches that nobody touches it. */
SLB_PRIVATE void slb_secure_zero_slab(struct slabby_allocator *pool, uint32_t id);

/* The place of a free slab that nobody can take or is about to give back; one that was never used is zero already. */
SLB_PRIVATE void slb_secure_zero_free_slab(struct slabby_allocator *pool, uint32_t id);

#endif
