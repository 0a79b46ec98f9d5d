/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which slabs of a range are free while no thread is inside a call: for operations that touch free slabs (trim,
 * switching `secure` on). Under maintenance. */
#ifndef SLB_POOL_FREE_RANGE_H
#define SLB_POOL_FREE_RANGE_H

#include "pool.h"

/* How many slabs one range holds: allocations wait for one range, not for the whole pool. */
#define SLB_FREE_RANGE 16384u

/* Slabs first .. end-1, and a bit for each that was free. */
struct slb_free_range {
    uint32_t first, end;
    uint64_t *is_free;
};

/* Fills the bits; false if the pool did not become quiescent, or ended. */
SLB_PRIVATE bool slb_find_free(struct slabby_allocator *pool, const struct slb_free_range *range);

SLB_INLINE bool slb_range_has_free(const struct slb_free_range *range, uint32_t id) {
    uint32_t bit = id - range->first;
    return (range->is_free[bit / 64] >> (bit % 64) & 1) != 0;
}

#endif
