/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protect/slab_pages.h"

#include "os/os.h"
#include "protect/slab_commit.h"

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

static bool discard_committed(struct slabby_allocator *pool, uint64_t from, uint64_t to) {
    if (pool->guard_bytes == 0)
        return slb_os_discard(pool->slab_base + from, to - from);
    return discard_around_guards(pool, from, to);
}

/* Where a discard replaces pages, those that are only reserved would be committed by it. */
SLB_PRIVATE bool slb_discard_slab_pages(struct slabby_allocator *pool, uint64_t from, uint64_t to) {
    if (slb_os_discard_keeps_guards())
        return slb_os_discard(pool->slab_base + from, to - from);
    struct slb_slab_area area = slb_slab_area_of(pool);
    bool done = true;
    for (struct slb_slab_run run = {0}; done && slb_next_run(&area, 0, pool->capacity.committed, &run);) {
        uint64_t first = run.from > from ? run.from : from, last = run.to < to ? run.to : to;
        done = first >= last || discard_committed(pool, first, last);
    }
    return done;
}
