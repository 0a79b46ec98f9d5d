/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "pool.h"

#include "layout.h"
#include "maintenance.h"
#include "memory.h"
#include "observe/audit.h"
#include "observe/counters.h"
#include "observe/events.h"
#include "observe/labels.h"
#include "observe/latency.h"
#include "observe/leak_report.h"
#include "observe/stacks.h"
#include "os/os.h"
#include "protect/guard_slots.h"
#include "protect/secure.h"
#include "protect/switches.h"
#include "protect/tools.h"
#include "ref.h"
#include "resilience/breaker.h"
#include "resilience/clock.h"
#include "resilience/degrade.h"
#include "resilience/fork.h"
#include "resilience/resize.h"
#include "resilience/ticker.h"
#include "resilience/waiters.h"
#include "status.h"
#include "tiers/gate.h"
#include "tiers/heap.h"
#include "tiers/in_flight.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#ifndef SLABBY_GENERATION_BITS
#define SLABBY_GENERATION_BITS 48 /* what a word has; tests build with few, to reach the end */
#endif

#ifndef SLB_AMALGAMATION
union slb_pool_entry slb_pool_table[SLB_POOL_ENTRIES];
#endif

/* Taken by create alone; destroy only marks a place. */
static pthread_mutex_t locations_mutex = PTHREAD_MUTEX_INITIALIZER;
static uint32_t locations_cursor;

SLB_PRIVATE void slb_pool_table_lock(void) {
    pthread_mutex_lock(&locations_mutex);
}

SLB_PRIVATE void slb_pool_table_unlock(void) {
    pthread_mutex_unlock(&locations_mutex);
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
 * references left is taken only when there is no better one. */
static struct slabby_allocator *take_entry(uint32_t id_bits) {
    struct slabby_allocator *best = NULL;
    uint64_t best_left = 1, first;
    for (uint32_t i = 0; i < SLB_POOL_ENTRIES - 1; i++) {
        uint32_t entry = 1 + (locations_cursor + i) % (SLB_POOL_ENTRIES - 1);
        struct slabby_allocator *pool = &slb_pool_table[entry].pool;
        uint64_t left = generations_left(pool, id_bits, &first);
        if (slb_pool_exists(pool) || left <= best_left || slb_ticker_is_at(pool))
            continue;
        best = pool;
        best_left = left;
        if (left >= 1ull << (SLB_REF_VALUE_BITS - id_bits - 1))
            break;
    }
    if (best != NULL)
        locations_cursor = (uint32_t)slb_pool_tag(best) % (SLB_POOL_ENTRIES - 1);
    return best;
}

/* -------------------------------------------------------------------------------------------------- create */

static void init_lists(struct slabby_allocator *pool, const struct slb_layout *layout, char *metadata) {
    pool->caches = (union slb_cpu_cache_entry *)(void *)(metadata + layout->caches);
    pool->stripes = (struct slb_stripe *)(void *)(metadata + layout->stripes);
    pool->latency = (struct slb_latency *)(void *)(metadata + layout->latency);
    pool->shards = (struct slb_shard *)(void *)(metadata + layout->shards);
    pool->depot.heads = (struct slb_depot_heads *)(void *)(metadata + layout->depot_heads);
    pool->words = (_Atomic uint64_t *)(void *)(metadata + layout->words);
    pool->next = (_Atomic uint32_t *)(void *)(metadata + layout->next);
    pool->depot.next = (_Atomic uint32_t *)(void *)(metadata + layout->depot_next);
    pool->depot.ids = (uint32_t *)(void *)(metadata + layout->depot_ids);
    pool->depot.nodes = layout->depot_nodes;
    pool->delay.cells = (struct slb_delay_cell *)(void *)(metadata + layout->delay);
    pool->delay.mask = layout->delay_cells - 1;
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
    pool->audit_chains = (struct slb_audit_chains *)(void *)(metadata + layout->audit_chains);
    pool->audit = (struct slb_ring){.head = (struct slb_ring_head *)(void *)(metadata + layout->audit),
                                    .size = layout->audit_records,
                                    .words = SLB_AUDIT_WORDS,
                                    .stride = SLB_AUDIT_STRIDE};
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
    pool->ref_limit = (pool->generations - 1) << layout->id_bits;
    atomic_store(&pool->id_limit, layout->reserved);
}

/* The fields of a place but its tag_spent and its locks, which outlive the pool. */
static void clear_entry(struct slabby_allocator *pool) {
    slb_heap_forget(pool);
    slb_labels_forget(pool);
    slb_leaks_forget(pool);
    slb_stacks_forget(pool);
    slb_ticker_forget(pool);
    slb_guards_forget(pool);
    atomic_store(&pool->guard_rate, 0);
    slb_os_unmap(pool->metadata_mapping, pool->metadata_mapping_size);
    memset(&pool->heap, 0, sizeof pool->heap);
    for (size_t i = 0; i < 64; i++)
        atomic_store(&pool->errors[i], 0);
    atomic_store(&pool->gate, 0);
    atomic_store(&pool->gate_epoch, 0);
    atomic_store(&pool->scarce_free, 0);
    atomic_store(&pool->retired, 0);
    atomic_store(&pool->heap_retired, 0);
    atomic_store(&pool->quarantined, 0);
    atomic_store(&pool->corruptions, 0);
    atomic_store(&pool->leaks, 0);
    atomic_store(&pool->guard_violations, 0);
    atomic_store(&pool->unacknowledged, 0);
    memset(pool->damage, 0, sizeof pool->damage);
    memset(&pool->delay, 0, sizeof pool->delay);
    atomic_store(&pool->latency_max, 0);
    atomic_store(&pool->latency_violations, 0);
    atomic_store(&pool->last_drain_ticks, 0);
    memset(&pool->breaker, 0, sizeof pool->breaker);
    memset(&pool->degrade, 0, sizeof pool->degrade);
    memset(&pool->health, 0, sizeof pool->health);
    atomic_store(&pool->peak_used, 0);
    atomic_store(&pool->waiters, 0);
    atomic_store(&pool->expects_plain, 0);
    pool->first_waiter = pool->last_waiter = NULL;
    memset(&pool->space, 0, sizeof pool->space);
    pool->listeners = NULL;
    atomic_store(&pool->published_allocations, 0);
    atomic_store(&pool->published_releases, 0);
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

static void init_entry(struct slabby_allocator *pool, uint32_t capacity, const struct slb_layout *layout,
                       const struct slb_memory *memory, const struct slb_options *options) {
    clear_entry(pool);
    pool->options = *options;
    pool->slab_base = memory->slab_base;
    pool->slab_range = layout->slab_bytes;
    pool->slabs = memory->slab_base + layout->first_byte;
    pool->guard_front = layout->guard_front;
    pool->guard_bytes = layout->guard_at == 0 ? 0 : layout->reserved * (layout->stride - layout->guard_at);
    pool->guard_back = layout->guard_back;
    pool->guard_key = slb_os_unique();
    pool->slab_mapping = memory->slab_mapping;
    pool->slab_mapping_size = layout->slab_mapping;
    pool->metadata_mapping = memory->metadata;
    pool->metadata_mapping_size = layout->metadata_mapping;
    pool->slab_size = layout->slab_size;
    pool->stride = layout->stride;
    pool->reserved = layout->reserved;
    atomic_store(&pool->plain_ids, layout->reserved);
    pool->heap.limit = layout->heap_limit;
    pool->owners = 1;
    init_lists(pool, layout, memory->metadata);
    slb_resize_begin(pool, capacity);
    init_records(pool, layout, memory->metadata);
    pool->binding = slb_audit_binding(SLABBY_BINDING_C);
    number_references(pool, layout);
    pool->backend = layout->cache_max == 0 ? SLABBY_CPU_CACHE_BACKEND_AUTO
                                           : (uint32_t)slb_option(options, SLABBY_OPTION_CPU_CACHE_BACKEND);
    pool->rseq_cpus = pool->backend == SLABBY_CPU_CACHE_BACKEND_RSEQ ? pool->cpus : 0;
    if (pool->rseq_cpus > SLB_WORD_REVOKING)
        pool->rseq_cpus = SLB_WORD_REVOKING; /* words have no number for a CPU beyond */
    atomic_store(&pool->latency_tracking, (uint32_t)slb_option(options, SLABBY_OPTION_LATENCY_TRACKING));
    atomic_store(&pool->heap.enabled, slb_option(options, SLABBY_OPTION_HEAP_FALLBACK) != 0);
    atomic_store(&pool->corruption_policy, (uint32_t)slb_option(options, SLABBY_OPTION_CORRUPTION_POLICY));
    pool->delay.limit = (uint64_t)slb_option(options, SLABBY_OPTION_REUSE_DELAY);
    configure_protections(pool, options);
    slb_tools_begin(pool);
    pool->health.bases[0].since_ns = pool->health.bases[1].since_ns = slb_now_ns();
    slb_latency_limit(pool, slb_option(options, SLABBY_OPTION_MAX_ALLOC_LATENCY));
    slb_ticker_pace(pool, (uint64_t)slb_option(options, SLABBY_OPTION_HEALTH_INTERVAL));
    slb_degrade_begin(pool, slb_option(options, SLABBY_OPTION_DEGRADE_AT),
                      slb_option(options, SLABBY_OPTION_SURVIVE_AT));
    slb_breaker_configure(pool, slb_option(options, SLABBY_OPTION_CIRCUIT_BREAKER_THRESHOLD),
                          slb_option(options, SLABBY_OPTION_CIRCUIT_BREAKER_TIMEOUT),
                          slb_option(options, SLABBY_OPTION_CIRCUIT_BREAKER_PROBES));
    /* release: pairs with slb_pool_exists of whoever was given the handle of an earlier pool */
    atomic_store_explicit(&pool->phase, SLB_PHASE_OPEN, memory_order_release);
}

SLB_PRIVATE slabby_status slb_pool_create(struct slabby_allocator **out, uint64_t slab_size,
                                          uint64_t capacity, const struct slb_options *asked,
                                          slabby_error *error) {
    struct slb_options options = *asked;
    struct slb_layout layout;
    struct slb_memory memory;
    slabby_status status = slb_layout_check(slab_size, capacity, error);
    if (status == SLABBY_OK && !slb_fork_prepare_process())
        status = slb_error_set(error, SLABBY_NO_SYSTEM_MEMORY, 0, 0, 0, 0,
                               "the system refused memory for the handlers of fork; free some and try again");
    if (status == SLABBY_OK)
        status = slb_options_resolve(&options, capacity, error);
    if (status == SLABBY_OK)
        status = slb_layout_compute(
            &layout, slab_size, (uint64_t)slb_option(&options, SLABBY_OPTION_MAX_CAPACITY), &options, error);
    if (status == SLABBY_OK)
        status = slb_memory_map(&memory, &layout, &options, error);
    if (status != SLABBY_OK)
        return status;
    slb_pool_table_lock();
    struct slabby_allocator *pool = take_entry(layout.id_bits);
    if (pool != NULL)
        init_entry(pool, (uint32_t)capacity, &layout, &memory, &options);
    slb_pool_table_unlock();
    if (pool == NULL) {
        slb_memory_unmap(&memory, &layout);
        return slb_error_set(error, SLABBY_TOO_MANY_POOLS, 0, SLB_POOL_ENTRIES, 1, SLB_POOL_ENTRIES - 1,
                             "this process holds %u pools already; destroy one first", SLB_POOL_ENTRIES - 1);
    }
    status = slb_switches_begin(pool, error);
    if (status == SLABBY_OK && slb_option(&options, SLABBY_OPTION_HEALTH_CHECKS) != 0)
        status = slb_ticker_switch(pool, true, error);
    if (status != SLABBY_OK) {
        (void)slb_pool_destroy(pool);
        return status;
    }
    *out = pool;
    slb_event(pool, SLABBY_EVENT_LEVEL_INFO, SLABBY_EVENT_CODE_OPENED, 0, (int64_t)capacity,
              "pool \"%s\" was opened: %" PRIu64 " slabs of %" PRIu64 " bytes", options.name, capacity,
              slab_size);
    return slb_audited(pool, SLABBY_AUDIT_OPERATION_CREATE, 0, SLABBY_OK);
}

/* --------------------------------------------------------------------------------------------------- ends */

/* The highest reference that this pool can have issued, for the next pool under the tag to start above. */
static void remember_spent(struct slabby_allocator *pool) {
    uint64_t highest = 0;
    bool used = false;
    uint32_t limit = atomic_load(&pool->id_limit);
    for (uint32_t id = slb_next_used(pool, 0); id < limit; id = slb_next_used(pool, id + 1)) {
        uint64_t generation =
            slb_word_generation(pool->id_bits, atomic_load_explicit(&pool->words[id], memory_order_relaxed));
        highest = generation > highest ? generation : highest;
        used = true;
    }
    uint64_t first = pool->ref_bias & ((1ull << SLB_REF_TAG_SHIFT) - 1);
    if (used)
        pool->tag_spent = first + ((highest << pool->id_bits) | pool->id_mask);
}

/* The slabs go; the bookkeeping and its tables stay mapped as zero pages, which say "free, never used" to a late
 * caller, until the place gets its next pool. Needs the gate lock and no live slab. */
static void tear_down(struct slabby_allocator *pool) {
    remember_spent(pool);
    atomic_store_explicit(&pool->phase, SLB_PHASE_NONE, memory_order_seq_cst);
    slb_tools_end(pool);
    slb_os_unmap(pool->slab_mapping, pool->slab_mapping_size);
    slb_guards_end(pool);
    slb_labels_end(pool);
    slb_stacks_end(pool);
    (void)slb_os_discard(pool->metadata_mapping, pool->metadata_mapping_size);
}

static void drain_closed(struct slabby_allocator *pool) {
    uint32_t open = SLB_PHASE_OPEN;
    if (atomic_compare_exchange_strong(&pool->phase, &open, SLB_PHASE_DRAINED))
        (void)slb_os_discard(pool->slab_base, pool->slab_range);
}

static bool nothing_is_held(struct slabby_allocator *pool) {
    return slb_maintenance_is_idle(pool) && slb_count_live(pool) == 0;
}

/* One settler at a time; who comes second leaves a wish that the first one, or whoever holds the lock, fulfils. */
static void finish_all(struct slabby_allocator *pool) {
    atomic_store_explicit(&pool->deferred_pending, 1, memory_order_seq_cst);
    while (atomic_load_explicit(&pool->deferred_pending, memory_order_seq_cst) != 0) {
        if (!slb_gate_try_lock(pool))
            return;
        atomic_store_explicit(&pool->deferred_pending, 0, memory_order_seq_cst);
        uint32_t gate = atomic_load(&pool->gate);
        bool forked = (gate & SLB_GATE_FORKED) != 0; /* lists and waiters are the parent's still */
        bool closed = (gate & SLB_GATE_CLOSED) != 0 && !forked && slb_pool_exists(pool);
        if ((gate & SLB_GATE_SHRINKING) != 0 && !forked && !closed && slb_pool_exists(pool))
            slb_resize_run_deferred(pool);
        if (pool->first_waiter != NULL && !forked)
            slb_waiters_serve(pool);
        if (closed && nothing_is_held(pool)) {
            drain_closed(pool);
            if (pool->owners == 0)
                tear_down(pool);
        }
        slb_gate_release_lock(pool);
    }
}

SLB_PRIVATE void slb_pool_run_deferred(struct slabby_allocator *pool) {
    uint64_t mark = slb_events_mark(pool);
    finish_all(pool);
    slb_events_deliver(pool, mark);
}

SLB_PRIVATE slabby_status slb_pool_retain(struct slabby_allocator *pool) {
    slb_gate_lock(pool);
    slabby_status status =
        slb_pool_exists(pool) && pool->owners > 0 ? SLABBY_OK : slb_pool_closed_status(pool);
    if (status == SLABBY_OK)
        pool->owners++;
    slb_gate_unlock(pool);
    return status;
}

/* Needs the lock. The telling is for when it is given back; nothing was to tell where the pool was closed before. */
static void stop_allocations(struct slabby_allocator *pool, struct slb_notification *out) {
    if ((atomic_load_explicit(&pool->gate, memory_order_relaxed) & SLB_GATE_CLOSED) == 0)
        slb_event_closed(out, pool, slb_count_live(pool));
    slb_gate_close(pool, SLB_GATE_CLOSED);
    slb_waiters_dismiss(pool);
}

SLB_PRIVATE slabby_status slb_pool_close(struct slabby_allocator *pool) {
    struct slb_notification notification = {.function = NULL};
    slb_fork_check(pool);
    slb_gate_lock(pool);
    bool exists = slb_pool_exists(pool);
    bool first = exists && (atomic_load_explicit(&pool->gate, memory_order_relaxed) & SLB_GATE_CLOSED) == 0;
    if (exists)
        stop_allocations(pool, &notification);
    slb_gate_unlock(pool);
    if (first)
        slb_ticker_forget(pool);
    slb_event_notify(&notification);
    if (first)
        slb_leaks_at_end(pool, SLB_ENDING_CLOSED);
    if (exists)
        slb_pool_run_deferred(pool);
    return exists || pool->words != NULL ? SLABBY_OK : SLABBY_INVALID_ARGUMENT;
}

/* Under maintenance nobody allocates; a release that is still on its way counts as live. */
static slabby_status destroy_last(struct slabby_allocator *pool) {
    struct slb_notification notification = {.function = NULL};
    if (!slb_maintenance_begin(pool))
        return SLABBY_BUSY;
    slabby_status status = SLABBY_OK;
    if (!slb_pool_exists(pool) || pool->owners == 0)
        status = slb_pool_closed_status(pool);
    else if (pool->owners == 1 && (slb_count_live(pool) != 0 || pool->first_waiter != NULL))
        status = slb_audited(pool, SLABBY_AUDIT_OPERATION_DESTROY, 0, SLABBY_IN_USE);
    else if (--pool->owners == 0) {
        stop_allocations(pool, &notification);
        tear_down(pool);
    }
    slb_maintenance_end(pool);
    if (status == SLABBY_OK)
        slb_ticker_forget(pool);
    slb_event_notify(&notification);
    if (status == SLABBY_IN_USE)
        slb_leaks_at_end(pool, SLB_ENDING_REFUSED);
    return status;
}

SLB_PRIVATE slabby_status slb_pool_destroy(struct slabby_allocator *pool) {
    slb_fork_check(pool);
    slb_gate_lock(pool);
    bool exists = slb_pool_exists(pool);
    bool shared = exists && pool->owners > 1;
    if (shared) {
        pool->owners--;
        (void)slb_audited(pool, SLABBY_AUDIT_OPERATION_DESTROY, 0, SLABBY_OK);
    }
    slb_gate_unlock(pool);
    if (shared)
        return SLABBY_OK;
    return exists ? destroy_last(pool) : slb_pool_closed_status(pool);
}

/* Whether the caller, who owns a share, has the only one. */
static bool is_last_owner(struct slabby_allocator *pool) {
    slb_gate_lock(pool);
    bool last = slb_pool_exists(pool) && pool->owners == 1;
    slb_gate_unlock(pool);
    return last;
}

SLB_PRIVATE slabby_status slb_pool_abandon(struct slabby_allocator *pool) {
    struct slb_notification notification = {.function = NULL};
    slb_fork_check(pool);
    if (is_last_owner(pool))
        slb_leaks_at_end(pool, SLB_ENDING_ABANDONED);
    slb_gate_lock(pool);
    slabby_status status =
        slb_pool_exists(pool) && pool->owners > 0 ? SLABBY_OK : slb_pool_closed_status(pool);
    if (status == SLABBY_OK && --pool->owners == 0)
        stop_allocations(pool, &notification);
    if (status == SLABBY_OK)
        (void)slb_audited(pool, SLABBY_AUDIT_OPERATION_ABANDON, 0, status);
    bool last = status == SLABBY_OK && pool->owners == 0;
    slb_gate_unlock(pool);
    if (last)
        slb_ticker_forget(pool);
    slb_event_notify(&notification);
    if (status == SLABBY_OK && (atomic_load(&pool->gate) & SLB_GATE_CLOSED))
        slb_pool_run_deferred(pool);
    return status;
}
