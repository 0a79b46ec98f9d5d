/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The CPU cache by restartable sequences (rseq).
 *
 * A sequence reads the CPU number, the header and an id, and ends with one store to the header, the commit. The kernel
 * restarts it at the abort address when the thread is preempted, migrated or interrupted by a signal before the commit;
 * so between load and commit no other thread ran on this CPU, and the thread needs no atomic instruction against the
 * other threads of this CPU. Against other CPUs: only the gate writes a foreign header. It swaps len for 0xFFFF, makes
 * the kernel restart every running sequence (membarrier), and looks again: a commit that was already past its load has
 * put its own header over the lock, and the gate tries once more. After the fence every sequence loads the locked
 * header and fails its compare.
 *
 * Sequences give up after SLB_RSEQ_TRIES restarts (a debugger that steps restarts each one); the caller then goes on
 * to the next tier. A thread without a registration has a CPU number above every limit and goes on at once.
 */
#ifndef SLB_TIERS_CPU_CACHE_RSEQ_H
#define SLB_TIERS_CPU_CACHE_RSEQ_H

#include "base.h"
#include "os/os.h"
#include "pool.h"

#define SLB_RSEQ_TRIES 16

enum slb_rseq_result {
    SLB_RSEQ_DONE,
    SLB_RSEQ_REFUSED,
    SLB_RSEQ_RESTARTED,
    SLB_RSEQ_COUNTED /* refused or restarted, but counted as a use by id */
};

#if SLB_OS_RSEQ && defined(__x86_64__)
#define SLB_HAVE_RSEQ 1
#include "tiers/rseq_x86_64.h"
#include "tiers/rseq_by_id_x86_64.h"
#elif SLB_OS_RSEQ && defined(__aarch64__)
#define SLB_HAVE_RSEQ 1
#include "tiers/rseq_aarch64.h"
#else
#define SLB_HAVE_RSEQ 0
#endif

/* Whether there is a sequence for tiers/single.h: only x86-64, whose locked instructions and ordered stores it uses. */
#ifndef SLB_HAVE_SINGLES
#define SLB_HAVE_SINGLES 0
#endif

/* Whether this build and this process can run sequences. */
SLB_INLINE bool slb_rseq_available(void) {
    return SLB_HAVE_RSEQ && slb_os_has_rseq();
}

#if SLB_HAVE_RSEQ

/* The value by which sequences find the area of the calling thread, for those that take it from their caller. */
SLB_INLINE intptr_t slb_rseq_finder(void) {
    return SLB_RSEQ_AREA;
}

/* Adds to a counter that only threads of `cpu` add to; false where this thread does not run there. */
SLB_INLINE bool slb_rseq_add(uint32_t cpu, _Atomic uint64_t *counter, uint64_t by) {
    for (int tries = 0; tries < SLB_RSEQ_TRIES; tries++) {
        enum slb_rseq_result result = slb_rseq_try_add(cpu, counter, by);
        if (slb_likely(result != SLB_RSEQ_RESTARTED))
            return result == SLB_RSEQ_DONE;
    }
    return false;
}

SLB_INLINE bool slb_rseq_take(struct slabby_allocator *pool, uint32_t *out_id) {
    for (int tries = 0; tries < SLB_RSEQ_TRIES; tries++) {
        enum slb_rseq_result result = slb_rseq_try_take(pool, out_id);
        if (slb_likely(result != SLB_RSEQ_RESTARTED))
            return result == SLB_RSEQ_DONE;
    }
    return false;
}

SLB_INLINE bool slb_rseq_give(struct slabby_allocator *pool, uint32_t id) {
    for (int tries = 0; tries < SLB_RSEQ_TRIES; tries++) {
        enum slb_rseq_result result = slb_rseq_try_give(slb_rseq_finder(), pool, id);
        if (slb_likely(result != SLB_RSEQ_RESTARTED))
            return result == SLB_RSEQ_DONE;
    }
    return false;
}

SLB_INLINE bool slb_rseq_peek(struct slabby_allocator *pool, uint64_t *out_header, uint32_t *out_sample_at) {
    for (int tries = 0; tries < SLB_RSEQ_TRIES; tries++) {
        enum slb_rseq_result result = slb_rseq_try_peek(pool, out_header, out_sample_at);
        if (slb_likely(result != SLB_RSEQ_RESTARTED))
            return result == SLB_RSEQ_DONE;
    }
    return false;
}

SLB_INLINE bool slb_rseq_note_fast_given(struct slabby_allocator *pool) {
    for (int tries = 0; tries < SLB_RSEQ_TRIES; tries++) {
        enum slb_rseq_result result = slb_rseq_try_note_fast_given(pool);
        if (slb_likely(result != SLB_RSEQ_RESTARTED))
            return result == SLB_RSEQ_DONE;
    }
    return false;
}

/* Takes `count` ids off this CPU's cache of `stacks`, or none; `change` is added to its header. */
SLB_INLINE bool slb_rseq_take_batch(struct slabby_allocator *pool, union slb_cpu_cache_entry *const *stacks,
                                    const _Atomic uint32_t *limit, uint32_t *out_ids, uint32_t count,
                                    uint64_t change, struct slb_cpu_cache **out_cache) {
    for (int tries = 0; tries < SLB_RSEQ_TRIES; tries++) {
        enum slb_rseq_result result =
            slb_rseq_try_take_batch(pool, stacks, limit, out_ids, count, change, out_cache);
        if (slb_likely(result != SLB_RSEQ_RESTARTED))
            return result == SLB_RSEQ_DONE;
    }
    return false;
}

/* Writes an audit record into this CPU's ring, and raises *key to the key of this record. */
SLB_INLINE bool slb_rseq_audit(struct slabby_allocator *pool, uint64_t *key, uint64_t ref, uint64_t about) {
    for (int tries = 0; tries < SLB_RSEQ_TRIES; tries++) {
        enum slb_rseq_result result = slb_rseq_try_audit(pool, key, ref, about);
        if (slb_likely(result != SLB_RSEQ_RESTARTED))
            return result == SLB_RSEQ_DONE;
    }
    return false;
}

/* One try, for the hot paths. */
SLB_INLINE bool slb_rseq_give_in(intptr_t area, struct slabby_allocator *pool, uint32_t id) {
    return slb_likely(slb_rseq_try_give(area, pool, id) == SLB_RSEQ_DONE);
}

SLB_INLINE bool slb_rseq_give_once(struct slabby_allocator *pool, uint32_t id) {
    return slb_rseq_give_in(slb_rseq_finder(), pool, id);
}

#else

SLB_INLINE bool slb_rseq_take_untimed(struct slabby_allocator *pool, const _Atomic uint32_t *limit,
                                      uint64_t *out_id, struct slb_cpu_cache **out_cache) {
    (void)pool, (void)limit, (void)out_id, (void)out_cache;
    return false;
}

SLB_INLINE enum slb_rseq_result slb_rseq_try_read(struct slabby_allocator *pool, uint64_t id,
                                                  uint64_t *out_word) {
    (void)pool, (void)id, (void)out_word;
    return SLB_RSEQ_REFUSED;
}

SLB_INLINE enum slb_rseq_result slb_rseq_try_exchange(struct slabby_allocator *pool, uint64_t id,
                                                      uint64_t expected, uint64_t word, uint64_t *out_found) {
    (void)pool, (void)id, (void)expected, (void)word, (void)out_found;
    return SLB_RSEQ_REFUSED;
}

SLB_INLINE bool slb_rseq_peek(struct slabby_allocator *pool, uint64_t *out_header, uint32_t *out_sample_at) {
    (void)pool, (void)out_header, (void)out_sample_at;
    return false;
}

SLB_INLINE bool slb_rseq_note_fast_given(struct slabby_allocator *pool) {
    (void)pool;
    return false;
}

SLB_INLINE enum slb_rseq_result slb_rseq_try_swap(struct slabby_allocator *pool, uint64_t id, uint64_t biased,
                                                  uint64_t word) {
    (void)pool, (void)id, (void)biased, (void)word;
    return SLB_RSEQ_REFUSED;
}

SLB_INLINE enum slb_rseq_result slb_rseq_release(intptr_t area, struct slabby_allocator *pool,
                                                 const _Atomic uint64_t *limit, uint64_t id,
                                                 uint64_t free_word) {
    (void)area, (void)pool, (void)limit, (void)id, (void)free_word;
    return SLB_RSEQ_RESTARTED;
}

SLB_INLINE intptr_t slb_rseq_finder(void) {
    return 0;
}

SLB_INLINE bool slb_rseq_release_next(intptr_t area, _Atomic uint64_t *entry, const _Atomic uint32_t *limit,
                                      uint64_t biased, uint64_t word) {
    (void)area, (void)entry, (void)limit, (void)biased, (void)word;
    return false;
}

SLB_INLINE enum slb_rseq_result slb_rseq_release_fast(struct slabby_allocator *pool, uint64_t id) {
    (void)pool, (void)id;
    return SLB_RSEQ_RESTARTED;
}

SLB_INLINE bool slb_rseq_give_in(intptr_t area, struct slabby_allocator *pool, uint32_t id) {
    (void)area, (void)pool, (void)id;
    return false;
}

SLB_INLINE bool slb_rseq_give_once(struct slabby_allocator *pool, uint32_t id) {
    (void)pool, (void)id;
    return false;
}

SLB_INLINE uint32_t slb_rseq_cpu(void) {
    return UINT32_MAX;
}

SLB_INLINE bool slb_rseq_add(uint32_t cpu, _Atomic uint64_t *counter, uint64_t by) {
    (void)cpu, (void)counter, (void)by;
    return false;
}

SLB_INLINE bool slb_rseq_audit(struct slabby_allocator *pool, uint64_t *key, uint64_t ref, uint64_t about) {
    (void)pool, (void)key, (void)ref, (void)about;
    return false;
}

SLB_INLINE bool slb_rseq_take(struct slabby_allocator *pool, uint32_t *out_id) {
    (void)pool, (void)out_id;
    return false;
}

SLB_INLINE bool slb_rseq_give(struct slabby_allocator *pool, uint32_t id) {
    (void)pool, (void)id;
    return false;
}

SLB_INLINE bool slb_rseq_take_batch(struct slabby_allocator *pool, union slb_cpu_cache_entry *const *stacks,
                                    const _Atomic uint32_t *limit, uint32_t *out_ids, uint32_t count,
                                    uint64_t change, struct slb_cpu_cache **out_cache) {
    (void)pool, (void)stacks, (void)limit, (void)out_ids, (void)count, (void)change, (void)out_cache;
    return false;
}

#endif

#endif
