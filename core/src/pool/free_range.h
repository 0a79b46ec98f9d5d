/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which slabs of a range are free while no thread is inside a call: for operations that touch free slabs (trim,
 * switching `secure` on). Under maintenance. */
#ifndef SLB_POOL_FREE_RANGE_H
#define SLB_POOL_FREE_RANGE_H

#include "pool.h"

/* A sixteenth of the pool, but at least so many slabs: allocations wait for one range, not for the whole pool, and each
 * range costs a look at every word. */
#define SLB_FREE_RANGE 16384u

/* Slabs first .. end-1, and a bit for each that was free. */
struct slb_free_range {
    uint32_t first, end, length; /* length: of the longest range */
    uint64_t *is_free;
    uint64_t
        few[SLB_FREE_RANGE / 64]; /* for the bits of small pools, and where the system refuses a mapping */
};

SLB_PRIVATE void slb_ranges_begin(struct slb_free_range *range, const struct slabby_allocator *pool);
SLB_PRIVATE void slb_ranges_end(struct slb_free_range *range);

/* Fills the bits; false if the pool did not become quiescent, or ended. */
SLB_PRIVATE bool slb_find_free(struct slabby_allocator *pool, const struct slb_free_range *range);

/* How many slabs at the start of a shard's range are worth a look. */
typedef uint32_t slb_range_count(const struct slabby_allocator *pool, uint32_t shard);

/* The next range, over slabs that `count` admits; false at the end. So the work goes by the slabs that are in use or
 * were, not by max_capacity. */
SLB_PRIVATE bool slb_next_range(struct slabby_allocator *pool, struct slb_free_range *range,
                                slb_range_count *count);

SLB_INLINE bool slb_range_has_free(const struct slb_free_range *range, uint32_t id) {
    uint32_t bit = id - range->first;
    return (range->is_free[bit / 64] >> (bit % 64) & 1) != 0;
}

#endif
