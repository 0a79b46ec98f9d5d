/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Threads as POSIX has them: one of the library's own, cancellation, waiting without sleeping, fork. */
#include "os/os.h"

#ifndef SLB_OS_WINDOWS

#include "os/mutex.h"

#include <sched.h>
#include <signal.h>
#include <unistd.h>

SLB_PRIVATE uint32_t slb_os_process(void) {
    return (uint32_t)getpid();
}

SLB_PRIVATE uint64_t slb_os_thread_mark(void) {
    static SLB_THREAD_LOCAL char mark;
    return (uintptr_t)&mark;
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

SLB_PRIVATE void slb_os_without_signals(void (*work)(void *), void *argument) {
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    work(argument);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

SLB_PRIVATE int slb_os_hold_cancellation(void) {
    int held = PTHREAD_CANCEL_ENABLE;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &held);
    return held;
}

SLB_PRIVATE void slb_os_allow_cancellation(int held) {
    (void)pthread_setcancelstate(held, NULL);
}

SLB_PRIVATE void slb_os_wait_a_little(uint32_t attempt) {
    if (attempt < 32)
        slb_os_pause();
    else if (attempt < 4096)
        (void)sched_yield();
    else /* a thread of higher priority must not starve the one it waits for */
        slb_os_sleep(50000);
}

/* ---------------------------------------------------------------------------------------------------- fork */

static _Atomic(void (*)(void)) fork_before, fork_parent, fork_child;
static _Atomic uint32_t fork_registered;

static void register_handlers(void) {
    bool done =
        pthread_atfork(atomic_load(&fork_before), atomic_load(&fork_parent), atomic_load(&fork_child)) == 0;
    atomic_store(&fork_registered, done);
}

/* Registers once, because a handler that ran twice would wait for its own lock. If the system refused, the next call
 * tries again. Every caller passes the same functions. */
SLB_PRIVATE bool slb_os_at_fork(void (*before)(void), void (*parent)(void), void (*child)(void)) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static slb_os_mutex retry = SLB_OS_MUTEX_INIT;
    if (atomic_load(&fork_registered) != 0)
        return true;
    atomic_store(&fork_before, before);
    atomic_store(&fork_parent, parent);
    atomic_store(&fork_child, child);
    pthread_once(&once, register_handlers);
    if (atomic_load(&fork_registered) == 0) {
        slb_os_mutex_lock(&retry);
        if (atomic_load(&fork_registered) == 0)
            register_handlers();
        slb_os_mutex_unlock(&retry);
    }
    return atomic_load(&fork_registered) != 0;
}

#endif
