/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Notifiers where there are kqueues: Darwin and FreeBSD. A kqueue is one descriptor that select, poll and other kqueues
 * can wait for; an event of its own makes it readable until it is fetched. */
#include "os/os.h"

#if defined(SLB_OS_DARWIN) || defined(SLB_OS_FREEBSD)

#include <errno.h>
#include <fcntl.h>
#include <sys/types.h>
#include <sys/event.h>
#include <unistd.h>

static const struct timespec at_once = {0, 0};

/* With a time of zero kevent never sleeps. */
static void change(int queue, unsigned flags, unsigned fflags) {
    struct kevent event;
    EV_SET(&event, 1, EVFILT_USER, (uint16_t)flags, fflags, 0, NULL);
    (void)kevent(queue, &event, 1, NULL, 0, &at_once);
}

static int fresh_queue(void) {
    int queue = kqueue();
    if (queue < 0)
        return -errno;
    (void)fcntl(queue, F_SETFD, FD_CLOEXEC);
    change(queue, EV_ADD | EV_CLEAR, 0);
    return queue;
}

SLB_PRIVATE int slb_os_notifier_create(void) {
    return fresh_queue();
}

SLB_PRIVATE void slb_os_notifier_signal(int notifier) {
    int error_before = errno;
    change(notifier, 0, NOTE_TRIGGER);
    errno = error_before;
}

/* EV_CLEAR: an event that was fetched is over. */
SLB_PRIVATE void slb_os_notifier_clear(int notifier) {
    struct kevent event;
    (void)kevent(notifier, NULL, 0, &event, 1, &at_once);
}

/* A child of fork has no queues: the descriptor number is free there, or belongs to something that was opened since. */
SLB_PRIVATE void slb_os_notifier_renew(int notifier) {
    int fresh = fresh_queue();
    if (fresh < 0 || fresh == notifier)
        return;
    if (dup2(fresh, notifier) >= 0)
        (void)fcntl(notifier, F_SETFD, FD_CLOEXEC);
    (void)close(fresh);
}

SLB_PRIVATE void slb_os_notifier_destroy(int notifier) {
    int held = slb_os_hold_cancellation();
    (void)close(notifier);
    slb_os_allow_cancellation(held);
}

#endif
