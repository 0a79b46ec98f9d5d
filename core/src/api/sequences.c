/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The data that a binding needs to run the restartable sequences of the CPU caches and words itself: the offsets below,
 * which slabby.h lists as layout SLABBY_SEQUENCE_LAYOUT, and where a thread has its rseq area. */
#include <slabby/slabby.h>

#include "api/call.h"
#include "os/os.h"
#include "pool.h"
#include "tiers/cpu_cache.h"
#include "tiers/word_bias.h"

#define POOL_AT(field, offset)                                                                               \
    _Static_assert(offsetof(struct slabby_allocator, field) == (offset), "part of layout 2")
#define CACHE_AT(field, offset)                                                                              \
    _Static_assert(offsetof(struct slb_cpu_cache, field) == (offset), "part of layout 2")

POOL_AT(ref_bias, 0);
POOL_AT(ref_limit, 8);
POOL_AT(ref_end, 16);
POOL_AT(id_mask, 24);
POOL_AT(generation_step, 32);
POOL_AT(words, 40);
POOL_AT(slabs, 48);
POOL_AT(stride, 56);
POOL_AT(slab_size, 64);
POOL_AT(reserved, 76);
POOL_AT(caches, 80);
POOL_AT(cache_max, 88);
POOL_AT(rseq_cpus, 92);
POOL_AT(hot_cpus, 96);
POOL_AT(release_cpus, 100);
POOL_AT(protect, 120);
POOL_AT(guard_key, 136);
POOL_AT(guard_front, 144);
POOL_AT(guard_back, 148);
CACHE_AT(fast_given, 0);
CACHE_AT(header, 8);
CACHE_AT(fast_taken, 16);
CACHE_AT(sample_at, 24);
CACHE_AT(issue, 32);
CACHE_AT(ids, 40);
_Static_assert(SLB_CACHE_STRIDE_LOG2 == 11 && SLB_CACHE_LOCKED == 0xFFFFu, "part of layout 2");

SLB_PUBLIC slabby_status slabby_sequences(uint64_t *out_area, slabby_allocator *allocator, uint32_t layout) {
    SLB_HOLD_HANDLE(allocator);
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL || out_area == NULL)
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    if (layout != SLABBY_SEQUENCE_LAYOUT)
        return slb_refuse(pool, SLABBY_ABI_MISMATCH);
    intptr_t area;
    /* a binding gives ids back to the cache that it takes them from, which `shuffle` does not allow */
    if (pool->backend != SLABBY_CPU_CACHE_BACKEND_RSEQ || pool->return_caches != pool->caches ||
        !slb_os_rseq_at(&area))
        return SLABBY_NOT_SUPPORTED; /* the answer to a question, and nobody's mistake: not counted */
    (void)slb_bias_poll(pool, slb_os_cpu());
    *out_area = (uint64_t)area;
    return SLABBY_OK;
}

/* Where the count lies does not matter: only the sums of caches and stripes are meaningful. */
SLB_PUBLIC slabby_status slabby_sequence_uncount(slabby_allocator *allocator, int32_t released) {
    SLB_HOLD_HANDLE(allocator);
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL)
        return status;
    if (released != 0 && released != 1)
        return slb_refuse(pool, SLABBY_INVALID_ARGUMENT);
    if (released)
        slb_cache_uncount_fast_given(pool);
    else
        slb_cache_uncount_fast_taken(pool);
    return SLABBY_OK;
}
