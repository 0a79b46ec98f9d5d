/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protect/slab_pages.h"

#include "os/os.h"

/* With guard_pages every slab begins on a page and ends at its guard. */
static bool discard_around_guards(struct slabby_allocator *pool, uint64_t from, uint64_t to) {
    uint64_t body = pool->stride - pool->guard_bytes / pool->reserved;
    bool done = true;
    for (uint64_t start = from / pool->stride * pool->stride; start < to && done; start += pool->stride) {
        uint64_t first = start < from ? from : start;
        uint64_t last = start + body > to ? to : start + body;
        done = first >= last || slb_os_discard(pool->slab_base + first, last - first);
    }
    return done;
}

SLB_PRIVATE bool slb_discard_slab_pages(struct slabby_allocator *pool, uint64_t from, uint64_t to) {
    if (pool->guard_bytes == 0 || slb_os_discard_keeps_guards())
        return slb_os_discard(pool->slab_base + from, to - from);
    return discard_around_guards(pool, from, to);
}
