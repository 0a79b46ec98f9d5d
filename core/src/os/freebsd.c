/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The functions that are specific to FreeBSD; the rest is in the files for POSIX and BSD. */
#include "os/os.h"

#ifdef SLB_OS_FREEBSD

#include <pthread.h>
#include <pthread_np.h>
#include <sys/types.h>
#include <sys/umtx.h>
#include <time.h>

SLB_PRIVATE bool slb_os_sleep_on(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns) {
    struct _umtx_time until = {._timeout = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                                            .tv_nsec = (long)(deadline_ns % 1000000000u)},
                               ._flags = UMTX_ABSTIME,
                               ._clockid = CLOCK_MONOTONIC};
    if (slb_os_now_ns() >= deadline_ns)
        return false;
    (void)_umtx_op((void *)word, UMTX_OP_WAIT_UINT_PRIVATE, expected, (void *)sizeof until, &until);
    return true;
}

SLB_PRIVATE void slb_os_wake_one(_Atomic uint32_t *word) {
    (void)_umtx_op((void *)word, UMTX_OP_WAKE_PRIVATE, 1, NULL, NULL);
}

SLB_PRIVATE void slb_os_forget_thread(void) {
}

SLB_PRIVATE uint64_t slb_os_thread(void) {
    return (uint64_t)pthread_getthreadid_np();
}

SLB_PRIVATE void slb_os_name_thread(const char *name) {
    pthread_set_name_np(pthread_self(), name);
}

#endif
