/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Call stacks, as far as the system provides them: return addresses of the calling thread, and the function at one.
 * If libc cannot walk a stack, stacks are empty. */
#ifndef SLB_OS_STACK_H
#define SLB_OS_STACK_H

#include "base.h"

/* The first walk of a process may allocate memory and take locks: done here, ahead of those inside calls. */
SLB_PRIVATE void slb_os_stack_prime(void);

/* Return addresses of the callers of the function that calls this one, innermost first; answers how many. */
SLB_PRIVATE uint32_t slb_os_stack(uintptr_t *out_frames, uint32_t capacity);

/* What the dynamic linker knows about an address. symbol or module is NULL where it knows none; offset counts from
 * the symbol, or from the module's first byte. */
struct slb_os_symbol {
    const char *symbol, *module;
    uint64_t offset;
};
SLB_PRIVATE struct slb_os_symbol slb_os_symbol_of(uintptr_t address);

#endif
