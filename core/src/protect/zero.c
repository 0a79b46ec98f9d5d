/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protect/zero.h"

#if defined(__x86_64__)

#include <cpuid.h>

#define LINE 64u
#define AHEAD 1024u /* bytes; some 40 ns of stores */

#ifndef SLB_AMALGAMATION
bool slb_zeroes_by_stores;
#endif

typedef uint64_t slb_zero_half __attribute__((vector_size(32), aligned(1), may_alias));

static __attribute__((target("avx2"))) inline void zero_line(char *at) {
    *(slb_zero_half *)(void *)at = (slb_zero_half){0, 0, 0, 0};
    __asm__ __volatile__("" : : : "memory");
    *(slb_zero_half *)(void *)(at + LINE / 2) = (slb_zero_half){0, 0, 0, 0};
    __asm__ __volatile__("" : : : "memory"); /* as in slb_zero_at */
}

/* Lines of the slab are requested ahead of the stores, but none behind its end: those belong to others. */
SLB_PRIVATE __attribute__((target("avx2"))) void *slb_zero_by_stores(void *memory, uint64_t size) {
    char *at = memory, *last = at + size - LINE;
    for (char *end = last - AHEAD; at < end; at += LINE) {
        __builtin_prefetch(at + AHEAD, 1);
        zero_line(at);
    }
    for (; at < last; at += LINE)
        zero_line(at);
    zero_line(last);
    return memory;
}

SLB_PRIVATE void *slb_zero_many(void *memory, uint64_t size) {
    bool fits = size >= SLB_ZERO_INLINE && size <= SLB_ZERO_BY_STORES;
    return slb_likely(slb_zeroes_by_stores && fits) ? slb_zero_by_stores(memory, size)
                                                    : memset(memory, 0, size);
}

/* Measured on Zen 3: families and models of AMD's list. There memset of glibc takes `rep stosb` from 2 KiB on, that of
 * musl always takes such an instruction, and both are slower. On Zen 5 they are not; Zen 4 was not measured. */
static bool stores_are_faster(void) {
    unsigned a, b, c, d;
    if (__get_cpuid(0, &a, &b, &c, &d) == 0 || b != signature_AMD_ebx || c != signature_AMD_ecx ||
        d != signature_AMD_edx || __get_cpuid(1, &a, &b, &c, &d) == 0)
        return false;
    unsigned family = (a >> 8 & 0xF) + (a >> 20 & 0xFF), model = (a >> 4 & 0xF) | (a >> 12 & 0xF0);
    return family == 0x19 && (model < 0x10 || (model >= 0x20 && model < 0x60));
}

/* The processor has AVX2, and the system keeps its registers. */
static bool has_avx2(void) {
    unsigned a, b, c, d, enabled, high;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_OSXSAVE) == 0)
        return false;
    __asm__ __volatile__("xgetbv" : "=a"(enabled), "=d"(high) : "c"(0));
    return (enabled & 6) == 6 && __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & bit_AVX2) != 0;
}

static __attribute__((constructor)) void choose(void) {
    slb_zeroes_by_stores = stores_are_faster() && has_avx2();
}

#endif
