/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The definitions that every file of the core uses: visibility, branch hints, assertions, named race windows. */
#ifndef SLB_BASE_H
#define SLB_BASE_H

#include "os/system.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Functions that several files of the core share carry the prefix slb_; they are static in the single-file
 * build and hidden in the library. */
#ifdef SLB_AMALGAMATION
#define SLB_PRIVATE static
#define SLB_SHARED_DATA static
#else
#define SLB_PRIVATE SLB_HIDDEN
#define SLB_SHARED_DATA extern SLB_HIDDEN
#endif

/* The only exported symbols. SLABBY_HIDDEN is for a module that contains the core and must not interpose on another
 * copy of it (the Go package). */
#ifdef SLABBY_HIDDEN
#define SLB_PUBLIC SLB_HIDDEN
#else
#define SLB_PUBLIC SLB_VISIBLE
#endif

#define SLB_CACHE_LINE 64u

#define SLB_INLINE static inline __attribute__((always_inline, unused))
/* A hint to a linker that optimises a static program. clang needs no hint, and warns about it if the function calls a
 * static one. */
#ifdef __clang__
#define SLB_LINK_INLINE
#else
#define SLB_LINK_INLINE inline
#endif
#define SLB_COLD __attribute__((cold, noinline))
/* A function that each operation calls: it begins a cache line, so that what it costs does not depend on what lies
 * before it. */
#define SLB_HOT __attribute__((aligned(SLB_CACHE_LINE)))
#define slb_likely(x) __builtin_expect(!!(x), 1)
#define slb_unlikely(x) __builtin_expect(!!(x), 0)

/* Asserts an invariant of the core. A caller's mistake never fails an assertion. Active in test builds. */
#ifdef SLABBY_TEST_HOOKS
#include <stdio.h>
#include <stdlib.h>
#define SLB_ASSERT(law)                                                                                      \
    do {                                                                                                     \
        if (slb_unlikely(!(law))) {                                                                          \
            fprintf(stderr, "slabby: broken law %s (%s:%d)\n", #law, __FILE__, __LINE__);                    \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)
#else
#define SLB_ASSERT(law) ((void)0)
#endif

/* A named race window: test builds may yield or sleep here; other builds contain nothing. */
#ifdef SLABBY_TEST_HOOKS
#include "test_hooks.h"
#define SLB_POINT(point)                                                                                     \
    do {                                                                                                     \
        void (*hook)(int) = __atomic_load_n(&slb_test_point, __ATOMIC_RELAXED);                              \
        if (slb_unlikely(hook != NULL))                                                                      \
            hook(point);                                                                                     \
    } while (0)
#define SLB_LOCKED() ((void)(slb_test_waiter_steps_here = 0))
#else
#define SLB_POINT(point) ((void)0)
#define SLB_LOCKED() ((void)0)
#endif

#endif
