/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tiers/cpu_cache.h"

#include "tiers/shards.h"

#include <string.h>

#ifndef SLB_AMALGAMATION
SLB_THREAD_LOCAL uint32_t slb_in_flight_depth;
#endif

#define CACHE_FOLD_BY (1ull << 40)

static bool portable_give_batch(struct slabby_allocator *pool, union slb_cpu_cache_entry *const *stacks,
                                const uint32_t *ids, uint32_t count) {
    struct slb_portable_change change;
    if (!slb_portable_begin(pool, stacks, &change))
        return false;
    uint32_t length = slb_header_length(change.header);
    bool fits = length + count <= pool->cache_max;
    if (fits)
        memcpy(&change.cache->ids[length], ids, count * sizeof *ids);
    slb_portable_commit(&change, change.header + (fits ? count : 0));
    return fits;
}

/* Takes the oldest ids; the recently touched ids stay in the cache. */
static bool portable_take_batch(struct slabby_allocator *pool, union slb_cpu_cache_entry *const *stacks,
                                uint32_t *out_ids, uint32_t count) {
    struct slb_portable_change change;
    if (!slb_portable_begin(pool, stacks, &change))
        return false;
    uint32_t length = slb_header_length(change.header), *ids = change.cache->ids;
    bool enough = length >= count;
    if (enough) {
        memcpy(out_ids, ids, count * sizeof *out_ids);
        memmove(ids, &ids[count], (length - count) * sizeof *out_ids);
    }
    slb_portable_commit(&change, change.header - (enough ? count : 0));
    return enough;
}

SLB_PRIVATE bool slb_cache_give_batch(struct slabby_allocator *pool, union slb_cpu_cache_entry *const *stacks,
                                      const uint32_t *ids, uint32_t count) {
#if SLB_HAVE_RSEQ
    if (pool->backend == SLABBY_CPU_CACHE_BACKEND_RSEQ) {
        enum slb_rseq_result result = SLB_RSEQ_RESTARTED;
        for (int tries = 0; tries < SLB_RSEQ_TRIES && result == SLB_RSEQ_RESTARTED; tries++)
            result = slb_rseq_try_give_batch(pool, stacks, ids, count);
        return result == SLB_RSEQ_DONE;
    }
#endif
    return pool->backend == SLABBY_CPU_CACHE_BACKEND_PORTABLE &&
           portable_give_batch(pool, stacks, ids, count);
}

SLB_PRIVATE bool slb_cache_take_batch(struct slabby_allocator *pool, union slb_cpu_cache_entry *const *stacks,
                                      uint32_t *out_ids, uint32_t count) {
#if SLB_HAVE_RSEQ
    if (pool->backend == SLABBY_CPU_CACHE_BACKEND_RSEQ) {
        struct slb_cpu_cache *cache;
        return slb_rseq_take_batch(pool, stacks, &pool->rseq_cpus, out_ids, count, -(uint64_t)count, &cache);
    }
#endif
    return pool->backend == SLABBY_CPU_CACHE_BACKEND_PORTABLE &&
           portable_take_batch(pool, stacks, out_ids, count);
}

SLB_PRIVATE void slb_cache_fill(struct slabby_allocator *pool, struct slb_stripe *stripe,
                                union slb_cpu_cache_entry *const *stacks, const uint32_t *ids,
                                uint32_t count) {
    if (count == 0)
        return;
    slb_count(&stripe->cache_in, count);
    if (slb_cache_give_batch(pool, stacks, ids, count))
        return;
    for (uint32_t i = 0; i < count; i++)
        slb_shards_push(pool, slb_os_cpu(), ids[i]);
    slb_count(&stripe->cache_out, count);
}

static bool cache_fold_here(struct slabby_allocator *pool) {
#if SLB_HAVE_RSEQ
    if (pool->backend == SLABBY_CPU_CACHE_BACKEND_RSEQ)
        return slb_rseq_try_fold(pool, CACHE_FOLD_BY) == SLB_RSEQ_DONE;
#endif
    struct slb_portable_change change;
    if (!slb_portable_begin(pool, &pool->caches, &change))
        return false;
    bool enough = slb_header_served(change.header) >= CACHE_FOLD_BY;
    slb_portable_commit(&change, change.header - (enough ? CACHE_FOLD_BY << 16 : 0));
    return enough;
}

/* Subtracts from the header first, and adds to the stripe then: a reader in between sees too few, never too many, and
 * published counters do not go back. */
SLB_PRIVATE void slb_cache_fold(struct slabby_allocator *pool) {
    uint32_t cpu = slb_os_cpu();
    if (cpu >= slb_used_cpus(pool) || pool->cache_max == 0)
        return;
    uint64_t header = atomic_load_explicit(&pool->caches[cpu].cache.header, memory_order_relaxed);
    if (slb_likely(slb_header_served(header) < SLB_CACHE_FOLD_AT))
        return;
    if (cache_fold_here(pool))
        slb_count(&slb_stripe_here(pool)->folded, CACHE_FOLD_BY);
}

SLB_PRIVATE void slb_cache_fence(struct slabby_allocator *pool) {
    if (pool->backend == SLABBY_CPU_CACHE_BACKEND_RSEQ)
        slb_os_fence_rseq();
    else if (pool->backend == SLABBY_CPU_CACHE_BACKEND_PORTABLE)
        slb_sections_fence(slb_used_cpus(pool));
}
