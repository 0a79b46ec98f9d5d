/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a pool is.
 *
 * A control block per pool lies in a static table of 4,096 places; the index of the place is the pool's tag, so the
 * handle, the tag and the control block are one. The table is never unmapped: a handle of a destroyed pool still
 * points at words that answer "closed". Place 0 is not used, so that no reference is ever 0.
 *
 *   control block        read-mostly fields first: what allocate and release need fits two cache lines
 *
 *   slabs (one mapping)      | guard | slab 0 | gap | slab 1 | gap | ... | guard |    slab i at slabs + i * stride
 *
 *   bookkeeping (another)    | CPU caches | counters | shards | depot | words | next | depot ids |
 *                            all indices and offsets, all valid when zero: making a pool writes none of it
 *
 * Ids 0 .. reserved-1 are slabs of the pool; reserved .. id_limit-1 are places for heap slabs. How many of the reserved
 * ones are in service is room.capacity, which slabby_resize changes.
 */
#ifndef SLB_POOL_H
#define SLB_POOL_H

#include "base.h"
#include "observe/latency_types.h"
#include "observe/ring.h"
#include "options.h"
#include "slab_word.h"
#include "tiers/types.h"

#include <slabby/slabby.h>

#define SLB_POOL_ENTRIES 4096u
#define SLB_MAX_CPUS 4096u

/* A place is an odd number of cache lines, so that the first lines of many pools spread over all cache sets.
 * Dividing by an odd number is multiplying with its inverse modulo 2^64: what is no multiple comes out huge. */
#define SLB_POOL_LINES 43u
#define SLB_POOL_LINES_INVERSE 0x82FA0BE82FA0BE83u
#define SLB_POOL_BYTES (SLB_POOL_LINES * SLB_CACHE_LINE)

_Static_assert(SLB_POOL_LINES *SLB_POOL_LINES_INVERSE == 1, "the inverse must be one");

/* Gate reasons: while any is set, every CPU cache is locked and empty. */
enum slb_gate_reason {
    SLB_GATE_SCARCE = 1u << 0,    /* slabs ran out; opens when enough are free again */
    SLB_GATE_CLOSED = 1u << 1,    /* slabby_close; never clears */
    SLB_GATE_RESETTING = 1u << 2, /* somebody works on the whole pool; allocations wait */
    SLB_GATE_PAUSE = 1u << 3,     /* the CPU caches are being adjusted */
    SLB_GATE_WAITERS = 1u << 4,   /* somebody waits for a slab */
    SLB_GATE_BREAKER = 1u << 5,   /* the circuit breaker is open or half open */
    SLB_GATE_FORKED = 1u << 6,    /* a child of fork has not rebuilt its lists yet */
    SLB_GATE_SHRINKING = 1u << 7  /* slabs in users' hands are to leave; releases pay before anybody takes */
};

/* Reasons for which slabs that came back are wanted before any allocation may have them. */
#define SLB_GATE_SERVE (SLB_GATE_WAITERS | SLB_GATE_SHRINKING)

enum slb_phase {
    SLB_PHASE_NONE = 0, /* no pool here, or destroyed */
    SLB_PHASE_OPEN = 1,
    SLB_PHASE_DRAINED = 2 /* closed and the last slab came back: pages returned */
};

/* What release and allocate must do beyond the tiers; 0 keeps the hot path short. */
enum slb_protection {
    SLB_PROTECT_SECURE = 1u << 0,    /* zero on release */
    SLB_PROTECT_BIT_GUARD = 1u << 1, /* patterns beside the slab, written on allocate, verified on release */
    SLB_PROTECT_DELAY = 1u << 2,     /* released slabs wait before reuse */
    SLB_PROTECT_SHUFFLE = 1u << 3,   /* slabs come in random order */
    SLB_PROTECT_STACKS = 1u << 4,    /* the stack of every allocation and release is recorded */
    SLB_PROTECT_AUDIT = 1u << 5,     /* every call is recorded */
    SLB_PROTECT_SAMPLE = 1u << 6,    /* some slabs lie on guard slots; set for good by the first sampling */
    SLB_PROTECT_TOOLS = 1u << 7      /* AddressSanitizer or valgrind is told who may use what */
};

/* Protections that act when a slab is handed out. */
#define SLB_PROTECT_ON_ALLOCATE                                                                              \
    (SLB_PROTECT_BIT_GUARD | SLB_PROTECT_SHUFFLE | SLB_PROTECT_STACKS | SLB_PROTECT_AUDIT | SLB_PROTECT_TOOLS)

/* resilience/breaker.h */
struct slb_breaker {
    _Atomic uint32_t state, mode; /* enum slabby_breaker_state, enum slabby_breaker_mode */
    _Atomic uint64_t threshold, timeout_ns, probes;
    _Atomic uint64_t failures, allocations_before; /* in a row; allocations at the last of them */
    _Atomic uint64_t window_ns, window_allocations, window_failures;
    _Atomic uint64_t until_ns, admitted; /* open until, or probes admitted until */
};

/* resilience/resize.h */
struct slb_live_capacity {
    _Atomic uint32_t capacity; /* slabs that may be in service; under the gate lock */
    _Atomic uint32_t given_up; /* of the reserved ones: withheld and claimed; under the gate lock */
    slb_stack claimed;         /* ids, linked through pool->next */
    bool changing;             /* a resize was announced and not reported done; under the gate lock */
};

/* resilience/degrade.h */
struct slb_degrade {
    _Atomic uint32_t state;                  /* enum slabby_degradation_state; changes under the gate lock */
    _Atomic uint32_t degrade_at, survive_at; /* percent; 0: never */
    _Atomic uint32_t every;    /* slow operations of a CPU from look to look; 0: both thresholds are off */
    uint32_t tracking;         /* latency_tracking as asked for; under the gate lock */
    _Atomic uint64_t calm_ns;  /* since when less would do; 0: it would not */
    _Atomic uint64_t left_out; /* audit records since the last step */
};

/* resilience/ticker.h */
struct slb_ticking {
    _Atomic uint32_t on;
    _Atomic uint64_t interval_ns, next_ns;
};

struct slabby_allocator {
    /* What every operation reads; written by create only, before the handle exists. */
    uint64_t ref_bias;  /* tag and first generation: reference = ref_bias + relative reference */
    uint64_t ref_limit; /* relative references from here on take the slow path: last generation, foreign */
    uint64_t id_mask;
    uint64_t generation_step; /* 1 << id_bits: from one generation to the next, in references and words */
    _Atomic uint64_t *words;
    char *slabs;
    uint64_t stride;
    uint64_t slab_size;
    _Atomic uint32_t id_limit; /* reserved, or with the heap tier's ids once it was used */
    uint32_t reserved;         /* slabs there is room for: max_capacity */
    _Atomic uint32_t
        plain_ids; /* ids below lie at their own place: reserved, or 0 once guards were sampled */
    union slb_cpu_cache_entry *caches;
    uint32_t cache_max;        /* ids a CPU cache may hold; 0 means that there are no CPU caches */
    uint32_t rseq_cpus;        /* CPUs whose cache the rseq backend keeps; 0 with another backend */
    _Atomic uint32_t hot_cpus; /* the same for the inline path of allocate; 0 while a protection acts there */
    _Atomic uint32_t release_cpus;  /* the same for the inline path of release */
    _Atomic uint64_t expects_plain; /* a bit per CPU modulo 64: a hint for releases, see word_bias.h */
    uint32_t batch;
    uint32_t id_bits;
    _Atomic uint32_t protect; /* enum slb_protection; hot options change it */
    uint32_t cpus;            /* of the machine: caches and stripes */

    /* The gate. */
    _Alignas(SLB_CACHE_LINE) _Atomic uint32_t gate; /* enum slb_gate_reason */
    _Atomic uint32_t phase;                         /* enum slb_phase */
    _Atomic uint64_t gate_epoch;                    /* odd: closed and drained */
    _Atomic uint32_t gate_lock;
    _Atomic uint32_t deferred_pending;
    _Atomic int64_t scarce_free;   /* slabs freed since the gate closed, less those taken */
    _Atomic int64_t scarce_enough; /* the gate opens at this many */

    /* Tiers. */
    struct slb_stripe *stripes;
    struct slb_latency *latency; /* per CPU, and one for all */
    struct slb_shard *shards;
    struct slb_depot depot;
    struct slb_delay delay;
    struct slb_heap heap;
    uint32_t backend; /* enum slabby_cpu_cache_backend */
    _Atomic uint32_t *next;
    uint32_t shard_mask;
    uint32_t owners;                               /* under the gate lock */
    struct slb_waiter *first_waiter, *last_waiter; /* under the gate lock; resilience/waiters.h */
    struct slabby_listener *listeners;             /* under the gate lock */
    _Atomic uint64_t waiters;
    struct slb_live_capacity space;

    /* Cold. */
    uint64_t
        tag_spent; /* highest 52-bit value that any reference under this tag has had; survives the pool */
    uint64_t generations; /* how many generations a slab has before it is retired */
    _Atomic uint64_t retired, heap_retired, quarantined, corruptions, leaks, guard_violations;
    _Atomic uint64_t unacknowledged; /* corruptions since the last slabby_reclaim */
    uint64_t guard_key;              /* bit_guard: secret of this pool */
    uint32_t guard_front;            /* bit_guard: pattern bytes before the user's */
    uint32_t guard_back;             /* bit_guard: pattern bytes after them */
    _Atomic uint32_t corruption_policy;
    _Atomic uint64_t damage_turn;
    _Atomic uint64_t shuffle_turn;
    struct slb_damage_report damage[SLB_DAMAGE_REPORTS];
    _Atomic uint64_t peak_used;
    struct slb_breaker breaker;
    struct slb_degrade degrade;
    struct slb_ticking ticking;
    struct slb_health_state health;
    _Atomic uint64_t latency_limit_ns, latency_limit_ticks; /* max_alloc_latency; 0: none */
    _Atomic uint64_t latency_violations;
    _Atomic uint64_t last_drain_ticks;
    _Atomic uint64_t latency_max;      /* ticks */
    _Atomic uint32_t latency_tracking; /* enum slabby_latency_tracking */
    _Atomic uint64_t published_allocations, published_releases;
    _Atomic uint64_t errors[64];
    _Atomic(struct slb_label *) labels;
    _Atomic(_Atomic uint64_t *) leak_marks; /* observe/leak_report.h */
    _Atomic(struct slb_stacks *) stacks;    /* observe/stacks.h */
    _Atomic(struct slb_guards *) guards;    /* protect/guard_slots.h */
    _Atomic uint32_t guard_rate;            /* one allocation in so many; 0: none */
    struct slb_options options;             /* effective values */
    struct slb_ring audit;                  /* size 0: no audit trail */
    struct slb_audit_chains *audit_chains;
    int32_t binding; /* of the thread that made the pool: for threads that say nothing */
    struct slb_ring events;
    struct slb_event_rate *event_rates;
    char *slab_base; /* of the slab range: slab 0's stride begins here, its user bytes at pool->slabs */
    uint64_t slab_range;
    char *slab_mapping;
    size_t slab_mapping_size;
    char *metadata_mapping;
    size_t metadata_mapping_size;
    uint64_t list_bytes, cache_bytes, record_bytes;
    uint64_t guard_bytes; /* guard_pages: inside the slab range */
};

_Static_assert(sizeof(struct slabby_allocator) <= SLB_POOL_BYTES, "a control block must fit its place");

/* A place of the table. */
union slb_pool_entry {
    struct slabby_allocator pool;
    char bytes[SLB_POOL_BYTES];
};

SLB_SHARED_DATA union slb_pool_entry slb_pool_table[SLB_POOL_ENTRIES];

/* The number of a pointer's place, or a number beyond them all: one subtraction, multiplication and rotation, none of
 * which the loads behind the handle wait for. */
SLB_INLINE uint64_t slb_pool_index(const struct slabby_allocator *handle) {
    uint64_t lines =
        ((uint64_t)(uintptr_t)handle - (uint64_t)(uintptr_t)slb_pool_table) * SLB_POOL_LINES_INVERSE;
    return (lines >> 6) | (lines << 58);
}

/* Whether a pointer is a place of the table; null is none. */
SLB_INLINE bool slb_is_pool_entry(const struct slabby_allocator *handle) {
    return slb_likely(slb_pool_index(handle) < SLB_POOL_ENTRIES);
}

/* The pool behind a handle, or NULL where the pointer never was one. */
SLB_INLINE struct slabby_allocator *slb_pool_of(struct slabby_allocator *handle) {
    return slb_is_pool_entry(handle) ? handle : NULL;
}

/* How many slabs the pool may have in service at this moment. relaxed: nothing else is read by it. */
SLB_INLINE uint32_t slb_capacity(const struct slabby_allocator *pool) {
    return atomic_load_explicit(&pool->space.capacity, memory_order_relaxed);
}

SLB_INLINE uint64_t slb_pool_tag(const struct slabby_allocator *pool) {
    return slb_pool_index(pool);
}

/* A heap slab, or one of a pool that samples guards (protect/guard_slots.c). */
SLB_PRIVATE void *slb_data_elsewhere(struct slabby_allocator *pool, uint32_t id);

/* The first byte of a slab that is in the caller's hands. relaxed: who was handed a slab of a guard slot was handed
 * what came before, the end of plain_ids included. */
SLB_INLINE void *slb_slab_data(struct slabby_allocator *pool, uint32_t id) {
    if (slb_likely(id < atomic_load_explicit(&pool->plain_ids, memory_order_relaxed)))
        return pool->slabs + (uint64_t)id * pool->stride;
    return slb_data_elsewhere(pool, id);
}

/* pool.c: a pool's life. */
SLB_PRIVATE slabby_status slb_pool_create(struct slabby_allocator **out, uint64_t slab_size,
                                          uint64_t capacity, const struct slb_options *options,
                                          slabby_error *error);
SLB_PRIVATE slabby_status slb_pool_retain(struct slabby_allocator *pool);
SLB_PRIVATE slabby_status slb_pool_close(struct slabby_allocator *pool);
SLB_PRIVATE slabby_status slb_pool_destroy(struct slabby_allocator *pool);
SLB_PRIVATE slabby_status slb_pool_abandon(struct slabby_allocator *pool);

/* Does what is due once slabs came back while the gate was closed: gives up what a smaller capacity awaits, serves who
 * waits, finishes what close or abandon
 * began. Called whenever a slow operation ends under SLB_GATE_POLL; never blocks. */
#define SLB_GATE_POLL (SLB_GATE_CLOSED | SLB_GATE_SERVE)
SLB_PRIVATE void slb_pool_run_deferred(struct slabby_allocator *pool);

/* What a place without a pool answers: a handle whose pool is gone, or a pointer that never was a handle. */
SLB_INLINE slabby_status slb_pool_closed_status(const struct slabby_allocator *pool) {
    return pool->words == NULL ? SLABBY_INVALID_ARGUMENT : SLABBY_CLOSED;
}

SLB_INLINE bool slb_pool_exists(struct slabby_allocator *pool) {
    return atomic_load_explicit(&pool->phase, memory_order_acquire) != SLB_PHASE_NONE;
}

#endif
