/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The data of a ring; ring.h says how it works. */
#ifndef SLB_OBSERVE_RING_STATE_H
#define SLB_OBSERVE_RING_STATE_H

#include "base.h"

/* The longest record of any ring, in words. */
#define SLB_RING_WORDS 40u

struct slb_ring_head {
    _Alignas(SLB_CACHE_LINE) _Atomic uint64_t next; /* sequence number of the next record */
    char rest_of_line[SLB_CACHE_LINE - sizeof(uint64_t)];
};

/* Memory that reads as zeros is an empty ring. size is a power of two; 0 means that there is no ring. */
struct slb_ring {
    struct slb_ring_head *head;
    uint64_t size;
    uint32_t words;  /* of a record, the time first, the check not counted */
    uint32_t stride; /* of an entry, in words */
};

SLB_INLINE uint64_t slb_ring_bytes(uint64_t size, uint32_t stride) {
    return size == 0 ? 0 : sizeof(struct slb_ring_head) + size * stride * sizeof(uint64_t);
}

#endif
