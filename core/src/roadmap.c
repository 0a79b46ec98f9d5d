/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Functions whose turn has not come: they are in the ABI from the first day and answer NotSupported, after the same
 * checks of their handle as any other. docs/roadmap.md lists them. */
#include "pool.h"
#include "status.h"

static slabby_status not_yet(slabby_allocator *allocator) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL)
        return SLABBY_INVALID_ARGUMENT;
    return slb_pool_exists(pool) ? SLABBY_NOT_SUPPORTED : slb_pool_absence(pool);
}

static slabby_status not_yet_said(slabby_allocator *allocator, slabby_error *error, const char *what) {
    return slb_error_set(error, not_yet(allocator), 0, 0, 0, 0, "this version has no %s", what);
}

SLB_PUBLIC slabby_status slabby_resize(uint64_t *out_awaited, slabby_allocator *allocator, uint64_t capacity,
                                       slabby_error *out_error) {
    (void)out_awaited, (void)capacity;
    return not_yet_said(allocator, out_error, "live resizing");
}
