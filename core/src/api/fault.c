/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Faults: the classification of an address, and the handler that reports faults on guards. */
#include "protect/fault.h"

#include "status.h"

SLB_PUBLIC slabby_status slabby_classify_fault(slabby_fault *out_fault, uint64_t address) {
    slabby_fault fault = {.struct_size = sizeof fault};
    if (out_fault == NULL)
        return SLABBY_INVALID_ARGUMENT;
    slb_fault_classify((uintptr_t)address, &fault);
    return slb_copy_out(out_fault, &fault, sizeof fault);
}

SLB_PUBLIC slabby_status slabby_install_fault_handler(slabby_error *out_error) {
    return slb_fault_handler_install() ? SLABBY_OK
                                       : slb_error_set(out_error, SLABBY_NOT_SUPPORTED, 0, 0, 0, 0,
                                                       "the system refused a handler of SIGSEGV or SIGBUS");
}
