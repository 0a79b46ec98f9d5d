/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Walks the calling thread's stack by the call frame information (DWARF CFI, .eh_frame) that every x86-64 program
 * carries, and remembers what it has read of it:
 *
 *   return address -> how to find the caller's frame from there: {base register, offset, where rbp was saved}
 *
 * It gives up in unusual cases, and libc's own walker does the work: another register as the base, a DWARF expression,
 * the frame of a signal handler, code without frame information (of a just-in-time compiler, of Go).
 */
#ifndef SLB_OS_UNWIND_H
#define SLB_OS_UNWIND_H

#include "base.h"

/* The registers at an instruction of the calling function. */
struct slb_os_registers {
    uintptr_t pc, sp, bp;
};

#if defined(__x86_64__) && defined(SLB_OS_LINUX) && defined(__GLIBC__)
/* Between the three reads nothing changes except rax, which frame information never mentions, so the three values
 * belong together. */
#define SLB_OS_REGISTERS_HERE(registers)                                                                     \
    __asm__ __volatile__("leaq 9f(%%rip), %%rax\n9:\n\t"                                                     \
                         "movq %%rax, %0\n\t"                                                                \
                         "movq %%rsp, %1\n\t"                                                                \
                         "movq %%rbp, %2\n\t"                                                                \
                         : "=m"((registers).pc), "=m"((registers).sp), "=m"((registers).bp)                  \
                         :                                                                                   \
                         : "rax")
#endif

/* Return addresses from the caller of the function that `registers` are of, innermost first, up to `capacity`. false
 * where the stack cannot be walked to its end by rules alone. Async-signal-safe. */
SLB_PRIVATE bool slb_os_unwind(const struct slb_os_registers *registers, uintptr_t *out_frames,
                               uint32_t capacity, uint32_t *out_count);

#endif
