/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Stacks by the unwind tables that every C program carries: frame pointers are not needed. */
#include "os/stack.h"

#ifndef SLB_OS_WINDOWS

#include <dlfcn.h>
#include <string.h>

#if defined(__GLIBC__) || defined(SLB_OS_DARWIN)
#include <execinfo.h>
#define STACK_WALKER 1
#endif

#define STACK_WALK_MAX 32
#define STACK_OWN_FRAMES 2 /* slb_os_stack and its caller */

SLB_PRIVATE __attribute__((noinline)) uint32_t slb_os_stack(uintptr_t *out_frames, uint32_t capacity) {
#ifdef STACK_WALKER
    void *walked[STACK_WALK_MAX];
    int found = backtrace(walked, STACK_WALK_MAX);
    uint32_t count = found > STACK_OWN_FRAMES ? (uint32_t)found - STACK_OWN_FRAMES : 0;
    if (count > capacity)
        count = capacity;
    for (uint32_t i = 0; i < count; i++)
        out_frames[i] = (uintptr_t)walked[STACK_OWN_FRAMES + i];
    return count;
#else
    (void)out_frames, (void)capacity;
    return 0;
#endif
}

SLB_PRIVATE void slb_os_stack_prime(void) {
    uintptr_t frame;
    (void)slb_os_stack(&frame, 1);
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
