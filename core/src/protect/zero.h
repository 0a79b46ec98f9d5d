/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Zeroing that no compiler removes, so that no byte of a previous owner reaches the next. */
#ifndef SLB_PROTECT_ZERO_H
#define SLB_PROTECT_ZERO_H

#include "base.h"

#include <string.h>

/* Up to this size the stores are inline. */
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

#if defined(__x86_64__)

/* Up to this size stores are faster than libc's memset on the processors that zero.c names. */
#define SLB_ZERO_BY_STORES (16u << 10)

/* Set when the library is loaded. Until then, which only constructors see, memset does the work. */
SLB_SHARED_DATA bool slb_zeroes_by_stores;

/* SLB_ZERO_INLINE to SLB_ZERO_BY_STORES bytes, on a processor with AVX2. Returns `memory`, as memset does: its caller
 * then needs no register of its own for that. */
SLB_PRIVATE void *slb_zero_by_stores(void *memory, uint64_t size);

/* By stores or by memset. Returns `memory`. */
SLB_PRIVATE void *slb_zero_many(void *memory, uint64_t size);

#else

SLB_INLINE void *slb_zero_many(void *memory, uint64_t size) {
    return memset(memory, 0, size);
}

#endif

/* The memory counts as read: no compiler drops the stores before this. */
SLB_INLINE void slb_zeroed(void *memory) {
    __asm__ __volatile__("" : : "r"(memory) : "memory");
}

/* Any size; made for more than SLB_ZERO_INLINE bytes. */
SLB_INLINE void slb_zero(void *memory, uint64_t size) {
    slb_zeroed(slb_zero_many(memory, size));
}

/* The same where the lines before and behind are compared next. Measured: up to 2 KiB such a pair is faster with
 * memset. */
SLB_INLINE void slb_zero_within(void *memory, uint64_t size) {
    slb_zeroed(size <= 2048 ? memset(memory, 0, size) : slb_zero_many(memory, size));
}

#endif
