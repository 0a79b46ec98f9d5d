/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The functions that are specific to macOS; the rest is in the files for POSIX and BSD. */
#include "os/os.h"

#ifdef SLB_OS_DARWIN

#include <errno.h>
#include <pthread.h>

/* Waiting on a word, as the C++ library of the system does it; public names came with macOS 14.4 only. A timeout of 0
 * means none, one has 32 bits of microseconds. */
extern int __ulock_wait(uint32_t operation, void *word, uint64_t expected, uint32_t timeout_us);
extern int __ulock_wake(uint32_t operation, void *word, uint64_t value);
#define UL_COMPARE_AND_WAIT 1u
#define ULF_NO_ERRNO 0x01000000u
#define LONGEST_WAIT_US 1000000000u

SLB_PRIVATE bool slb_os_sleep_on(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns) {
    uint64_t now = slb_os_now_ns();
    if (now >= deadline_ns)
        return false;
    uint64_t us = (deadline_ns - now + 999) / 1000;
    uint32_t timeout = us > LONGEST_WAIT_US ? LONGEST_WAIT_US : (uint32_t)us;
    (void)__ulock_wait(UL_COMPARE_AND_WAIT | ULF_NO_ERRNO, (void *)word, expected, timeout);
    return true;
}

SLB_PRIVATE void slb_os_wake_one(_Atomic uint32_t *word) {
    (void)__ulock_wake(UL_COMPARE_AND_WAIT | ULF_NO_ERRNO, (void *)word, 0);
}

SLB_PRIVATE void slb_os_forget_thread(void) {
}

SLB_PRIVATE uint64_t slb_os_thread(void) {
    uint64_t number = 0;
    (void)pthread_threadid_np(NULL, &number);
    return number;
}

SLB_PRIVATE void slb_os_name_thread(const char *name) {
    (void)pthread_setname_np(name);
}

#endif
