/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Memory where the advice to drop pages does not promise zeros: Darwin and FreeBSD. Guards are protected pages. */
#include "os/os.h"

#if defined(SLB_OS_DARWIN) || defined(SLB_OS_FREEBSD)

#include <sys/mman.h>

/* A fresh mapping over locked pages would unlock them without an error: once any page is locked, all pages stay. */
static _Atomic uint32_t memory_is_locked;

/* The fresh mapping takes the place of the old one in one step: a reader that is late finds zeros, never a hole. */
SLB_PRIVATE bool slb_os_discard(void *address, size_t size) {
    if (atomic_load_explicit(&memory_is_locked, memory_order_relaxed) != 0)
        return false;
    return mmap(address, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON | MAP_FIXED, -1, 0) !=
           MAP_FAILED;
}

SLB_PRIVATE bool slb_os_guard(void *address, size_t size, enum slb_guard_way *probed) {
    *probed = SLB_GUARD_PROTECT;
    return mprotect(address, size, PROT_NONE) == 0;
}

SLB_PRIVATE bool slb_os_unguard(void *address, size_t size, enum slb_guard_way way) {
    (void)way;
    return mprotect(address, size, PROT_READ | PROT_WRITE) == 0;
}

SLB_PRIVATE bool slb_os_lock_memory(void *address, size_t size) {
    if (mlock(address, size) != 0)
        return false;
    atomic_store_explicit(&memory_is_locked, 1, memory_order_relaxed);
    return true;
}

SLB_PRIVATE bool slb_os_no_dump(void *address, size_t size) {
#ifdef MADV_NOCORE
    return madvise(address, size, MADV_NOCORE) == 0;
#else
    (void)address, (void)size;
    return false;
#endif
}

#endif
