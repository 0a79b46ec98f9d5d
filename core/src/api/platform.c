/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The report on what this machine and process offer, and what a pool will therefore do. */
#include <slabby/slabby.h>

#include "os/os.h"
#include "slabby_contract.h"
#include "status.h"

#include <inttypes.h>

static void add_system(struct slb_text *text) {
    slb_text_add(text, "core: %s, binary interface %u\n", SLB_VERSION_TEXT, (unsigned)SLB_ABI_VERSION);
    slb_text_add(text, "system: %s on %s\n", SLB_OS_NAME, SLB_OS_MACHINE);
    slb_text_add(text, "CPUs: %u; a pool has a cache for each, and by default a shard\n",
                 (unsigned)slb_os_cpu_count());
    slb_text_add(text, "cache line: %u bytes; slabs are aligned to it by default\n",
                 (unsigned)slb_os_cache_line());
    slb_text_add(text, "page: %zu bytes\n", slb_os_page_size());
}

static void add_sequences(struct slb_text *text) {
    if (slb_os_has_rseq()) {
        slb_text_add(text, "restartable sequences: yes; CPU caches commit with one store\n");
        slb_text_add(text, "fence: %s\n",
                     slb_os_fences_well() ? "membarrier; caches are emptied in microseconds"
                                          : "membarrier was refused; caches are emptied more slowly");
        return;
    }
    slb_text_add(text, "restartable sequences: no; CPU caches are locked for a few instructions instead "
                       "(cpu_cache_backend=portable), and rseq is refused\n");
}

/* On the middle one of three pages. */
static void add_guards(struct slb_text *text, char *pages, size_t page) {
    enum slb_guard_way way = SLB_GUARD_UNKNOWN;
    bool guarded = slb_os_guard(pages + page, page, &way);
    if (!guarded)
        slb_text_add(text, "guards: no; guard_pages and guard_sample_rate are refused\n");
    else if (way == SLB_GUARD_REGION)
        slb_text_add(text, "guards: by region; their number has no limit\n");
    else
        slb_text_add(text,
                     "guards: by protection; at most %" PRIu64
                     " in the process, then guard_pages is refused, or "
                     "replaced by bit_guard where a preset set it\n",
                     slb_os_guard_limit());
}

static void add_pages(struct slb_text *text, char *pages, size_t page) {
    slb_text_add(text, "huge pages: %s\n",
                 slb_os_huge_pages(pages, page) ? "can be asked for; huge_pages is accepted"
                                                : "no; huge_pages is refused");
    slb_text_add(text, "core dumps: %s\n",
                 slb_os_no_dump(pages, page) ? "no_dump keeps slabs out of them"
                                             : "no way to leave memory out; no_dump is refused");
}

static void add_locking(struct slb_text *text) {
    uint64_t limit = slb_os_lock_limit();
    if (limit == UINT64_MAX)
        slb_text_add(text, "locked memory: without limit\n");
    else
        slb_text_add(text,
                     "locked memory: %" PRIu64
                     " bytes; lock_memory=required is refused above it, where the process "
                     "has no privilege\n",
                     limit);
}

static void add_clock(struct slb_text *text) {
    slb_text_add(text, "clock: steps of %" PRIu64 " ns; shorter allocations are reported as that\n",
                 slb_os_clock_floor_ns());
}

SLB_PUBLIC slabby_status slabby_platform_text(char *buffer, uint64_t capacity, uint64_t *out_length) {
    struct slb_text text = {.buffer = buffer, .capacity = capacity};
    if (buffer == NULL && capacity > 0)
        return SLABBY_INVALID_ARGUMENT;
    size_t page = slb_os_page_size();
    char *pages = slb_os_map(3 * page);
    add_system(&text);
    add_sequences(&text);
    if (pages != NULL) {
        add_pages(&text, pages, page);
        add_guards(&text, pages, page);
        slb_os_unmap(pages, 3 * page);
    }
    add_locking(&text);
    add_clock(&text);
    return slb_text_end(&text, out_length);
}
