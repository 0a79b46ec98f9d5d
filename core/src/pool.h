/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The table of pools, and the data of one pool.
 *
 * The control blocks of all pools lie in a static table of 4,096 entries. The index of the entry is the pool's tag,
 * so a handle determines tag and control block. The table is never unmapped: the handle of a destroyed pool still
 * points to an entry that says "closed". Entry 0 is not used, so that no reference is ever 0.
 *
 *   control block        read-mostly fields first: those that allocate and release need fit two cache lines
 *
 *   slabs (one mapping)      | guard | slab 0 | gap | slab 1 | gap | ... | guard |    slab i at slabs + i * stride
 *
 *   metadata (another)       | CPU caches | counters | shards | depot | words | next | depot ids |
 *                            all indices and offsets, all valid when zero: creating a pool writes none of it
 *
 * Ids 0 .. reserved-1 are slabs of the pool; reserved .. id_limit-1 are for heap slabs. capacity.in_service is the
 * number of reserved slabs in service, which slabby_resize changes.
 */
#ifndef SLB_POOL_H
#define SLB_POOL_H

#include "base.h"
#include "observe/audit_state.h"
#include "observe/count_state.h"
#include "observe/health_state.h"
#include "observe/label_state.h"
#include "observe/latency_state.h"
#include "observe/ring_state.h"
#include "options.h"
#include "protect/protect_state.h"
#include "protect/quarantine_state.h"
#include "resilience/breaker_state.h"
#include "resilience/degrade_state.h"
#include "resilience/resize_state.h"
#include "resilience/ticker_state.h"
#include "slab_word.h"
#include "tiers/counter_state.h"
#include "tiers/cpu_cache_state.h"
#include "tiers/delay_queue_state.h"
#include "tiers/depot_state.h"
#include "tiers/gate_state.h"
#include "tiers/heap_state.h"
#include "tiers/shard_state.h"

#include <slabby/slabby.h>

#define SLB_POOL_ENTRIES 4096u

/* An entry is a page, so that one rotation finds the number of a pointer's entry. A multiplication by the inverse of an
 * odd number of cache lines, which would spread the first lines of many pools over all cache sets, takes a thirtieth of
 * a pair. */
#define SLB_POOL_ENTRY_LOG2 12
#define SLB_POOL_BYTES (1u << SLB_POOL_ENTRY_LOG2)

/* The part of a pool's bookkeeping that is still mapped, in the low bits of `remains`. The bits above count the pools
 * of this entry, so no value occurs twice: a thread that has seen that nothing holds an ended pool unmaps that pool,
 * not a later one. */
enum slb_remains {
    SLB_REMAINS_NONE = 0,   /* nothing: the entry may have its next pool */
    SLB_REMAINS_USED = 1,   /* all of it; the pool exists, or is being made or torn down */
    SLB_REMAINS_UNUSED = 2, /* all of it; the pool has ended; the thread that sees the last hold end unmaps */
    SLB_REMAINS_STATE = 3,  /* the bits of the state */
    SLB_REMAINS_POOL = 4    /* added for each pool */
};

/* How many calls keep the bookkeeping mapped, on one of a few lines; see tiers/hold.h. */
#define SLB_HOLD_COUNTS 4u
struct slb_hold_count {
    _Atomic uint32_t count;
    char apart[SLB_CACHE_LINE - sizeof(uint32_t)];
};

enum slb_phase {
    SLB_PHASE_NONE = 0, /* no pool here, or destroyed */
    SLB_PHASE_OPEN = 1,
    SLB_PHASE_DRAINED = 2 /* closed and the last slab came back: pages returned */
};

struct slabby_allocator {
    /* Fields that every operation reads. Create writes them before the handle exists; later only the atomic ones
     * change. */
    uint64_t ref_bias; /* tag and first generation: reference = ref_bias + relative reference */
    /* Relative references at or above ref_limit leave the inline path of release: those of the last generation, and
     * foreign ones. ref_limit is 0 while a protection acts on releases, where no word is biased (bias_limit), and when
     * the pool has ended; it changes together with `protect`. ref_end is the same limit without these exceptions. */
    _Atomic uint64_t ref_limit;
    uint64_t ref_end;
    uint64_t id_mask;
    uint64_t generation_step; /* 1 << id_bits: from one generation to the next, in references and words */
    _Atomic uint64_t *words;  /* one for each value of id_mask; those of no slab stay 0 */
    char *slabs;
    uint64_t stride;
    uint64_t slab_size;
    _Atomic uint32_t id_limit; /* reserved, or with the heap tier's ids once it was used */
    uint32_t reserved;         /* slabs with address space: max_capacity */
    union slb_cpu_cache_entry *caches;
    uint32_t cache_max; /* ids a CPU cache may hold; 0 means that there are no CPU caches */
    _Atomic uint32_t
        rseq_cpus; /* CPUs whose cache the rseq backend manages; 0 with another backend. Grows with used_cpus */
    _Atomic uint32_t hot_cpus; /* the same for the inline path of allocate; 0 while a protection acts there */
    _Atomic uint32_t release_cpus;  /* the same for the inline path of release */
    _Atomic uint32_t portable_cpus; /* as rseq_cpus, of the portable backend: see tiers/section.h */
    _Atomic uint32_t single_cpus;   /* as rseq_cpus, without CPU caches: see tiers/single.h */
    /* Where a CPU's releases put ids: the same caches, or with `shuffle` others of their own, see protect/shuffle.h. */
    union slb_cpu_cache_entry *return_caches;
    _Atomic uint32_t protect; /* enum slb_protection; hot options change it */
    uint32_t cpus;            /* of the machine: room for so many caches and stripes */
    _Atomic uint32_t
        used_cpus; /* CPUs below this number have reached a slow path; the caches and stripes of all others are zero */
    _Atomic uint32_t
        word_cpus;        /* CPUs whose sequences may read and swap words; 0 without sequences, or no pool */
    uint64_t guard_key;   /* bit_guard: secret of this pool */
    uint32_t guard_front; /* bit_guard: pattern bytes before the user's */
    uint32_t guard_back;  /* bit_guard: pattern bytes after them */
    uint32_t batch;
    uint32_t id_bits;
    _Atomic uint64_t
        bias_limit; /* ref_end where words are biased: with the rseq backend, as long as the pool exists; else 0 */
    _Atomic uint64_t
        rearranges; /* a bit per CPU modulo 64: its cache is to be rearranged, see api/refill.h */

    struct slb_gate gate;
    _Atomic uint32_t phase; /* enum slb_phase */

    /* Tiers. */
    struct slb_stripe *stripes;
    struct slb_latency *latency; /* per CPU, and one for all */
    struct slb_shard *shards;
    struct slb_depot depot;
    struct slb_delay delay;
    struct slb_heap heap;
    uint32_t backend;   /* enum slabby_cpu_cache_backend */
    bool takes_singles; /* without CPU caches, by tiers/single.h while the gate allows it */
    _Atomic uint32_t *next;
    uint32_t shard_mask;
    uint32_t owners;                               /* under the gate lock */
    struct slb_waiter *first_waiter, *last_waiter; /* under the gate lock; resilience/waiters.h */
    struct slabby_listener *listeners;             /* under the gate lock */
    uint64_t listeners_made;                       /* under the gate lock */
    _Atomic uint32_t grant_timeouts;               /* listeners that limit how long a grant may wait */
    _Atomic uint64_t waiters;
    struct slb_live_capacity capacity;

    uint64_t stride_inverse; /* of the odd factor of stride, modulo 2^64; see slb_slab_at */
    uint32_t stride_shift;   /* the power of two in stride */

    /* Cold. */
    uint64_t
        tag_spent; /* highest 52-bit value that any reference under this tag has had; survives the pool */
    uint64_t generations; /* how many generations a slab has before it is retired */
    _Atomic uint64_t shuffle_turn;
    struct slb_counts counts;
    struct slb_corruption corruption;
    struct slb_breaker breaker;
    struct slb_degrade degrade;
    struct slb_ticking ticking;
    struct slb_health_state health;
    struct slb_latency_limits timing;
    _Atomic(struct slb_label *) labels;
    _Atomic(_Atomic uint64_t *) leak_marks;   /* observe/leaks.h */
    _Atomic(struct slb_stacks *) stacks;      /* observe/stacks.h */
    _Atomic(struct slb_guards *) guards;      /* protect/guard_slots.h */
    _Atomic(struct slb_lease_block *) leases; /* tiers/lease.h */
    _Atomic uint32_t guard_rate;              /* one allocation in guard_rate is guarded; 0: none */
    struct slb_options options;               /* effective values */
    bool label_is_name;                       /* observe/pool_label.h; fixed by create */
    struct slb_audit audit;
    struct slb_audit_chains *audit_chains;
    int32_t binding; /* of the thread that made the pool; for threads that have set none */
    struct slb_ring events;
    struct slb_event_rate *event_rates;
    char *slab_base; /* of the slab range: slab 0's stride begins here, its user bytes at pool->slabs */
    uint64_t slab_range;
    uint64_t commit_unit; /* the range is committed in multiples of this */
    char *slab_mapping;
    size_t slab_mapping_size;
    char *metadata_mapping;
    size_t metadata_mapping_size;
    uint64_t list_bytes, cache_bytes, record_bytes;
    uint64_t guard_bytes; /* guard_pages: inside the slab range */
    uint64_t claimed_guards;
    _Atomic uint64_t remains;                     /* enum slb_remains; survives the pool */
    struct slb_hold_count holds[SLB_HOLD_COUNTS]; /* tiers/hold.h; survive the pool */
};

_Static_assert(sizeof(struct slabby_allocator) <= SLB_POOL_BYTES, "a control block must fit its place");

/* An entry of the table. */
union slb_pool_entry {
    _Alignas(SLB_POOL_BYTES) struct slabby_allocator pool;
    char bytes[SLB_POOL_BYTES];
};

SLB_SHARED_DATA union slb_pool_entry slb_pool_table[SLB_POOL_ENTRIES];

/* The index of a pointer's entry, or a number above every index: what a pointer into an entry has beside its start
 * comes to the upper end. */
SLB_INLINE uint64_t slb_pool_index(const struct slabby_allocator *handle) {
    uint64_t offset = (uint64_t)(uintptr_t)handle - (uint64_t)(uintptr_t)slb_pool_table;
    return offset >> SLB_POOL_ENTRY_LOG2 | offset << (64 - SLB_POOL_ENTRY_LOG2);
}

/* Whether a pointer is an entry of the table; null is not. */
SLB_INLINE bool slb_is_pool_entry(const struct slabby_allocator *handle) {
    return slb_likely(slb_pool_index(handle) < SLB_POOL_ENTRIES);
}

/* The pool behind a handle, or NULL where the pointer never was one. */
SLB_INLINE struct slabby_allocator *slb_pool_of(struct slabby_allocator *handle) {
    return slb_is_pool_entry(handle) ? handle : NULL;
}

/* How many slabs the pool may have in service at this moment. relaxed: nothing else is read by it. */
SLB_INLINE uint32_t slb_capacity(const struct slabby_allocator *pool) {
    return atomic_load_explicit(&pool->capacity.in_service, memory_order_relaxed);
}

/* Slabs in service above the capacity; below 0: slabs that are to return to service. Exact under the gate lock. */
SLB_INLINE int64_t slb_capacity_surplus(const struct slabby_allocator *pool) {
    return (int64_t)pool->reserved - atomic_load_explicit(&pool->capacity.given_up, memory_order_relaxed) -
           slb_capacity(pool);
}

/* Live slabs that are withdrawn when they are released. Closing ends a resize. */
SLB_INLINE uint64_t slb_capacity_awaited(const struct slabby_allocator *pool) {
    int64_t over = slb_capacity_surplus(pool);
    if (atomic_load_explicit(&pool->gate.reasons, memory_order_relaxed) & SLB_GATE_CLOSED)
        return 0;
    return over > 0 ? (uint64_t)over : 0;
}

SLB_INLINE uint64_t slb_pool_tag(const struct slabby_allocator *pool) {
    return slb_pool_index(pool);
}

/* The number of caches and stripes that may hold anything. seq_cst: a CPU is counted here before it touches its own
 * cache and stripe. So a thread whose count misses a CPU has loaded the count before that: it is as if the thread had
 * read zeros there. */
SLB_INLINE uint32_t slb_used_cpus(const struct slabby_allocator *pool) {
    return atomic_load_explicit(&pool->used_cpus, memory_order_seq_cst);
}

/* A heap slab, or one on a guard slot (protect/guard_slots.c). */
SLB_PRIVATE void *slb_data_elsewhere(struct slabby_allocator *pool, uint32_t id);

/* The first byte of a slab that is live under `word`. */
SLB_INLINE void *slb_slab_data_of(struct slabby_allocator *pool, uint32_t id, uint64_t word) {
    if (slb_likely(id < pool->reserved && !slb_word_is_guarded(word)))
        return pool->slabs + (uint64_t)id * pool->stride;
    return slb_data_elsewhere(pool, id);
}

/* The slab that begins at an address, or a number above every id. Multiplying by the inverse of the odd factor and
 * rotating by the power of two divides a multiple of the stride; every other distance gives a number that no multiple
 * gives, and the multiples in range give all ids. */
SLB_INLINE uint64_t slb_slab_at(const struct slabby_allocator *pool, uintptr_t address) {
    uint64_t product = (address - (uint64_t)(uintptr_t)pool->slabs) * pool->stride_inverse;
    return product >> pool->stride_shift | product << (-pool->stride_shift & 63u);
}

/* The same for a slab that the caller holds. relaxed: no other thread changes where its bytes are. */
SLB_INLINE void *slb_slab_data(struct slabby_allocator *pool, uint32_t id) {
    return slb_slab_data_of(pool, id, atomic_load_explicit(&pool->words[id], memory_order_relaxed));
}

/* Runs deferred work after slabs came back while the gate was closed: withdraws slabs for a smaller capacity, serves
 * waiters, completes a close or abandon. Called whenever a slow operation ends under SLB_GATE_POLL; never blocks. It
 * is defined in the layer pool: lower layers request the work, and that layer does it. */
SLB_PRIVATE void slb_pool_run_deferred(struct slabby_allocator *pool);

/* In a child of fork: makes the lists of the pool again, if no thread has done so. Defined in resilience/fork.c. */
SLB_PRIVATE SLB_COLD void slb_fork_rebuild(struct slabby_allocator *pool);

/* Unmaps the bookkeeping of a pool that has ended, unless a call holds it: then the end of that hold calls this
 * function again. Defined in pool/remains.c. */
SLB_PRIVATE void slb_pool_unmap_remains(struct slabby_allocator *pool);

/* One more than the highest entry that ever had a pool. Defined in pool/create.c. */
SLB_PRIVATE uint32_t slb_pool_table_end(void);

/* The status for an entry without a pool: the handle of a destroyed pool, or a pointer that never was a handle. */
SLB_INLINE slabby_status slb_pool_closed_status(const struct slabby_allocator *pool) {
    return pool->words == NULL ? SLABBY_INVALID_ARGUMENT : SLABBY_CLOSED;
}

SLB_INLINE bool slb_pool_exists(struct slabby_allocator *pool) {
    return atomic_load_explicit(&pool->phase, memory_order_acquire) != SLB_PHASE_NONE;
}

#endif
