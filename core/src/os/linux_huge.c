/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Transparent huge pages: whether this process can have any, asking for them, and counting what came. */
#include "os/os.h"

#ifdef SLB_OS_LINUX

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define THP "/sys/kernel/mm/transparent_hugepage/"

/* The beginning of a small file, as a string; empty where there is none. */
static void read_file(const char *path, char *text, size_t size) {
    int held = slb_os_hold_cancellation();
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? 0 : read(file, text, size - 1);
    text[length < 0 ? 0 : length] = 0;
    if (file >= 0)
        close(file);
    slb_os_allow_cancellation(held);
}

SLB_PRIVATE size_t slb_os_huge_page_size(void) {
    char text[32];
    read_file(THP "hpage_pmd_size", text, sizeof text);
    size_t size = strtoull(text, NULL, 10);
    return size >= slb_os_page_size() && (size & (size - 1)) == 0 ? size : 0;
}

/* The system accepts the advice even if it has no effect: an administrator, this process, or the process that started
 * it may have switched huge pages off. */
static bool are_switched_off(void) {
    char text[64];
    read_file(THP "enabled", text, sizeof text);
    return strstr(text, "[never]") != NULL || prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1;
}

SLB_PRIVATE bool slb_os_huge_pages(void *address, size_t size) {
    return !are_switched_off() && madvise(address, size, MADV_HUGEPAGE) == 0;
}

/* ------------------------------------------------------------------------------------------------ counting */

/* Lines of /proc/self/smaps: "start-end ..." begins a mapping, "AnonHugePages:  N kB" belongs to the last one. */
struct scan {
    uintptr_t start, end;
    bool inside;
    uint64_t bytes;
};

static void scan_line(struct scan *scan, const char *line) {
    unsigned long from, to, kilobytes;
    if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
        scan->inside = from < scan->end && to > scan->start;
    else if (scan->inside && sscanf(line, "AnonHugePages: %lu kB", &kilobytes) == 1)
        scan->bytes += (uint64_t)kilobytes * 1024;
}

static void scan_file(struct scan *scan, int file) {
    char text[4096];
    size_t have = 0;
    for (ssize_t got; (got = read(file, text + have, sizeof text - 1 - have)) > 0;) {
        have += (size_t)got;
        text[have] = 0;
        char *line = text;
        for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
            *end = 0;
            scan_line(scan, line);
        }
        have -= (size_t)(line - text);
        if (have == sizeof text - 1) /* a path longer than any line we look for */
            have = 0;
        memmove(text, line, have);
    }
}

SLB_PRIVATE uint64_t slb_os_huge_bytes(const void *address, size_t size) {
    struct scan scan = {.start = (uintptr_t)address, .end = (uintptr_t)address + size};
    int held = slb_os_hold_cancellation();
    int file = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        scan_file(&scan, file);
        close(file);
    }
    slb_os_allow_cancellation(held);
    return scan.bytes < size ? scan.bytes : size;
}

#endif
