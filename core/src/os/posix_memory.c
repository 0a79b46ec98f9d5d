/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Memory functions that are the same on every POSIX system. The differences are in the file of each system. */
#include "os/os.h"

#ifndef SLB_OS_WINDOWS

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

SLB_PRIVATE size_t slb_os_page_size(void) {
    static _Atomic size_t known;
    size_t size = atomic_load_explicit(&known, memory_order_relaxed); /* any thread computes the same value */
    if (size == 0) {
        size = (size_t)sysconf(_SC_PAGESIZE);
        atomic_store_explicit(&known, size, memory_order_relaxed);
    }
    return size;
}

SLB_PRIVATE uint64_t slb_os_physical_memory(void) {
    long pages = sysconf(_SC_PHYS_PAGES);
    return pages > 0 ? (uint64_t)pages * slb_os_page_size() : 0;
}

static void *map_anonymous(size_t size, int protection) {
    void *address = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANON | MAP_NORESERVE, -1, 0);
    return address == MAP_FAILED ? NULL : address;
}

SLB_PRIVATE void *slb_os_reserve(size_t size) {
    return map_anonymous(size, PROT_NONE);
}

SLB_PRIVATE void *slb_os_map(size_t size) {
    return map_anonymous(size, PROT_READ | PROT_WRITE);
}

SLB_PRIVATE bool slb_os_commit(void *address, size_t size) {
    return mprotect(address, size, PROT_READ | PROT_WRITE) == 0;
}

/* Removing the permission would leave the pages counted as the process's. */
SLB_PRIVATE void slb_os_decommit(void *address, size_t size) {
    (void)mmap(address, size, PROT_NONE, MAP_PRIVATE | MAP_ANON | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

SLB_PRIVATE void slb_os_unmap(void *address, size_t size) {
    if (address != NULL)
        (void)munmap(address, size);
}

SLB_PRIVATE uint64_t slb_os_lock_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0)
        return 0;
    return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t)limit.rlim_cur;
}

SLB_PRIVATE void *slb_os_heap_allocate(size_t alignment, size_t size) {
    void *memory = NULL;
    return posix_memalign(&memory, alignment, size) == 0 ? memory : NULL;
}

SLB_PRIVATE void slb_os_heap_free(void *memory) {
    free(memory);
}

#endif
