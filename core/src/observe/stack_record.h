/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Thread, time and return addresses of one allocation or release.
 *
 * There is one writer at a time: the thread that holds the slab. Readers may read at any moment: the writer clears
 * `owner` first and sets it last, and a reader accepts what it read only if `owner` was the same before and after.
 */
#ifndef SLB_OBSERVE_STACK_RECORD_H
#define SLB_OBSERVE_STACK_RECORD_H

#include "status.h"

/* 16 frames of the caller and up to 4 of the core; the text leaves out the core's frames if their names are known. */
#define SLB_STACK_FRAMES 20u

struct slb_stack_record {
    _Atomic uint64_t owner; /* generation + 1 of the allocation concerned; 0: nothing recorded */
    _Atomic uint64_t time_ns;
    _Atomic uint64_t thread;
    _Atomic uint64_t depth;
    _Atomic uintptr_t frames[SLB_STACK_FRAMES];
};

/* A copy of a record, for a reader. */
struct slb_trace {
    uint64_t generation, time_ns, thread, depth;
    uintptr_t frames[SLB_STACK_FRAMES];
};

SLB_PRIVATE void slb_stack_record(struct slb_stack_record *record, uint64_t generation);

/* False if nothing is recorded, or a writer is changing the record. Async-signal-safe. */
SLB_PRIVATE bool slb_stack_read(struct slb_stack_record *record, struct slb_trace *out);

/* "allocated by thread 17, 4 ms ago, at 0x5581 load+0x1c (orders)": the innermost frame of the caller alone. */
SLB_PRIVATE void slb_trace_print_short(struct slb_text *text, const char *verb,
                                       const struct slb_trace *trace);

/* "allocated by thread 17, 4 ms ago, at:" and a line a frame, each after a newline; ago: before now_ns. Calls no
 * printf. */
SLB_PRIVATE void slb_trace_print(struct slb_text *text, const char *verb, const struct slb_trace *trace,
                                 uint64_t now_ns);

#endif
