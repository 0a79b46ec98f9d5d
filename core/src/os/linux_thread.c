/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The number and the name of a thread. */
#include "os/os.h"

#ifdef SLB_OS_LINUX

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The number costs a system call, so a thread remembers it; a child made by fork has another one. */
static SLB_THREAD_LOCAL uint64_t known_thread;

SLB_PRIVATE void slb_os_forget_thread(void) {
    known_thread = 0;
}

SLB_PRIVATE uint64_t slb_os_thread(void) {
    if (slb_unlikely(known_thread == 0))
        known_thread = (uint64_t)syscall(SYS_gettid);
    return known_thread;
}

SLB_PRIVATE void slb_os_name_thread(const char *name) {
    (void)pthread_setname_np(pthread_self(), name);
}

#endif
