/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Guards, locked memory, core dumps. Guard regions (Linux 6.13) live in the page table and cost no mapping;
 * before, each guard splits a mapping in two, and the kernel limits their number. */
#include "os/os.h"

#ifdef SLB_OS_LINUX

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef MADV_GUARD_REMOVE
#define MADV_GUARD_REMOVE 103
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

/* QEMU's emulation of a process accepts advice that it does not know, and does nothing, so it would answer OK here too.
 * A kernel that has guard regions cannot read a page of one. */
static bool guards_really(void *address) {
    return madvise(address, slb_os_page_size(), MADV_POPULATE_READ) != 0;
}

/* The first guard decides: a kernel without guard regions, or locked memory, answers EINVAL. */
SLB_PRIVATE bool slb_os_guard(void *address, size_t size, enum slb_guard_way *probed) {
    if (*probed != SLB_GUARD_PROTECT && madvise(address, size, MADV_GUARD_INSTALL) == 0 &&
        (*probed == SLB_GUARD_REGION || guards_really(address))) {
        *probed = SLB_GUARD_REGION;
        return true;
    }
    if (*probed == SLB_GUARD_REGION)
        return false;
    *probed = SLB_GUARD_PROTECT;
    return mprotect(address, size, PROT_NONE) == 0;
}

/* Half of what the kernel allows, less a thousand for the rest of the process. */
SLB_PRIVATE uint64_t slb_os_guard_limit(void) {
    char text[32] = {0};
    int held = slb_os_hold_cancellation();
    int file = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        ssize_t length = read(file, text, sizeof text - 1);
        (void)length;
        close(file);
    }
    slb_os_allow_cancellation(held);
    uint64_t most = strtoull(text, NULL, 10);
    if (most == 0)
        most = 65530;
    return most > 4000 ? (most - 2000) / 2 : most / 4;
}

SLB_PRIVATE bool slb_os_unguard(void *address, size_t size, enum slb_guard_way way) {
    if (way == SLB_GUARD_REGION)
        return madvise(address, size, MADV_GUARD_REMOVE) == 0;
    return mprotect(address, size, PROT_READ | PROT_WRITE) == 0;
}

/* Pages are locked as they are touched, so that a large pool does not become resident at once. */
SLB_PRIVATE bool slb_os_lock_memory(void *address, size_t size) {
    return syscall(SYS_mlock2, address, size, MLOCK_ONFAULT) == 0;
}

SLB_PRIVATE bool slb_os_no_dump(void *address, size_t size) {
    return madvise(address, size, MADV_DONTDUMP) == 0;
}

#endif
