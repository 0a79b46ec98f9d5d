/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Zeroing that no compiler removes, so that no byte of a previous owner reaches the next. */
#ifndef SLB_PROTECT_SECURE_H
#define SLB_PROTECT_SECURE_H

#include "base.h"
#include "pool.h"

#include <string.h>

/* Up to this size the stores are inline. For larger sizes a call of libc's memset, which is chosen for the processor,
 * is faster. */
#define SLB_ZERO_INLINE 256u

typedef uint64_t slb_zero_pair __attribute__((vector_size(16), aligned(1), may_alias));

SLB_INLINE void slb_zero_at(char *at) {
    *(slb_zero_pair *)(void *)at = (slb_zero_pair){0, 0};
    __asm__ __volatile__("" : : : "memory"); /* no compiler drops the stores, or replaces them by a call */
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
    __asm__ __volatile__("" : : "r"(memory) : "memory"); /* the memory counts as read: the stores stay */
}

/* Zeroes the bytes of a slab, wherever they lie, even if a tool has been told that the slab is not in use. */
SLB_PRIVATE void slb_secure_zero_slab(struct slabby_allocator *pool, uint32_t id);

/* Zeroes the ordinary bytes of a free slab that no thread can take or is about to give back. A slab that was never used
 * is zero already. */
SLB_PRIVATE void slb_secure_zero_free_slab(struct slabby_allocator *pool, uint32_t id);

#endif
