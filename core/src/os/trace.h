/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Trace points for bpftrace, perf, SystemTap and gdb (USDT), where the system's <sys/sdt.h> was there when the core was
 * built: a no-operation in cold code and a note in the file, nothing else. The first argument of each is the name of
 * the pool. docs/monitoring.md shows how to use them.
 *
 *   slabby:slow        name, status, tier       an allocation that no CPU cache served has ended
 *   slabby:drain       name, slabs, ticks       the gate closed and emptied the CPU caches
 *   slabby:exhausted   name, capacity, refused  no slab was free; 1: refused or waits, 0: the heap served
 *   slabby:breaker     name, state, wait_ns     the circuit breaker changed its state
 *   slabby:corruption  name, id, offset         guard bytes were found overwritten
 */
#ifndef SLB_OS_TRACE_H
#define SLB_OS_TRACE_H

#include "os/system.h"

#if defined(SLB_OS_LINUX) && defined(__has_include) && !defined(SLABBY_NO_TRACE)
#if __has_include(<sys/sdt.h>)
#define SLB_HAS_TRACE 1
#include <sys/sdt.h>
#endif
#endif

#ifdef SLB_HAS_TRACE
#ifdef __clang__ /* the header's macros pass no argument where ISO C wants one */
#define SLB_TRACE_QUIET                                                                                      \
    _Pragma("clang diagnostic push")                                                                         \
        _Pragma("clang diagnostic ignored \"-Wgnu-zero-variadic-macro-arguments\"")
#define SLB_TRACE_LOUD _Pragma("clang diagnostic pop")
#else
#define SLB_TRACE_QUIET
#define SLB_TRACE_LOUD
#endif
#define SLB_TRACE(point, pool, one, other)                                                                   \
    do {                                                                                                     \
        SLB_TRACE_QUIET                                                                                      \
        DTRACE_PROBE3(slabby, point, &(pool)->options.name[0], (uint64_t)(one), (uint64_t)(other));          \
        SLB_TRACE_LOUD                                                                                       \
    } while (0)
#else
#define SLB_TRACE(point, pool, one, other) ((void)(pool))
#endif

#endif
