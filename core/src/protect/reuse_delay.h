/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * reuse_delay: released slabs are zeroed, and wait before they can be handed out again; a write to a waiting slab is
 * found when the slab leaves. A slab waits until so many others have been released behind it, in the ring of its CPU
 * (tiers/delay_queue.h). When free slabs are short, the rings are a tier like any other: they are emptied before
 * OutOfMemory is answered.
 */
#ifndef SLB_PROTECT_REUSE_DELAY_H
#define SLB_PROTECT_REUSE_DELAY_H

#include "observe/events.h"
#include "pool.h"
#include "protect/zero.h"
#include "tiers/delay_queue.h"

/* For a pool that runs short: the oldest id whose slab nobody has written to. Those that were written to go into
 * quarantine. False where none waits. */
SLB_PRIVATE bool slb_delay_pop(struct slabby_allocator *pool, uint32_t *out_id,
                               struct slb_notification *out_notification);

/* Whether a slab that waited may go on; one that was written to goes into quarantine, unless the policy lets it
 * go on. */
SLB_PRIVATE bool slb_delay_check(struct slabby_allocator *pool, uint32_t id,
                                 struct slb_notification *out_notification);

/* A first look, at slabs that no tool watches: true where every byte is zero. */
SLB_INLINE bool slb_delay_is_zero(const struct slabby_allocator *pool, uint32_t id) {
    const char *at = pool->slabs + (uint64_t)id * pool->stride, *end = at + pool->slab_size;
    if (pool->slab_size > SLB_ZERO_INLINE)
        return at[0] == 0 && memcmp(at, at + 1, pool->slab_size - 1) == 0;
    slb_zero_pair any = {0, 0};
    uint64_t rest = 0;
    for (; end - at >= 16; at += 16)
        any |= *(const slb_zero_pair *)(const void *)at;
    for (; at < end; at++)
        rest |= (unsigned char)*at;
    return (any[0] | any[1] | rest) == 0;
}

#endif
