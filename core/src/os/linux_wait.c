/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Waiting in the kernel: futexes for threads, an eventfd for event loops. */
#include "os/os.h"

#ifdef SLB_OS_LINUX

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* As linux/futex.h has them, which not every system with a C compiler has. */
#define FUTEX_WAKE 1
#define FUTEX_WAIT_BITSET 9
#define FUTEX_PRIVATE_FLAG 128
#define FUTEX_BITSET_MATCH_ANY 0xffffffffu

/* System calls by their numbers, here and in the other files for Linux: libc's functions are cancellation points. */
SLB_PRIVATE void slb_os_sleep(uint64_t ns) {
    struct timespec sleep = {.tv_sec = 0, .tv_nsec = (long)ns};
    (void)syscall(SYS_nanosleep, &sleep, NULL);
}

/* FUTEX_WAIT_BITSET takes an absolute time of the monotonic clock, so that an early return costs no precision. */
SLB_PRIVATE bool slb_os_sleep_on(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns) {
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                             .tv_nsec = (long)(deadline_ns % 1000000000u)};
    if (slb_os_now_ns() >= deadline_ns)
        return false;
    (void)syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected, &until, NULL,
                  FUTEX_BITSET_MATCH_ANY);
    return true;
}

SLB_PRIVATE void slb_os_wake_one(_Atomic uint32_t *word) {
    (void)syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}

SLB_PRIVATE int slb_os_notifier_create(void) {
    int notifier = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return notifier < 0 ? -errno : notifier;
}

SLB_PRIVATE void slb_os_notifier_signal(int notifier) {
    uint64_t one = 1;
    (void)syscall(SYS_write, notifier, &one,
                  sizeof one); /* fails only if it is signalled already, 2^64 times */
}

SLB_PRIVATE void slb_os_notifier_clear(int notifier) {
    uint64_t rings;
    (void)syscall(SYS_read, notifier, &rings, sizeof rings);
}

/* If the system refuses a new descriptor, the number still names the parent's: an unnecessary wakeup is better than a
 * missed one. */
SLB_PRIVATE void slb_os_notifier_renew(int notifier) {
    int fresh = slb_os_notifier_create();
    if (fresh < 0)
        return;
    (void)dup3(fresh, notifier, O_CLOEXEC);
    (void)syscall(SYS_close, fresh);
}

SLB_PRIVATE void slb_os_notifier_destroy(int notifier) {
    (void)syscall(SYS_close, notifier);
}

#endif
