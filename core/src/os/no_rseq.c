/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A build without restartable sequences: no pool uses them, so nothing asks for the fence. */
#include "os/os.h"

#if !SLB_OS_RSEQ

SLB_PRIVATE bool slb_os_has_rseq(void) {
    return false;
}

SLB_PRIVATE bool slb_os_rseq_at(intptr_t *out_offset) {
    (void)out_offset;
    return false;
}

SLB_PRIVATE void slb_os_fence_rseq(void) {
    atomic_thread_fence(memory_order_seq_cst);
}

SLB_PRIVATE bool slb_os_fences_well(void) {
    return true;
}

#endif
