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
/* Uses libc's walker, which reads the tables again for each frame. It is inlined into slb_os_stack, because a function
 * of its own would add a frame. */
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
/* The compilers' unwinder: loaded when stacks are first wanted, as the GNU C library does; a static program has it only
 * if something else in it does. */
struct _Unwind_Context;
typedef int (*unwind_visitor)(struct _Unwind_Context *context, void *argument);
typedef int unwind_backtrace(unwind_visitor visitor, void *argument);
typedef uintptr_t unwind_address(struct _Unwind_Context *context);
extern unwind_backtrace _Unwind_Backtrace __attribute__((weak));
extern unwind_address _Unwind_GetIP __attribute__((weak));

#define UNWIND_GO_ON 0
#define UNWIND_STOP 5 /* the end of the stack */

static _Atomic(unwind_backtrace *) unwind_frames;
static _Atomic(unwind_address *) address_of_frame;

struct unwind_result {
    uintptr_t *frames;
    uint32_t seen, capacity;
};

static int note_frame(struct _Unwind_Context *context, void *argument) {
    struct unwind_result *result = argument;
    unwind_address *address = atomic_load_explicit(&address_of_frame, memory_order_relaxed);
    if (result->seen >= result->capacity + STACK_OWN_FRAMES)
        return UNWIND_STOP;
    if (result->seen >= STACK_OWN_FRAMES)
        result->frames[result->seen - STACK_OWN_FRAMES] = address(context);
    result->seen++;
    return UNWIND_GO_ON;
}

/* acquire pairs with the release of find_unwinder: the other function is there too. */
SLB_INLINE uint32_t walk_by_tables(uintptr_t *out_frames, uint32_t capacity) {
    struct unwind_result result = {out_frames, 0, capacity};
    unwind_backtrace *walk = atomic_load_explicit(&unwind_frames, memory_order_acquire);
    if (walk != NULL)
        (void)walk(note_frame, &result);
    return result.seen > STACK_OWN_FRAMES ? result.seen - STACK_OWN_FRAMES : 0;
}

static void find_unwinder(void) {
    unwind_backtrace *walk = _Unwind_Backtrace;
    unwind_address *address = _Unwind_GetIP;
    if (walk == NULL || address == NULL) {
        void *library = dlopen("libgcc_s.so.1", RTLD_NOW | RTLD_LOCAL);
        void *found[2] = {NULL, NULL};
        if (library != NULL) {
            found[0] = dlsym(library, "_Unwind_Backtrace");
            found[1] = dlsym(library, "_Unwind_GetIP");
        }
        memcpy(&walk, &found[0], sizeof walk); /* not every compiler allows a cast between the two */
        memcpy(&address, &found[1], sizeof address);
    }
    if (walk == NULL || address == NULL)
        return;
    atomic_store_explicit(&address_of_frame, address, memory_order_relaxed);
    atomic_store_explicit(&unwind_frames, walk, memory_order_release);
}
#endif

#ifdef SLB_OS_REGISTERS_HERE
#ifdef SLABBY_TEST_HOOKS
/* Whether libc's walker finds the same frames after the core's own frames; a sanitizer may add one to those. */
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
#ifndef STACK_WALKER
    find_unwinder();
#endif
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
