/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The CPU cache: per CPU a small stack of free slab ids (drawn in cpu_cache_state.h), kept by one of two backends.
 *
 * Portable: a thread changes the stack inside the section of its CPU (section.h); if the section is busy, the thread
 * goes on to the next tier.
 * Restartable sequences (cpu_cache_rseq.h): the kernel restarts a thread that is preempted before the one committing
 * store.
 *
 * Either way the change becomes valid by one plain store of the header. The gate locks every header for as long as it
 * is closed; both backends then find len = 0xFFFF and go on. A change that began before may store its header over the
 * lock, so the gate fences and looks again.
 */
#ifndef SLB_TIERS_CPU_CACHE_H
#define SLB_TIERS_CPU_CACHE_H

#include "os/os.h"
#include "pool.h"
#include "tiers/cpu_cache_rseq.h"
#include "tiers/hold.h"
#include "tiers/in_flight.h"
#include "tiers/section.h"

SLB_INLINE uint32_t slb_header_length(uint64_t header) {
    return (uint32_t)(header & SLB_CACHE_LOCKED);
}

/* The ids that a header counts: none while it is locked, because then the holder of the lock has them in hand. */
SLB_INLINE uint32_t slb_header_ids(uint64_t header) {
    uint32_t length = slb_header_length(header);
    return length == SLB_CACHE_LOCKED ? 0 : length;
}

SLB_INLINE uint64_t slb_header_served(uint64_t header) {
    return header >> 16;
}

/* The low 16 bits of an allocation's number, where the low half of a header has them. */
#define SLB_SAMPLE_POINT(number) ((uint32_t)(number) << 16)

/* No allocation that is further ahead than this can be told from one that was passed. */
#define SLB_SAMPLE_AHEAD_MOST 0x7FFFu

/* Whether the header's next allocation is the one at the sampling point, or behind it. A thread that moves to another
 * CPU, or does not run for a while, may leave a point behind; then the next allocation is the one to be timed. */
SLB_INLINE bool slb_sample_is_due(uint64_t header, uint32_t sample_at) {
    return (uint32_t)header - sample_at < 1u << 31;
}

/* How many stacks the CPUs below used_cpus have: one each, or with `shuffle` two. */
SLB_INLINE uint32_t slb_cache_stacks(const struct slabby_allocator *pool) {
    uint32_t cpus = pool->cache_max == 0 ? 0 : slb_used_cpus(pool);
    return pool->return_caches == pool->caches ? cpus : 2 * cpus;
}

/* The stack with this number, and its CPU. */
SLB_INLINE struct slb_cpu_cache *slb_cache_stack(const struct slabby_allocator *pool, uint32_t stack,
                                                 uint32_t *out_cpu) {
    bool single = pool->return_caches == pool->caches;
    *out_cpu = single ? stack : stack / 2;
    return &(single || stack % 2 == 0 ? pool->caches : pool->return_caches)[*out_cpu].cache;
}

/* A change of this CPU's cache in the portable backend: inside the section, with the header that it begins from. */
struct slb_portable_change {
    struct slb_inside inside;
    struct slb_cpu_cache *cache;
    uint64_t header;
};

/* Begins a change of the caches in `stacks`, a field of the pool. False if the section is busy, or the gate has locked
 * the header. The limit is read inside: the end of a pool sets it to 0, then fences (slb_cache_fence). */
SLB_INLINE bool slb_portable_begin(struct slabby_allocator *pool, union slb_cpu_cache_entry *const *stacks,
                                   struct slb_portable_change *out) {
    uint32_t cpu = slb_rseq_cpu();
    /* relaxed: a hint, so that no section is entered that the machine does not have */
    uint32_t limit = atomic_load_explicit(&pool->portable_cpus, memory_order_relaxed);
    if (slb_unlikely(cpu >= limit) &&
        (cpu = slb_os_cpu()) >= limit) /* no area to read it from, or a new CPU */
        return false;
    if (slb_unlikely(!slb_section_enter(cpu, &out->inside)))
        return false;
    /* acquire: what the pool was made with; what the gate has emptied */
    if (slb_likely(cpu < atomic_load_explicit(&pool->portable_cpus, memory_order_acquire))) {
        out->cache = &(*stacks)[cpu].cache;
        out->header = atomic_load_explicit(&out->cache->header, memory_order_acquire);
        if (slb_likely(slb_header_length(out->header) != SLB_CACHE_LOCKED)) {
            SLB_POINT(SLB_POINT_CACHE_LOCKED);
            return true;
        }
    }
    slb_section_leave(&out->inside);
    return false;
}

SLB_INLINE void slb_portable_abandon(const struct slb_portable_change *change) {
    slb_section_leave(&change->inside);
}

/* release: a thread that sees the header sees the ids and the counters; the gate reads both after the header */
SLB_INLINE void slb_portable_commit(const struct slb_portable_change *change, uint64_t header) {
    atomic_store_explicit(&change->cache->header, header, memory_order_release);
    slb_section_leave(&change->inside);
}

/* A counter that only the thread inside the section, or the holder of a magazine, writes: no read-modify-write. */
SLB_INLINE void slb_portable_count(_Atomic uint64_t *counter, uint32_t by) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
                          memory_order_relaxed);
}

SLB_INLINE bool slb_portable_take(struct slabby_allocator *pool, uint32_t *out_id, bool fast) {
    struct slb_portable_change change;
    if (slb_unlikely(!slb_portable_begin(pool, &pool->caches, &change)))
        return false;
    uint32_t length = slb_header_length(change.header);
    if (slb_unlikely(length == 0)) {
        slb_portable_abandon(&change);
        return false;
    }
    *out_id = change.cache->ids[length - 1];
    slb_portable_count(&change.cache->fast_taken, fast);
    slb_portable_commit(&change, change.header + SLB_CACHE_TAKE);
    return true;
}

/* The same for the inline path: refuses the allocation whose turn it is to be timed, as slb_rseq_take_untimed does. */
SLB_INLINE bool slb_portable_take_untimed(struct slabby_allocator *pool, uint32_t *out_id) {
    struct slb_portable_change change;
    if (slb_unlikely(!slb_portable_begin(pool, &pool->caches, &change)))
        return false;
    uint32_t length = slb_header_length(change.header);
    /* relaxed: a hint about one allocation */
    uint32_t sample_at = atomic_load_explicit(&change.cache->sample_at, memory_order_relaxed);
    if (slb_unlikely(length == 0 || slb_sample_is_due(change.header, sample_at))) {
        slb_portable_abandon(&change);
        return false;
    }
    *out_id = change.cache->ids[length - 1];
    slb_portable_commit(&change, change.header + SLB_CACHE_TAKE);
    return true;
}

SLB_INLINE bool slb_portable_give(struct slabby_allocator *pool, uint32_t id, bool fast) {
    struct slb_portable_change change;
    if (slb_unlikely(!slb_portable_begin(pool, &pool->return_caches, &change)))
        return false;
    uint32_t length = slb_header_length(change.header);
    if (slb_unlikely(length >= pool->cache_max)) {
        slb_portable_abandon(&change);
        return false;
    }
    change.cache->ids[length] = id;
    slb_portable_count(&change.cache->fast_given, fast);
    slb_portable_commit(&change, change.header + SLB_CACHE_GIVE);
    return true;
}

/* Counts an event before the store of the header that makes it possible. A thread that sees this header also sees the
 * count: the portable backend stores the header with release; sequences store it plainly, and order the two stores
 * themselves. */
SLB_INLINE void slb_count_ahead(_Atomic uint64_t *counter, uint64_t by) {
    slb_count(counter, by);
#if SLB_HAVE_RSEQ
    slb_rseq_order_counts();
#endif
}

/* Take back the count of a use by id that the CPU cache did not serve. For an allocation the pool may have ended since,
 * for a release the thread has the slab in hand. */
SLB_INLINE void slb_cache_uncount_fast_taken(struct slabby_allocator *pool) {
    SLB_HOLD(pool);
    if (slb_pool_exists(pool))
        slb_count(&slb_stripe_here(pool)->fast_taken, (uint64_t)-1);
}

SLB_INLINE void slb_cache_uncount_fast_given(struct slabby_allocator *pool) {
    slb_count(&slb_stripe_here(pool)->fast_given, (uint64_t)-1);
}

#ifndef SLB_RSEQ_COUNTS_FAST
/* Counts one more allocation by id, exactly once: in this CPU's cache where that needs no atomic instruction, else in a
 * stripe. */
SLB_INLINE void slb_cache_count_fast_taken(struct slabby_allocator *pool) {
    uint32_t cpu = slb_rseq_cpu();
    if (slb_likely(cpu < pool->rseq_cpus && slb_rseq_add(cpu, &pool->caches[cpu].cache.fast_taken, 1)))
        return;
    slb_count(&slb_stripe_here(pool)->fast_taken, 1);
}
#endif

/* Counts one more release by id, exactly once. The slab was given back, so the pool may have ended since. */
SLB_INLINE void slb_cache_count_fast_given(struct slabby_allocator *pool) {
    if (slb_likely(slb_rseq_note_fast_given(pool)))
        return;
    SLB_HOLD(pool);
    if (slb_pool_exists(pool))
        slb_count(&slb_stripe_here(pool)->fast_given, 1);
}

/* slb_rseq_take_untimed and slb_rseq_give_once for uses by id. Where no sequence changes both header and count, the
 * count has a sequence of its own. The caller takes the count back after SLB_RSEQ_COUNTED. */
SLB_INLINE enum slb_rseq_result slb_cache_take_fast(struct slabby_allocator *pool, uint32_t *out_id,
                                                    struct slb_cpu_cache **out_cache) {
#ifdef SLB_RSEQ_COUNTS_FAST
    return slb_rseq_take_fast(pool, &pool->hot_cpus, out_id, out_cache);
#else
    uint64_t id;
    if (slb_unlikely(!slb_rseq_take_untimed(pool, &pool->hot_cpus, &id, out_cache)))
        return SLB_RSEQ_REFUSED;
    *out_id = (uint32_t)id;
    slb_cache_count_fast_taken(pool);
    return SLB_RSEQ_DONE;
#endif
}

SLB_INLINE enum slb_rseq_result slb_cache_give_fast(struct slabby_allocator *pool, uint32_t id) {
#ifdef SLB_RSEQ_COUNTS_FAST
    return slb_rseq_try_give_fast(pool, id);
#else
    if (slb_unlikely(!slb_rseq_give_once(pool, id)))
        return SLB_RSEQ_REFUSED;
    slb_cache_count_fast_given(pool);
    return SLB_RSEQ_DONE;
#endif
}

/* slb_rseq_take for an allocation by id. */
SLB_INLINE bool slb_cache_take_counted(struct slabby_allocator *pool, uint32_t *out_id) {
#ifdef SLB_RSEQ_COUNTS_FAST
    for (int tries = 0; tries < SLB_RSEQ_TRIES; tries++) {
        enum slb_rseq_result result = slb_rseq_try_take_counted(pool, out_id);
        if (slb_likely(result == SLB_RSEQ_DONE || result == SLB_RSEQ_REFUSED))
            return result == SLB_RSEQ_DONE;
        if (result == SLB_RSEQ_COUNTED)
            slb_cache_uncount_fast_taken(pool);
    }
    return false;
#else
    bool taken = slb_rseq_take(pool, out_id);
    if (slb_likely(taken))
        slb_cache_count_fast_taken(pool);
    return taken;
#endif
}

/* One free id from this CPU's cache, counted as an allocation. `fast` counts it as one by id too. */
SLB_INLINE bool slb_cache_take(struct slabby_allocator *pool, uint32_t *out_id, bool fast) {
    if (slb_likely(pool->backend == SLABBY_CPU_CACHE_BACKEND_RSEQ)) {
        return fast ? slb_cache_take_counted(pool, out_id) : slb_rseq_take(pool, out_id);
    }
    if (slb_likely(pool->backend == SLABBY_CPU_CACHE_BACKEND_PORTABLE))
        return slb_portable_take(pool, out_id, fast);
    return false;
}

/* One free id into this CPU's cache, counted as a release. */
SLB_INLINE bool slb_cache_give(struct slabby_allocator *pool, uint32_t id, bool fast) {
    if (slb_likely(pool->backend == SLABBY_CPU_CACHE_BACKEND_RSEQ)) {
        bool given = slb_rseq_give(pool, id);
        if (fast && slb_likely(given))
            slb_cache_count_fast_given(pool);
        return given;
    }
    if (slb_likely(pool->backend == SLABBY_CPU_CACHE_BACKEND_PORTABLE))
        return slb_portable_give(pool, id, fast);
    return false;
}

/* Moves a batch into or out of this CPU's cache of `stacks`, which is a field of the pool: all `count` ids or none. Ids
 * that enter count as released, unless cache_in counts them too; ids that leave no longer count as brought in, and
 * cache_out counts them. */
SLB_PRIVATE bool slb_cache_give_batch(struct slabby_allocator *pool, union slb_cpu_cache_entry *const *stacks,
                                      const uint32_t *ids, uint32_t count);
SLB_PRIVATE bool slb_cache_take_batch(struct slabby_allocator *pool, union slb_cpu_cache_entry *const *stacks,
                                      uint32_t *out_ids, uint32_t count);

/* Ids that do not count as released go into this CPU's cache of `stacks`, or to the shards where that is locked or
 * full. Inside a move. */
SLB_PRIVATE void slb_cache_fill(struct slabby_allocator *pool, struct slb_stripe *stripe,
                                union slb_cpu_cache_entry *const *stacks, const uint32_t *ids,
                                uint32_t count);

/* Headers are folded long before their 48 bits are full: once one CPU has served this many allocations. */
#define SLB_CACHE_FOLD_AT (1ull << 41)

/* Moves allocations out of headers that near their 48 bits into the stripes. Cheap when there is nothing to do. */
SLB_PRIVATE void slb_cache_fold(struct slabby_allocator *pool);

/* Call this after a store that changes of CPU caches depend on (a header, a limit). When it returns, no change that
 * missed the store is still under way. */
SLB_PRIVATE void slb_cache_fence(struct slabby_allocator *pool);

#endif
