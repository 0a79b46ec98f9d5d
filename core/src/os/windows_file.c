/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Writing to a descriptor of the C library, which belongs to the caller. */
#include "os/os.h"

#ifdef SLB_OS_WINDOWS

#include <errno.h>
#include <io.h>
#include <windows.h>

/* For a descriptor that is not open, the C library ends the process, or, if the program has chosen so, returns this
 * value. */
static HANDLE file_of(int fd) {
    intptr_t handle = fd < 0 ? -1 : _get_osfhandle(fd);
    return handle == -2 ? INVALID_HANDLE_VALUE : (HANDLE)handle;
}

static int errno_of(DWORD error) {
    switch (error) {
    case ERROR_INVALID_HANDLE:
        return EBADF;
    case ERROR_ACCESS_DENIED:
        return EACCES;
    case ERROR_DISK_FULL:
    case ERROR_HANDLE_DISK_FULL:
        return ENOSPC;
    case ERROR_BROKEN_PIPE:
    case ERROR_NO_DATA:
        return EPIPE;
    default:
        return EIO;
    }
}

/* Bypasses the C library, which would turn each line feed into two bytes. */
SLB_PRIVATE int slb_os_write(int fd, const void *data, size_t size, size_t *out_written) {
    HANDLE file = file_of(fd);
    DWORD written = 0;
    if (file == INVALID_HANDLE_VALUE)
        return EBADF;
    if (!WriteFile(file, data, size > 0x40000000 ? 0x40000000 : (DWORD)size, &written, NULL))
        return errno_of(GetLastError());
    *out_written = written;
    return 0;
}

SLB_PRIVATE int slb_os_file(int fd, struct slb_file *out) {
    HANDLE file = file_of(fd);
    BY_HANDLE_FILE_INFORMATION info;
    *out = (struct slb_file){.size = UINT64_MAX};
    if (file == INVALID_HANDLE_VALUE)
        return EBADF;
    if (GetFileInformationByHandle(file, &info)) { /* a pipe has no identity */
        out->device = info.dwVolumeSerialNumber;
        out->inode = (uint64_t)info.nFileIndexHigh << 32 | info.nFileIndexLow;
        out->size = (uint64_t)info.nFileSizeHigh << 32 | info.nFileSizeLow;
    }
    return 0;
}

#endif
