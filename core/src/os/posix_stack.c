/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Stacks by the unwind tables that every C program carries: frame pointers are not needed. */
#include "os/stack.h"

#ifndef SLB_OS_WINDOWS

#include "os/unwind.h"

#include <dlfcn.h>
#include <string.h>

#if defined(__GLIBC__) || defined(SLB_OS_DARWIN)
#include <execinfo.h>
#define STACK_WALKER 1
#endif

#define STACK_WALK_MAX 32
#define STACK_OWN_FRAMES 2 /* slb_os_stack and its caller */

#ifdef STACK_WALKER
/* By libc's walker, which reads the tables anew for each frame. Part of slb_os_stack: a frame of its own would be one
 * more. */
SLB_INLINE uint32_t walk_by_tables(uintptr_t *out_frames, uint32_t capacity) {
    void *walked[STACK_WALK_MAX];
    int found = backtrace(walked, STACK_WALK_MAX);
    uint32_t count = found > STACK_OWN_FRAMES ? (uint32_t)found - STACK_OWN_FRAMES : 0;
    if (count > capacity)
        count = capacity;
    for (uint32_t i = 0; i < count; i++)
        out_frames[i] = (uintptr_t)walked[STACK_OWN_FRAMES + i];
    return count;
}
#else
SLB_INLINE uint32_t walk_by_tables(uintptr_t *out_frames, uint32_t capacity) {
    (void)out_frames, (void)capacity;
    return 0;
}
#endif

#ifdef SLB_OS_REGISTERS_HERE
#ifdef SLABBY_TEST_HOOKS
/* Whether libc's walker finds the same frames behind the core's own, of which a sanitizer may add one. */
static bool both_walk_alike(const uintptr_t *frames, uint32_t count, uint32_t capacity) {
    void *walked[STACK_WALK_MAX];
    uint32_t found = (uint32_t)backtrace(walked, STACK_WALK_MAX), own = 0;
    while (own < found && (uintptr_t)walked[own] != frames[0])
        own++;
    uint32_t left = found - own < capacity ? found - own : capacity;
    return count == left && memcmp(frames, &walked[own], count * sizeof *frames) == 0;
}
#endif

SLB_PRIVATE __attribute__((noinline)) uint32_t slb_os_stack(uintptr_t *out_frames, uint32_t capacity) {
    uintptr_t walked[STACK_WALK_MAX];
    struct slb_os_registers here;
    uint32_t count;
    SLB_ASSERT(capacity < STACK_WALK_MAX);
    SLB_OS_REGISTERS_HERE(here);
    if (slb_unlikely(!slb_os_unwind(&here, walked, capacity + 1, &count)))
        return walk_by_tables(out_frames, capacity);
    count = count == 0 ? 0 : count - 1; /* the first is in this function's caller */
    memcpy(out_frames, &walked[1], count * sizeof *walked);
    SLB_ASSERT(both_walk_alike(out_frames, count, capacity));
    return count;
}
#else
SLB_PRIVATE __attribute__((noinline)) uint32_t slb_os_stack(uintptr_t *out_frames, uint32_t capacity) {
    return walk_by_tables(out_frames, capacity);
}
#endif

/* libc's walker loads a library with its first stack. */
SLB_PRIVATE void slb_os_stack_prime(void) {
    uintptr_t frame;
    (void)walk_by_tables(&frame, 1);
}

/* A return address is the byte after a call, which may be past the end of a function that never returns: one less. */
SLB_PRIVATE struct slb_os_symbol slb_os_symbol_of(uintptr_t address) {
    struct slb_os_symbol entry = {NULL, NULL, 0};
    Dl_info info;
    memset(&info, 0, sizeof info);
    if (address == 0 || dladdr((void *)(address - 1), &info) == 0)
        return entry;
    entry.module = info.dli_fname;
    entry.symbol = info.dli_sname;
    entry.offset = address - (uintptr_t)(info.dli_sname != NULL ? info.dli_saddr : info.dli_fbase);
    return entry;
}

#endif
