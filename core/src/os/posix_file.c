/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Writing to a descriptor that belongs to the caller. */
#include "os/os.h"

#ifndef SLB_OS_WINDOWS

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

/* A pipe without a reader raises SIGPIPE in the writing thread: blocked meanwhile, and taken back unless it was
 * waiting there before. */
static ssize_t write_without_signal(int fd, const void *data, size_t size) {
    sigset_t broken_pipe, before, waiting;
    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    sigpending(&waiting);
    if (sigismember(&waiting, SIGPIPE))
        return write(fd, data, size);
    pthread_sigmask(SIG_BLOCK, &broken_pipe, &before);
    ssize_t written = write(fd, data, size);
    int failure = errno;
    if (written < 0 && failure == EPIPE && sigpending(&waiting) == 0 && sigismember(&waiting, SIGPIPE)) {
        int taken;
        (void)sigwait(&broken_pipe, &taken);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = failure;
    return written;
}

static int write_waiting(int fd, const void *data, size_t size, size_t *out_written) {
    for (;;) {
        ssize_t written = write_without_signal(fd, data, size);
        if (written >= 0) {
            *out_written = (size_t)written;
            return 0;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            struct pollfd ready = {.fd = fd, .events = POLLOUT};
            (void)poll(&ready, 1, -1);
        } else if (errno != EINTR) {
            return errno;
        }
    }
}

SLB_PRIVATE int slb_os_write(int fd, const void *data, size_t size, size_t *out_written) {
    int held = slb_os_hold_cancellation();
    int failure = write_waiting(fd, data, size, out_written);
    slb_os_allow_cancellation(held);
    return failure;
}

SLB_PRIVATE int slb_os_file_identity(int fd, uint64_t *out_device, uint64_t *out_inode) {
    struct stat status;
    if (fstat(fd, &status) != 0)
        return errno;
    *out_device = (uint64_t)status.st_dev;
    *out_inode = (uint64_t)status.st_ino;
    return 0;
}

#endif
