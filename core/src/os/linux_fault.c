/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "os/fault.h"

#include <ucontext.h>

#define FAULT_WAS_WRITE 2 /* x86: bit 1 of the page fault's error code */

SLB_PRIVATE const char *slb_os_fault_verb(const void *context) {
#if defined(__x86_64__)
    const ucontext_t *machine = context;
    return machine->uc_mcontext.gregs[REG_ERR] & FAULT_WAS_WRITE ? "write" : "read";
#else
    (void)context;
    return "access";
#endif
}
