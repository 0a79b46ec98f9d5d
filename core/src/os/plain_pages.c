/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The functions that are the same on every system without Linux's advice on pages: a discard replaces guards too, pages
 * are touched one by one, and nothing is known of huge pages. */
#include "os/os.h"

#if !defined(SLB_OS_LINUX)

SLB_PRIVATE bool slb_os_discard_keeps_guards(void) {
    return false;
}

SLB_PRIVATE bool slb_os_populate(void *address, size_t size) {
    for (size_t offset = 0; offset < size; offset += slb_os_page_size())
        ((volatile char *)address)[offset] = 0;
    return true;
}

/* Darwin's and FreeBSD's superpages come and go without being asked for. Windows' large pages need a privilege and
 * cannot be given back. */
SLB_PRIVATE size_t slb_os_huge_page_size(void) {
    return 0;
}

SLB_PRIVATE uint64_t slb_os_huge_bytes(const void *address, size_t size) {
    (void)address, (void)size;
    return 0;
}

SLB_PRIVATE bool slb_os_huge_pages(void *address, size_t size) {
    (void)address, (void)size;
    return false;
}

/* On none of these systems is the limit of mappings lower than the limit that memory sets. */
SLB_PRIVATE uint64_t slb_os_guard_limit(void) {
    return UINT32_MAX;
}

#endif
