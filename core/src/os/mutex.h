/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A lock that sleeps, for rare work that signal handlers do not do. Static locks need no initialising call. */
#ifndef SLB_OS_MUTEX_H
#define SLB_OS_MUTEX_H

#include "base.h"

#ifdef SLB_OS_WINDOWS

typedef struct {
    void *state;
} slb_os_mutex;
#define SLB_OS_MUTEX_INIT                                                                                    \
    { NULL }
SLB_PRIVATE void slb_os_mutex_lock(slb_os_mutex *mutex);
SLB_PRIVATE void slb_os_mutex_unlock(slb_os_mutex *mutex);

#else

#include <pthread.h>

typedef pthread_mutex_t slb_os_mutex;
#define SLB_OS_MUTEX_INIT PTHREAD_MUTEX_INITIALIZER

SLB_INLINE void slb_os_mutex_lock(slb_os_mutex *mutex) {
    (void)pthread_mutex_lock(mutex);
}

SLB_INLINE void slb_os_mutex_unlock(slb_os_mutex *mutex) {
    (void)pthread_mutex_unlock(mutex);
}

#endif

#endif
