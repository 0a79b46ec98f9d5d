/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "pool/lifecycle.h"

#include "layout.h"
#include "pool/memory.h"
#include "observe/audit.h"
#include "observe/audit_rings.h"
#include "observe/events.h"
#include "observe/latency.h"
#include "observe/pool_label.h"
#include "os/module.h"
#include "os/mutex.h"
#include "os/os.h"
#include "protect/switches.h"
#include "protect/tools.h"
#include "ref.h"
#include "resilience/breaker.h"
#include "os/clock.h"
#include "resilience/degrade.h"
#include "resilience/fork.h"
#include "resilience/resize.h"
#include "resilience/ticker.h"
#include "status.h"
#include "tiers/cpu_cache_rseq.h"
#include "tiers/gate.h"
#include "tiers/hold.h"

#include <inttypes.h>
#include <string.h>

#ifndef SLABBY_GENERATION_BITS
#define SLABBY_GENERATION_BITS 48 /* what a word has; tests build with few, to reach the end */
#endif

#ifndef SLB_AMALGAMATION
union slb_pool_entry slb_pool_table[SLB_POOL_ENTRIES];
#endif

/* Create takes it, and so does every thread that reads pools which other threads may end; destroy only marks an
 * entry. */
static slb_os_mutex locations_mutex = SLB_OS_MUTEX_INIT;
static uint32_t locations_cursor;
static _Atomic uint32_t locations_end;

/* relaxed: an entry's phase, read with acquire, says whether there is a pool */
SLB_PRIVATE uint32_t slb_pool_table_end(void) {
    return atomic_load_explicit(&locations_end, memory_order_relaxed);
}

SLB_PRIVATE void slb_pool_table_lock(void) {
    slb_os_mutex_lock(&locations_mutex);
}

SLB_PRIVATE void slb_pool_table_unlock(void) {
    slb_os_mutex_unlock(&locations_mutex);
}

/* ---------------------------------------------------------------------------------------------- places */

/* Generations that a tag has left for ids of so many bits: references under one tag never repeat, whatever pools
 * used it before. */
static uint64_t generations_left(const struct slabby_allocator *pool, uint32_t id_bits, uint64_t *out_first) {
    uint64_t all = 1ull << (SLB_REF_VALUE_BITS - id_bits);
    *out_first = pool->tag_spent == 0 ? 0 : (pool->tag_spent >> id_bits) + 1;
    return *out_first < all ? all - *out_first : 0;
}

/* Round robin, so that a destroyed handle stays recognisable for as long as possible. A tag with less than half of its
 * references left is taken only when there is no better one. Where there is none at all, *out_taken entries have
 * pools. */
static struct slabby_allocator *take_entry(uint32_t id_bits, uint32_t *out_taken) {
    struct slabby_allocator *best = NULL;
    uint64_t best_left = 1, first;
    *out_taken = 0;
    for (uint32_t i = 0; i < SLB_POOL_ENTRIES - 1; i++) {
        uint32_t entry = 1 + (locations_cursor + i) % (SLB_POOL_ENTRIES - 1);
        struct slabby_allocator *pool = &slb_pool_table[entry].pool;
        uint64_t left = generations_left(pool, id_bits, &first);
        /* acquire: pairs with the end of slb_pool_unmap_remains */
        uint64_t remains = atomic_load_explicit(&pool->remains, memory_order_acquire);
        bool taken = slb_pool_exists(pool) || (remains & SLB_REMAINS_STATE) != SLB_REMAINS_NONE;
        *out_taken += taken;
        if (taken || left <= best_left || slb_ticker_is_at(pool))
            continue;
        best = pool;
        best_left = left;
        if (left >= 1ull << (SLB_REF_VALUE_BITS - id_bits - 1))
            break;
    }
    if (best == NULL)
        return NULL;
    uint32_t tag = (uint32_t)slb_pool_tag(best);
    locations_cursor = tag % (SLB_POOL_ENTRIES - 1);
    if (tag >= slb_pool_table_end())
        atomic_store_explicit(&locations_end, tag + 1, memory_order_relaxed);
    return best;
}

/* -------------------------------------------------------------------------------------------------- create */

static void init_lists(struct slabby_allocator *pool, const struct slb_layout *layout, char *metadata) {
    pool->caches = (union slb_cpu_cache_entry *)(void *)(metadata + layout->caches);
    pool->return_caches = pool->caches + (layout->cache_sets - 1ull) * layout->cpus;
    pool->stripes = (struct slb_stripe *)(void *)(metadata + layout->stripes);
    pool->latency = (struct slb_latency *)(void *)(metadata + layout->latency);
    pool->shards = (struct slb_shard *)(void *)(metadata + layout->shards);
    pool->depot.heads = (struct slb_depot_heads *)(void *)(metadata + layout->depot_heads);
    pool->words = (_Atomic uint64_t *)(void *)(metadata + layout->words);
    pool->next = (_Atomic uint32_t *)(void *)(metadata + layout->next);
    pool->depot.next = (_Atomic uint32_t *)(void *)(metadata + layout->depot_next);
    pool->depot.ids = (uint32_t *)(void *)(metadata + layout->depot_ids);
    pool->depot.nodes = layout->depot_nodes;
    pool->delay = (struct slb_delay){.limit = layout->delay_limit,
                                     .rings = metadata + layout->delay,
                                     .ring_bytes = layout->delay_ring_bytes,
                                     .ring_mask = layout->delay_rings - 1};
    pool->shard_mask = layout->shard_count - 1;
    pool->cpus = layout->cpus;
    pool->cache_max = layout->cache_max;
    pool->batch = layout->batch;
    pool->list_bytes = layout->list_bytes;
    pool->cache_bytes = layout->cache_bytes;
    pool->record_bytes = layout->record_bytes;
}

static void init_records(struct slabby_allocator *pool, const struct slb_layout *layout, char *metadata) {
    pool->event_rates = (struct slb_event_rate *)(void *)(metadata + layout->event_rates);
    pool->events = (struct slb_ring){.head = (struct slb_ring_head *)(void *)(metadata + layout->events),
                                     .size = SLB_EVENTS_CAPACITY,
                                     .words = SLB_EVENT_WORDS,
                                     .stride = SLB_EVENT_STRIDE};
    slb_audit_init(pool, layout, metadata);
}

static void number_references(struct slabby_allocator *pool, const struct slb_layout *layout) {
    uint64_t first;
    uint64_t left = generations_left(pool, layout->id_bits, &first);
    uint64_t most = 1ull << SLABBY_GENERATION_BITS;
    pool->id_bits = layout->id_bits;
    pool->id_mask = (1ull << layout->id_bits) - 1;
    pool->generation_step = 1ull << layout->id_bits;
    pool->generations = left < most ? left : most;
    pool->ref_bias = (slb_pool_tag(pool) << SLB_REF_TAG_SHIFT) + (first << layout->id_bits);
    pool->ref_end = (pool->generations - 1) << layout->id_bits;
    atomic_store(&pool->id_limit, layout->reserved);
}

/* Clears all fields of an entry except its tag_spent, its holds and its locks, which outlive the pool. */
static void clear_entry(struct slabby_allocator *pool) {
    slb_ticker_forget(pool);
    atomic_store(&pool->guard_rate, 0);
    slb_gate_forget(pool);
    memset(&pool->heap, 0, sizeof pool->heap);
    memset(&pool->delay, 0, sizeof pool->delay);
    memset(&pool->counts, 0, sizeof pool->counts);
    memset(&pool->corruption, 0, sizeof pool->corruption);
    memset(&pool->timing, 0, sizeof pool->timing);
    memset(&pool->breaker, 0, sizeof pool->breaker);
    memset(&pool->degrade, 0, sizeof pool->degrade);
    memset(&pool->health, 0, sizeof pool->health);
    memset(&pool->capacity, 0, sizeof pool->capacity);
    atomic_store(&pool->waiters, 0);
    atomic_store(&pool->rearranges, 0);
    pool->first_waiter = pool->last_waiter = NULL;
    pool->listeners = NULL;
    pool->listeners_made = 0;
    atomic_store(&pool->grant_timeouts, 0);
    atomic_store(&pool->ticking.revoke_interval_ns, 0);
}

static void configure_protections(struct slabby_allocator *pool, const struct slb_options *options) {
    uint32_t protect = 0;
    protect |= slb_option(options, SLABBY_OPTION_SECURE) ? SLB_PROTECT_SECURE : 0u;
    protect |=
        pool->guard_front + pool->guard_back != 0 ? SLB_PROTECT_BIT_GUARD : 0u; /* guard_slack patterns too */
    protect |= slb_option(options, SLABBY_OPTION_REUSE_DELAY) ? SLB_PROTECT_DELAY : 0u;
    protect |= slb_option(options, SLABBY_OPTION_SHUFFLE) ? SLB_PROTECT_SHUFFLE : 0u;
    protect |= pool->audit.size != 0 ? SLB_PROTECT_AUDIT : 0u;
    protect |= slb_tools_watch() ? SLB_PROTECT_TOOLS : 0u;
    slb_protections_set(pool, protect);
}

/* Newton's iteration doubles the number of correct bits. It begins with three: an odd number is its own inverse modulo
 * 8. */
static void init_stride(struct slabby_allocator *pool, uint64_t stride) {
    uint32_t shift = (uint32_t)__builtin_ctzll(stride);
    uint64_t odd = stride >> shift, inverse = odd;
    for (uint32_t bits = 3; bits < 64; bits *= 2)
        inverse *= 2 - odd * inverse;
    pool->stride = stride;
    pool->stride_shift = shift;
    pool->stride_inverse = inverse;
}

static void init_entry(struct slabby_allocator *pool, uint32_t capacity, const struct slb_layout *layout,
                       const struct slb_memory *memory, const struct slb_options *options) {
    bool reused = pool->words != NULL;
    char *metadata = memory->metadata + slb_pool_index(pool) * SLB_LAYOUT_SPREAD_STEP % SLB_LAYOUT_SPREAD;
    /* relaxed: only this thread uses the entry */
    atomic_fetch_add_explicit(&pool->remains, SLB_REMAINS_POOL + SLB_REMAINS_USED, memory_order_relaxed);
    clear_entry(pool);
    pool->options = *options;
    pool->label_is_name = slb_pool_label_is_name(options->name);
    pool->slab_base = memory->slab_base;
    pool->slab_range = layout->slab_bytes;
    pool->commit_unit = layout->unit;
    pool->slabs = memory->slab_base + layout->first_byte;
    pool->guard_front = layout->guard_front;
    pool->guard_bytes = layout->guard_at == 0 ? 0 : layout->reserved * (layout->stride - layout->guard_at);
    pool->guard_back = layout->guard_back;
    pool->guard_key = slb_os_unique();
    pool->slab_mapping = memory->slab_mapping;
    pool->slab_mapping_size = layout->slab_mapping;
    pool->claimed_guards = memory->guards.claimed;
    pool->metadata_mapping = memory->metadata;
    pool->metadata_mapping_size = layout->metadata_mapping;
    pool->slab_size = layout->slab_size;
    init_stride(pool, layout->stride);
    pool->reserved = layout->reserved;
    pool->heap.limit = layout->heap_limit;
    pool->owners = 1;
    init_lists(pool, layout, metadata);
    slb_resize_begin(pool, capacity);
    init_records(pool, layout, metadata);
    pool->binding = slb_audit_binding(SLABBY_BINDING_C);
    number_references(pool, layout);
    /* so that no late sequence combines a pointer of the last pool with a limit of this one */
    if (reused && slb_rseq_available())
        slb_os_fence_rseq();
    pool->backend = layout->cache_max == 0 ? SLABBY_CPU_CACHE_BACKEND_AUTO
                                           : (uint32_t)slb_option(options, SLABBY_OPTION_CPU_CACHE_BACKEND);
    uint32_t cpu = slb_os_cpu(); /* the other CPUs join when they first reach a slow path */
    atomic_store(&pool->used_cpus, cpu < pool->cpus ? cpu + 1 : 1);
    pool->takes_singles =
        SLB_HAVE_SINGLES && layout->cache_max == 0 &&
        slb_option(options, SLABBY_OPTION_CPU_CACHE_BACKEND) == SLABBY_CPU_CACHE_BACKEND_RSEQ;
    slb_word_sequences_allow(pool);
    atomic_store(&pool->timing.tracking, (uint32_t)slb_option(options, SLABBY_OPTION_LATENCY_TRACKING));
    atomic_store(&pool->heap.enabled, slb_option(options, SLABBY_OPTION_HEAP_FALLBACK) != 0);
    atomic_store(&pool->corruption.policy, (uint32_t)slb_option(options, SLABBY_OPTION_CORRUPTION_POLICY));
    configure_protections(pool, options);
    slb_tools_begin(pool);
    pool->health.bases[0].since_ns = pool->health.bases[1].since_ns = slb_now_ns();
    slb_latency_limit(pool, slb_option(options, SLABBY_OPTION_MAX_ALLOC_LATENCY));
    slb_ticker_pace(pool, (uint64_t)slb_option(options, SLABBY_OPTION_HEALTH_INTERVAL));
    slb_degrade_begin(pool, slb_option(options, SLABBY_OPTION_DEGRADE_AT),
                      slb_option(options, SLABBY_OPTION_SURVIVE_AT));
    atomic_store(&pool->breaker.timeout_ns,
                 (uint64_t)slb_option(options, SLABBY_OPTION_CIRCUIT_BREAKER_TIMEOUT));
    atomic_store(&pool->breaker.probes, (uint64_t)slb_option(options, SLABBY_OPTION_CIRCUIT_BREAKER_PROBES));
    slb_breaker_set_threshold(pool, slb_option(options, SLABBY_OPTION_CIRCUIT_BREAKER_THRESHOLD));
    /* after everything that a section reads, or the short path without CPU caches */
    atomic_store(&pool->portable_cpus,
                 pool->backend == SLABBY_CPU_CACHE_BACKEND_PORTABLE ? slb_used_cpus(pool) : 0);
    atomic_store(&pool->single_cpus, pool->takes_singles ? slb_used_cpus(pool) : 0);
    /* release: pairs with the acquire of slb_pool_exists in a call with the handle of an earlier pool */
    atomic_store_explicit(&pool->phase, SLB_PHASE_OPEN, memory_order_release);
}

static slabby_status try_map(struct slb_layout *layout, struct slb_memory *memory, uint64_t slab_size,
                             uint32_t capacity, struct slb_options *options, slabby_error *error) {
    memory->guards.refused = false;
    slabby_status status = slb_layout_compute(
        layout, slab_size, (uint64_t)slb_option(options, SLABBY_OPTION_MAX_CAPACITY), options, error);
    return status == SLABBY_OK ? slb_memory_map(memory, layout, capacity, options, error) : status;
}

/* A preset must work on every machine: if this machine has too few mappings for its guard pages, patterns replace the
 * guard pages. Guard pages that were requested by name are refused instead. */
static slabby_status map_pool(struct slb_layout *layout, struct slb_memory *memory, uint64_t slab_size,
                              uint32_t capacity, struct slb_options *options, bool *out_softened,
                              slabby_error *error) {
    struct slb_options asked = *options, fallback = *options;
    if (!slb_options_soften_guards(&fallback))
        return try_map(layout, memory, slab_size, capacity, options, error);
    slabby_status status = try_map(layout, memory, slab_size, capacity, options, NULL);
    if (status == SLABBY_OK)
        return status;
    *out_softened = memory->guards.refused;
    *options = *out_softened ? fallback : asked;
    return try_map(layout, memory, slab_size, capacity, options, error);
}

static slabby_status refuse_one_more(uint32_t taken, const struct slb_layout *layout, slabby_error *error) {
    uint32_t spent = SLB_POOL_ENTRIES - 1 - taken;
    if (spent == 0)
        return slb_error_set(error, SLABBY_TOO_MANY_POOLS, 0, SLB_POOL_ENTRIES, 1, SLB_POOL_ENTRIES - 1,
                             "this process holds %u pools already; end one first: a closed pool lasts until "
                             "it is destroyed or its last object is gone",
                             taken);
    return slb_error_set(error, SLABBY_TOO_MANY_POOLS, 0, SLB_POOL_ENTRIES, 1, SLB_POOL_ENTRIES - 1,
                         "earlier pools used up the references of %u of the %u places of this process, for "
                         "pools with max_capacity + heap_fallback_limit = %" PRIu64
                         "; lower these, keep pools for longer, or start anew",
                         spent, SLB_POOL_ENTRIES - 1, layout->reserved + (uint64_t)layout->heap_limit);
}

/* Below so many allocations in all, which take a day at ten million a second, create warns. */
#define FEW_ALLOCATIONS (1ull << 40)

static void warn_of_wear(struct slabby_allocator *pool) {
    uint64_t each = pool->generations, slabs = pool->reserved;
    if (each >= FEW_ALLOCATIONS / slabs)
        return;
    slb_event(pool, SLABBY_EVENT_LEVEL_WARNING, SLABBY_EVENT_CODE_SLAB_RETIRED, 0, (int64_t)each,
              "pool \"%s\": a slab is retired after %" PRIu64 " allocations, all %" PRIu64 " after %" PRIu64
              "; lower heap_fallback_limit",
              slb_shown_name(pool).text, each, slabs, each * slabs);
}

SLB_PRIVATE slabby_status slb_pool_create(struct slabby_allocator **out, uint64_t slab_size,
                                          uint64_t capacity, const struct slb_options *asked,
                                          slabby_error *error) {
    struct slb_options options = *asked;
    struct slb_layout layout;
    struct slb_memory memory;
    bool softened = false;
    slabby_status status = slb_layout_check(slab_size, capacity, error);
    slb_os_start_clock();
    slb_os_keep_module();
    if (status == SLABBY_OK && !slb_fork_prepare_process())
        status = slb_error_set(error, SLABBY_NO_SYSTEM_MEMORY, 0, 0, 0, 0,
                               "the system refused memory for the handlers of fork; free some and try again");
    if (status == SLABBY_OK)
        status = slb_options_resolve(&options, capacity, error);
    if (status == SLABBY_OK)
        status = map_pool(&layout, &memory, slab_size, (uint32_t)capacity, &options, &softened, error);
    if (status != SLABBY_OK)
        return status;
    slb_pool_table_lock();
    uint32_t taken;
    struct slabby_allocator *pool = take_entry(layout.id_bits, &taken);
    if (pool != NULL)
        init_entry(pool, (uint32_t)capacity, &layout, &memory, &options);
    slb_pool_table_unlock();
    if (pool == NULL) {
        slb_memory_unmap(&memory, &layout);
        return refuse_one_more(taken, &layout, error);
    }
    status = slb_switches_begin(pool, error);
    if (status == SLABBY_OK && slb_option(&options, SLABBY_OPTION_HEALTH_CHECKS) != 0)
        status = slb_ticker_switch(pool, true, error);
    if (status != SLABBY_OK) {
        SLB_HOLD(pool);
        (void)slb_pool_destroy(pool);
        return status;
    }
    *out = pool;
    slb_event(pool, SLABBY_EVENT_LEVEL_INFO, SLABBY_EVENT_CODE_OPENED, 0, (int64_t)capacity,
              "pool \"%s\" was opened: %" PRIu64 " slabs of %" PRIu64 " bytes", slb_shown_name(pool).text,
              capacity, slab_size);
    if (softened)
        slb_event(
            pool, SLABBY_EVENT_LEVEL_WARNING, SLABBY_EVENT_CODE_OPTION_CHANGED, 0, 0,
            "pool \"%s\": bit_guard replaces the preset's guard_pages, of which this system has %" PRIu64
            " in all pools",
            slb_shown_name(pool).text, slb_os_guard_limit());
    warn_of_wear(pool);
    return slb_audited(pool, SLABBY_AUDIT_OPERATION_CREATE, 0, SLABBY_OK);
}

/* --------------------------------------------------------------------------------------------------- ends */
