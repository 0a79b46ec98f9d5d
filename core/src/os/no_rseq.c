/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A build without restartable sequences: no pool uses them, so nothing calls their fence. Windows has a fence of all
 * threads; Wine has its name, and in version 8 does nothing. */
#include "os/os.h"

#if !SLB_OS_RSEQ

#ifdef SLB_OS_WINDOWS
#include <windows.h>

SLB_PRIVATE void slb_os_fence_threads(void) {
    FlushProcessWriteBuffers();
}

/* relaxed: each thread finds the same */
SLB_PRIVATE bool slb_os_fences_threads(void) {
    enum { UNKNOWN, YES, NO };
    static _Atomic uint32_t answer;
    uint32_t known = atomic_load_explicit(&answer, memory_order_relaxed);
    if (known == UNKNOWN) {
        known = GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "wine_get_version") == NULL ? YES : NO;
        atomic_store_explicit(&answer, known, memory_order_relaxed);
    }
    return known == YES;
}
#else
SLB_PRIVATE void slb_os_fence_threads(void) {
    atomic_thread_fence(memory_order_seq_cst);
}

SLB_PRIVATE bool slb_os_fences_threads(void) {
    return false;
}
#endif

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
