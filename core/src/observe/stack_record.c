/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "observe/stack_record.h"

#include "observe/plain_text.h"
#include "os/os.h"
#include "os/stack.h"

#include <string.h>

SLB_PRIVATE __attribute__((noinline)) void slb_stack_record(struct slb_stack_record *record,
                                                            uint64_t generation) {
    uintptr_t frames[SLB_STACK_FRAMES];
    uint32_t depth = slb_os_stack(frames, SLB_STACK_FRAMES);
    atomic_store_explicit(&record->owner, 0, memory_order_relaxed);
    /* release, each: a reader that sees one of these sees `owner` cleared */
    atomic_store_explicit(&record->time_ns, slb_os_now_ns(), memory_order_release);
    atomic_store_explicit(&record->thread, slb_os_thread(), memory_order_release);
    atomic_store_explicit(&record->depth, depth, memory_order_release);
    for (uint32_t i = 0; i < depth; i++)
        atomic_store_explicit(&record->frames[i], frames[i], memory_order_release);
    /* release: a reader that sees `owner` sees the rest */
    atomic_store_explicit(&record->owner, generation + 1, memory_order_release);
}

SLB_PRIVATE bool slb_stack_read(struct slb_stack_record *record, struct slb_trace *out) {
    uint64_t owner = atomic_load_explicit(&record->owner, memory_order_acquire);
    if (owner == 0)
        return false;
    out->generation = owner - 1;
    /* acquire, each: the second load of `owner` stays behind them */
    out->time_ns = atomic_load_explicit(&record->time_ns, memory_order_acquire);
    out->thread = atomic_load_explicit(&record->thread, memory_order_acquire);
    out->depth = atomic_load_explicit(&record->depth, memory_order_acquire);
    for (uint32_t i = 0; i < SLB_STACK_FRAMES; i++)
        out->frames[i] = atomic_load_explicit(&record->frames[i], memory_order_acquire);
    return out->depth <= SLB_STACK_FRAMES &&
           atomic_load_explicit(&record->owner, memory_order_relaxed) == owner;
}

static void print_age(struct slb_text *text, uint64_t age_ns) {
    static const struct {
        uint64_t ns;
        const char *unit;
    } units[] = {{1000000000u, " s"}, {1000000u, " ms"}, {1000u, " us"}, {1u, " ns"}};
    size_t at = 0;
    while (at < 3 && age_ns < 10 * units[at].ns)
        at++;
    slb_plain_number(text, age_ns / units[at].ns);
    slb_plain_add(text, units[at].unit);
}

static const char *file_name(const char *path) {
    const char *slash = path == NULL ? NULL : strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static void print_address(struct slb_text *text, uintptr_t address) {
    struct slb_os_symbol symbol = slb_os_symbol_of(address);
    slb_plain_hex(text, address);
    if (symbol.symbol != NULL) {
        slb_plain_add(text, " ");
        slb_plain_add(text, symbol.symbol);
        slb_plain_add(text, "+");
        slb_plain_hex(text, symbol.offset);
    }
    if (symbol.module != NULL) {
        slb_plain_add(text, " (");
        slb_plain_add(text, file_name(symbol.module));
        if (symbol.symbol == NULL) {
            slb_plain_add(text, "+");
            slb_plain_hex(text, symbol.offset);
        }
        slb_plain_add(text, ")");
    }
}

static void print_frame(struct slb_text *text, uint32_t number, uintptr_t address) {
    slb_plain_add(text, "\n    #");
    slb_plain_number(text, number);
    slb_plain_add(text, " ");
    print_address(text, address);
}

static bool is_entrance(struct slb_os_symbol symbol) {
    return symbol.symbol != NULL && strncmp(symbol.symbol, "slabby_", 7) == 0;
}

static bool is_named_caller(struct slb_os_symbol symbol) {
    return symbol.symbol != NULL && !is_entrance(symbol);
}

/* How many of the innermost frames may be the core's own. */
#define OWN_FRAMES_MOST 10u

/* The caller's frames begin after the frames of this library. If the core is part of another file, they begin after the
 * public function, as far as that left a frame and its name is known. */
static uint32_t first_frame_of_caller(const struct slb_trace *trace) {
    uint32_t first = 0;
    for (uint32_t i = 0; i + 1 < trace->depth && i < OWN_FRAMES_MOST; i++) {
        struct slb_os_symbol symbol = slb_os_symbol_of(trace->frames[i]);
        if (is_entrance(symbol) ||
            (symbol.module != NULL && strncmp(file_name(symbol.module), "libslabby.", 10) == 0))
            first = i + 1;
    }
    return first;
}

/* "allocated by thread 17, 4 ms" */
static void print_who(struct slb_text *text, const char *verb, const struct slb_trace *trace,
                      uint64_t now_ns) {
    slb_plain_add(text, verb);
    slb_plain_add(text, " by thread ");
    slb_plain_number(text, trace->thread);
    slb_plain_add(text, ", ");
    print_age(text, now_ns > trace->time_ns ? now_ns - trace->time_ns : 0);
}

/* The first frame of the caller that has a name; frames of a core without names may come before it. */
SLB_PRIVATE void slb_trace_print_short(struct slb_text *text, const char *verb,
                                       const struct slb_trace *trace) {
    uint32_t first = first_frame_of_caller(trace), named = first;
    while (named < trace->depth && !is_named_caller(slb_os_symbol_of(trace->frames[named])))
        named++;
    if (named < trace->depth)
        first = named;
    print_who(text, verb, trace, slb_os_now_ns());
    slb_plain_add(text, " ago");
    if (first < trace->depth) {
        slb_plain_add(text, ", at ");
        print_address(text, trace->frames[first]);
    }
}

SLB_PRIVATE void slb_trace_print(struct slb_text *text, const char *verb, const struct slb_trace *trace,
                                 uint64_t now_ns) {
    slb_plain_add(text, "\n  ");
    print_who(text, verb, trace, now_ns);
    slb_plain_add(text, trace->depth == 0 ? " ago (this system cannot walk stacks)" : " ago, at:");
    uint32_t first = first_frame_of_caller(trace);
    for (uint32_t i = first; i < trace->depth; i++)
        print_frame(text, i - first, trace->frames[i]);
}
