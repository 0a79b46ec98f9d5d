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

static int signal_of(int failure) {
    return failure == EPIPE ? SIGPIPE : failure == EFBIG ? SIGXFSZ : 0;
}

/* Takes the signal back that a refused write has raised, unless it was waiting before. */
static void take_back(int number, const sigset_t *waiting_before) {
    sigset_t waiting, raised;
    int taken;
    if (number == 0 || sigismember(waiting_before, number) || sigpending(&waiting) != 0 ||
        !sigismember(&waiting, number))
        return;
    sigemptyset(&raised);
    sigaddset(&raised, number);
    (void)sigwait(&raised, &taken);
}

/* A pipe without a reader raises SIGPIPE in the writing thread, and a file at the limit of RLIMIT_FSIZE raises SIGXFSZ:
 * blocked meanwhile. */
static ssize_t write_without_signal(int fd, const void *data, size_t size) {
    sigset_t refusals, before, waiting;
    sigemptyset(&refusals);
    sigaddset(&refusals, SIGPIPE);
    sigaddset(&refusals, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &refusals, &before);
    sigpending(&waiting);
    ssize_t written = write(fd, data, size);
    int failure = errno;
    take_back(written < 0 ? signal_of(failure) : 0, &waiting);
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

SLB_PRIVATE int slb_os_file(int fd, struct slb_file *out) {
    struct stat status;
    if (fstat(fd, &status) != 0)
        return errno;
    out->device = (uint64_t)status.st_dev;
    out->inode = (uint64_t)status.st_ino;
    out->size = S_ISREG(status.st_mode) ? (uint64_t)status.st_size : UINT64_MAX;
    return 0;
}

#endif
