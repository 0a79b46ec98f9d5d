/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The number of a thread, and a thread of the library's own. */
#include "os/os.h"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The number costs a system call, so a thread remembers it; a child made by fork has another one. */
static __thread uint64_t known_thread __attribute__((tls_model("initial-exec")));

SLB_PRIVATE void slb_os_forget_thread(void) {
    known_thread = 0;
}

SLB_PRIVATE uint64_t slb_os_thread(void) {
    if (slb_unlikely(known_thread == 0))
        known_thread = (uint64_t)syscall(SYS_gettid);
    return known_thread;
}

SLB_PRIVATE uint32_t slb_os_process(void) {
    return (uint32_t)getpid();
}

/* Enough for a caller's logger. */
#define OWN_STACK (1u << 20)

/* Signals are blocked before it exists, so that it takes none of the program's. */
SLB_PRIVATE bool slb_os_start_thread(void *(*body)(void *)) {
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t thread;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attributes, OWN_STACK);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&thread, &attributes, body, NULL) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    return started;
}

SLB_PRIVATE void slb_os_name_thread(const char *name) {
    (void)pthread_setname_np(pthread_self(), name);
}
