/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "observe/counters.h"

#include "observe/health.h"
#include "observe/latency.h"
#include "slabby_contract.h"
#include "tiers/cpu_cache.h"
#include "tiers/in_flight.h"
#include "tiers/lease.h"

#include <string.h>

struct totals {
    uint64_t allocations, releases;
    uint64_t live;       /* without what a batch may still take: see counters.h */
    uint64_t references; /* the allocations that were not by id */
    uint64_t hits[SLB_TIER_COUNT];
    uint64_t decided[SLB_TIER_COUNT]; /* the sampled allocations that are known to be guarded or unguarded */
    uint64_t fast_taken, fast_given;
    uint64_t cached;
    bool steady; /* no cache was busy or being drained, so that no cached id counts as a slab in use */
};

static uint64_t read_counter(_Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_seq_cst);
}

/* The portable backend locks a header for a few instructions: read it again, so that the ids below it are not
 * missed. */
static uint64_t read_header(struct slabby_allocator *pool, struct slb_cpu_cache *cache, uint32_t attempts) {
    uint64_t header = read_counter(&cache->header);
    for (uint32_t attempt = 0; attempt < attempts; attempt++) {
        if (slb_header_length(header) != SLB_CACHE_LOCKED ||
            atomic_load_explicit(&pool->gate.reasons, memory_order_relaxed))
            break;
        slb_os_wait_a_little(attempt);
        header = read_counter(&cache->header);
    }
    return header;
}

/* After everything else was read. An allocation by id is counted as one by id before it is counted as an allocation. So
 * what is left for references is never too much, and exact once no allocation is under way. */
static void add_up_fast(struct slabby_allocator *pool, struct totals *out) {
    for (uint32_t i = 0; i < slb_used_cpus(pool); i++)
        out->fast_taken += read_counter(&pool->stripes[i].fast_taken);
    for (uint32_t i = 0; i < slb_cache_stacks(pool); i++) {
        uint32_t cpu;
        out->fast_taken += read_counter(&slb_cache_stack(pool, i, &cpu)->fast_taken);
    }
    out->references = out->allocations - out->fast_taken;
}

/* With no attempts busy headers are not waited for: the result may not be steady then. */
static void add_up_within(struct slabby_allocator *pool, struct totals *out, uint32_t attempts) {
    uint64_t epoch = read_counter(&pool->gate.epoch);
    bool locked = false;
    uint64_t in = 0, from_caches = 0, unfinished = 0, undone = 0, guarded = 0, sampled[SLB_TIER_COUNT] = {0};
    memset(out, 0, sizeof *out);
    for (uint32_t i = 0; i < slb_used_cpus(pool); i++) {
        struct slb_stripe *stripe = &pool->stripes[i];
        out->releases += read_counter(&stripe->cache_out) + read_counter(&stripe->releases) +
                         read_counter(&stripe->single_given);
        out->fast_given += read_counter(&stripe->fast_given);
        unfinished -= read_counter(&stripe->confirmed);
        undone += read_counter(&stripe->undone);
        from_caches += read_counter(&stripe->folded);
        for (uint32_t tier = SLB_TIER_CACHE; tier < SLB_TIER_COUNT; tier++) {
            out->decided[tier] += read_counter(&stripe->unguarded[tier]);
            guarded += read_counter(&stripe->guarded[tier]);
        }
        for (uint32_t tier = SLB_TIER_CACHE + 1; tier < SLB_TIER_COUNT; tier++)
            out->hits[tier] += read_counter(&stripe->hits[tier]);
        out->hits[SLB_TIER_SHARD] += read_counter(&stripe->single_taken);
    }
    for (uint32_t i = 0; i < slb_cache_stacks(pool); i++) {
        uint32_t cpu;
        struct slb_cpu_cache *cache = slb_cache_stack(pool, i, &cpu);
        uint64_t header = read_header(pool, cache, attempts);
        locked |= slb_header_length(header) == SLB_CACHE_LOCKED;
        from_caches += slb_header_served(header);
        out->cached += slb_header_ids(header);
        out->fast_given += read_counter(&cache->fast_given);
    }
    struct slb_lease_counts leases = slb_leases_count(pool, attempts);
    locked |= leases.locked;
    from_caches += leases.served;
    out->cached += leases.cached;
    out->fast_taken += leases.fast_taken;
    out->fast_given += leases.fast_given;
    for (uint32_t i = 0; i < slb_used_cpus(pool); i++) {
        in += read_counter(&pool->stripes[i].cache_in);
        unfinished += read_counter(&pool->stripes[i].tentative);
        for (uint32_t tier = SLB_TIER_CACHE; tier < SLB_TIER_COUNT; tier++)
            sampled[tier] += read_counter(&pool->stripes[i].sampled[tier]);
    }
    out->hits[SLB_TIER_CACHE] = from_caches - unfinished;
    out->releases += from_caches + out->cached - in;
    for (uint32_t tier = SLB_TIER_CACHE; tier < SLB_TIER_COUNT; tier++) {
        out->allocations += out->hits[tier];
        out->hits[tier] -= sampled[tier] - out->decided[tier];
    }
    out->hits[SLB_TIER_GUARD] += guarded;
    out->live = out->allocations + unfinished - undone - out->releases;
    add_up_fast(pool, out);
    /* odd: the caches were empty the whole time; even: they were open the whole time, unless a header was locked */
    out->steady = read_counter(&pool->gate.epoch) == epoch && ((epoch & 1) == 1 || !locked);
}

static void add_up(struct slabby_allocator *pool, struct totals *out) {
    add_up_within(pool, out, 1000);
}

SLB_PRIVATE uint64_t slb_count_live(struct slabby_allocator *pool) {
    struct totals now;
    add_up(pool, &now);
    return now.live;
}

/* A published value never falls. A reading that overlaps calls may find less than an earlier one. It may also find less
 * than 0, which is a very large unsigned number of 64 bits. acquire, release: who finds a value also finds what was
 * published before it. */
static uint64_t publish(_Atomic uint64_t *published, uint64_t now) {
    uint64_t before = atomic_load_explicit(published, memory_order_acquire);
    while ((int64_t)(now - before) > 0) {
        if (atomic_compare_exchange_weak_explicit(published, &before, now, memory_order_acq_rel,
                                                  memory_order_acquire))
            return now;
    }
    return before;
}

static bool is_allocation_error(slabby_status status) {
    switch (status) {
    case SLABBY_OUT_OF_MEMORY:
    case SLABBY_NO_SYSTEM_MEMORY:
    case SLABBY_CIRCUIT_BREAKER_OPEN:
    case SLABBY_TIMEOUT:
    case SLABBY_LATENCY_EXCEEDED:
    case SLABBY_CLOSED:
    case SLABBY_BUSY:
        return true;
    default:
        return false;
    }
}

SLB_PRIVATE SLB_COLD slabby_status slb_refuse(struct slabby_allocator *pool, slabby_status status) {
    if (status < 0 && -status < SLB_STATUS_COUNT)
        slb_count(&pool->counts.errors[-status], 1);
    return status;
}

static void fill_memory_fields(struct slabby_allocator *pool, slabby_stats *out) {
    out->reserved_bytes = pool->slab_mapping_size;
    out->bookkeeping_bytes = pool->metadata_mapping_size;
    out->heap_bytes = out->heap_slabs * pool->slab_size;
    out->fragmentation_ratio =
        1.0 - (double)slb_capacity(pool) * (double)pool->slab_size / (double)pool->slab_mapping_size;
}

static uint64_t used_of(struct slabby_allocator *pool, uint64_t live) {
    uint64_t heap = atomic_load_explicit(&pool->heap.live, memory_order_relaxed);
    uint64_t used = (int64_t)(live - heap) > 0 ? live - heap : 0;
    return used > pool->reserved ? pool->reserved : used;
}

/* A reader that was preempted between its sums takes what was allocated meanwhile for used. That must not stay as the
 * peak, so a reading above it counts as far as a second one agrees. Clears *steady where that one is none. */
static uint64_t used_twice(struct slabby_allocator *pool, uint64_t live, bool *steady) {
    uint64_t used = used_of(pool, live);
    if (used <= atomic_load_explicit(&pool->counts.peak_used, memory_order_relaxed))
        return used;
    struct totals again;
    add_up_within(pool, &again, 0);
    *steady &= again.steady;
    uint64_t then = used_of(pool, again.live);
    return then < used ? then : used;
}

SLB_PRIVATE uint64_t slb_count_used(struct slabby_allocator *pool) {
    return used_of(pool, slb_count_live(pool));
}

/* Retired slabs for which no other one serves. Those that are replaced are read first: never more than have retired. */
SLB_PRIVATE uint64_t slb_count_retired(struct slabby_allocator *pool) {
    uint32_t replaced = atomic_load_explicit(&pool->capacity.replaced, memory_order_acquire);
    return read_counter(&pool->counts.retired) - replaced;
}

static uint64_t available_beside(struct slabby_allocator *pool, uint64_t used) {
    uint64_t out_of_service = used + read_counter(&pool->corruption.quarantined) + slb_count_retired(pool);
    uint64_t total = slb_capacity(pool);
    return out_of_service < total ? total - out_of_service : 0;
}

SLB_PRIVATE uint64_t slb_count_available(struct slabby_allocator *pool) {
    struct totals now;
    add_up_within(pool, &now, 0);
    return now.steady ? available_beside(pool, used_of(pool, now.live)) : 0;
}

SLB_PRIVATE void slb_note_peak(struct slabby_allocator *pool) {
    struct totals now;
    add_up_within(pool, &now, 0);
    if (!now.steady)
        return;
    uint64_t used = used_twice(pool, now.live, &now.steady);
    if (!now.steady)
        return;
    (void)publish(&pool->counts.peak_used, used);
    slb_health_note(pool, used);
}

/* The sums behind peak_used touch every CPU's lines. So a CPU checks the peak when, by its own numbers, it has drawn
 * half a batch (at least 8 slabs) more than at any earlier check, and after every 16 moves; with more CPUs in use,
 * checks are rarer. relaxed: the numbers are this CPU's, and a lost race costs one check. */
#define PEAK_SLABS 8u
#define PEAK_MOVES 16u
#define PEAK_CPUS 8u

static int64_t drawn_here(struct slb_stripe *stripe) {
    uint64_t out = atomic_load_explicit(&stripe->cache_in, memory_order_relaxed);
    for (uint32_t tier = SLB_TIER_DEPOT; tier <= SLB_TIER_GATE; tier++)
        out += atomic_load_explicit(&stripe->hits[tier], memory_order_relaxed);
    return (int64_t)(out - atomic_load_explicit(&stripe->cache_out, memory_order_relaxed) -
                     atomic_load_explicit(&stripe->releases, memory_order_relaxed)) +
           slb_singles_drawn(stripe);
}

/* Without caches each allocation is one. */
static uint64_t moves_here(struct slabby_allocator *pool, struct slb_stripe *stripe) {
    if (pool->cache_max != 0)
        return atomic_load_explicit(&stripe->moves_finished, memory_order_relaxed);
    return atomic_load_explicit(&stripe->hits[SLB_TIER_SHARD], memory_order_relaxed) +
           atomic_load_explicit(&stripe->single_taken, memory_order_relaxed);
}

static uint32_t rarer_of(const struct slabby_allocator *pool) {
    return slb_used_cpus(pool) / PEAK_CPUS + 1;
}

static int64_t step_of(const struct slabby_allocator *pool) {
    uint32_t half = pool->cache_max == 0 ? 0 : pool->batch / 2;
    return (int64_t)rarer_of(pool) * (half < PEAK_SLABS ? PEAK_SLABS : half);
}

SLB_PRIVATE bool slb_peak_is_due(struct slabby_allocator *pool, struct slb_stripe *stripe) {
    uint32_t rarer = rarer_of(pool);
    int64_t step = step_of(pool), drawn = drawn_here(stripe);
    uint64_t moves = moves_here(pool, stripe);
    bool more = drawn - atomic_load_explicit(&stripe->peak_drawn, memory_order_relaxed) >= step;
    if (more)
        atomic_store_explicit(&stripe->peak_drawn, drawn, memory_order_relaxed);
    if (!more && moves - atomic_load_explicit(&stripe->peak_moves, memory_order_relaxed) < PEAK_MOVES * rarer)
        return false;
    atomic_store_explicit(&stripe->peak_moves, moves, memory_order_relaxed);
    return true;
}

/* Sets where the short path checks again: after as many slabs as its own numbers are away from the next step. */
SLB_PRIVATE SLB_COLD void slb_note_peak_single(struct slabby_allocator *pool, struct slb_stripe *stripe) {
    if (slb_peak_is_due(pool, stripe))
        slb_note_peak(pool);
    int64_t step_at =
        atomic_load_explicit(&stripe->peak_drawn, memory_order_relaxed) + step_of(pool) - drawn_here(stripe);
    atomic_store_explicit(&stripe->single_peak, slb_singles_drawn(stripe) + step_at, memory_order_relaxed);
}

/* Reading one CPU's lines costs some ten nanoseconds. This interval makes that a thousandth of the time, for any number
 * of CPUs. relaxed: the thread that loses the race leaves the check to the other. */
#define PEAK_US_A_CPU 50u

SLB_PRIVATE void slb_note_peak_sampled(struct slabby_allocator *pool, uint64_t now) {
    uint64_t before = atomic_load_explicit(&pool->counts.peak_ticks, memory_order_relaxed);
    if (now - before >= slb_used_cpus(pool) * PEAK_US_A_CPU * slb_os_ticks_per_us() &&
        atomic_compare_exchange_strong_explicit(&pool->counts.peak_ticks, &before, now, memory_order_relaxed,
                                                memory_order_relaxed))
        slb_note_peak(pool);
}

/* The bounds of what was allocated and of what was released are of different moments. No look shows more released than
 * allocated: what was released is published last, and what was allocated is looked at again, as another reader may have
 * published both in between. */
static void publish_both(_Atomic uint64_t *allocated, uint64_t *now_allocated, _Atomic uint64_t *released,
                         uint64_t *now_released) {
    *now_allocated = publish(allocated, *now_allocated);
    if ((int64_t)(*now_released - *now_allocated) > 0) /* less than 0 is a large number */
        *now_released = *now_allocated;
    *now_released = publish(released, *now_released);
    *now_allocated = publish(allocated, *now_allocated);
}

/* Everything that is a difference of sums, as it is shown. */
static void publish_totals(struct slabby_allocator *pool, struct totals *now) {
    struct slb_counts *counts = &pool->counts;
    publish_both(&counts->allocations, &now->allocations, &counts->releases, &now->releases);
    publish_both(&counts->by_id, &now->fast_taken, &counts->by_id_given, &now->fast_given);
    now->references = publish(&counts->references, now->references);
    for (uint32_t tier = SLB_TIER_CACHE; tier < SLB_TIER_COUNT; tier++)
        now->hits[tier] = publish(&pool->counts.hits[tier], now->hits[tier]);
}

SLB_PRIVATE uint64_t slb_count_allocations(struct slabby_allocator *pool) {
    struct totals now;
    add_up(pool, &now);
    return publish(&pool->counts.allocations, now.allocations);
}

static uint64_t allocation_errors(struct slabby_allocator *pool) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < SLB_STATUS_COUNT; i++)
        sum += is_allocation_error(-(slabby_status)i) ? read_counter(&pool->counts.errors[i]) : 0;
    return sum;
}

SLB_PRIVATE struct slb_health_base slb_count_base(struct slabby_allocator *pool) {
    struct totals now;
    add_up(pool, &now);
    uint64_t used = used_twice(pool, now.live, &now.steady);
    publish_totals(pool, &now);
    struct slb_health_base base = {.allocations = now.allocations,
                                   .failures = allocation_errors(pool),
                                   .cache_hits = now.hits[SLB_TIER_CACHE],
                                   .peak = now.steady ? used : 0};
    return base;
}

SLB_PRIVATE void slb_count_balance(struct slabby_allocator *pool, uint64_t out) {
    struct slb_stripe *stripe = &pool->stripes[0];
    int64_t more = (int64_t)(slb_count_live(pool) - out);
    slb_count(more > 0 ? &stripe->releases : &stripe->confirmed, more > 0 ? (uint64_t)more : (uint64_t)-more);
    slb_count(&stripe->undone, more > 0 ? 0 : (uint64_t)more);
}

SLB_PRIVATE void slb_count_end_samples(struct slabby_allocator *pool) {
    uint64_t sampled[SLB_TIER_COUNT] = {0};
    for (uint32_t i = 0; i < slb_used_cpus(pool); i++)
        for (uint32_t tier = SLB_TIER_CACHE; tier < SLB_TIER_COUNT; tier++)
            sampled[tier] += read_counter(&pool->stripes[i].sampled[tier]) -
                             read_counter(&pool->stripes[i].guarded[tier]) -
                             read_counter(&pool->stripes[i].unguarded[tier]);
    for (uint32_t tier = SLB_TIER_CACHE; tier < SLB_TIER_COUNT; tier++)
        slb_count(&pool->stripes[0].unguarded[tier], sampled[tier]);
}

static void fill_usage(struct slabby_allocator *pool, slabby_stats *out, uint64_t live, bool steady) {
    uint64_t used = used_twice(pool, live, &steady);
    out->quarantined_slabs = read_counter(&pool->corruption.quarantined);
    out->retired_slabs = slb_count_retired(pool) + read_counter(&pool->counts.heap_retired);
    out->heap_slabs = atomic_load_explicit(&pool->heap.live, memory_order_relaxed);
    out->used_slabs = used;
    out->available_slabs = available_beside(pool, used);
    out->peak_used = publish(&pool->counts.peak_used, steady ? out->used_slabs : 0);
    out->memory_utilization = (double)out->used_slabs / (double)out->total_slabs;
}

static void fill_counters(struct slabby_allocator *pool, slabby_stats *out, const struct totals *now) {
    out->total_allocations = now->allocations;
    out->total_deallocations = now->releases;
    out->fast_allocations = now->fast_taken;
    out->fast_deallocations = now->fast_given;
    out->ref_pool_hits = now->references;
    out->pcpu_cache_hits = now->hits[SLB_TIER_CACHE];
    out->lock_free_hits = now->hits[SLB_TIER_DEPOT];
    out->shard_hits = now->hits[SLB_TIER_SHARD];
    out->gate_hits = now->hits[SLB_TIER_GATE];
    out->guard_hits = now->hits[SLB_TIER_GUARD];
    out->heap_fallbacks = now->hits[SLB_TIER_HEAP];
    out->corruptions = read_counter(&pool->corruption.found);
    out->guard_page_violations = read_counter(&pool->counts.guard_violations);
    out->leaks = read_counter(&pool->counts.leaks);
    for (uint32_t i = 0; i < 64; i++)
        out->errors[i] = read_counter(&pool->counts.errors[i]);
    out->allocation_errors = allocation_errors(pool);
    out->latency_violations = read_counter(&pool->timing.violations);
}

SLB_PRIVATE void slb_stats_fill(struct slabby_allocator *pool, const struct slb_conditions *conditions,
                                slabby_stats *out) {
    struct totals now;
    add_up(pool, &now);
    uint64_t live = now.live;
    publish_totals(pool, &now);
    memset(out, 0, sizeof *out);
    memcpy(out->version, SLB_VERSION_TEXT, sizeof SLB_VERSION_TEXT);
    memcpy(out->name, pool->options.name, sizeof pool->options.name);
    fill_counters(pool, out, &now);
    out->total_slabs = slb_capacity(pool);
    out->reserved_slabs = pool->reserved;
    out->awaited_slabs = slb_capacity_awaited(pool);
    out->slab_size = pool->slab_size;
    out->cached_slabs = now.cached;
    out->waiters = read_counter(&pool->waiters);
    out->pool_state = conditions->pool_state;
    out->breaker_state = conditions->breaker_state;
    out->degradation_state = conditions->degradation_state;
    fill_usage(pool, out, live, now.steady);
    fill_memory_fields(pool, out);
    slb_latency_fill(pool, out);
    out->max_alloc_time_ns = (int64_t)publish(&pool->timing.max_ns, (uint64_t)out->max_alloc_time_ns);
}
