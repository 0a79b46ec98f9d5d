/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The front door: each public function checks its arguments, then makes one call inward. */
#include <slabby/slabby.h>

#include "allocate.h"
#include "observe/audit.h"
#include "observe/counters.h"
#include "observe/events.h"
#include "observe/health.h"
#include "observe/json.h"
#include "observe/labels.h"
#include "observe/latency.h"
#include "observe/look.h"
#include "os/os.h"
#include "pool.h"
#include "protect/guard_slots.h"
#include "protect/protect.h"
#include "protect/quarantine.h"
#include "release.h"
#include "resilience/breaker.h"
#include "resilience/degrade.h"
#include "resilience/fork.h"
#include "resilience/waiters.h"
#include "status.h"
#include "upkeep.h"
#include "word_owner.h"

#include <inttypes.h>

/* --------------------------------------------------------------------------------------------- the library */

SLB_PUBLIC const char *slabby_version(void) {
    return SLB_VERSION_TEXT;
}

SLB_PUBLIC uint32_t slabby_abi_version(void) {
    return SLB_ABI_VERSION;
}

SLB_PUBLIC uint64_t slabby_instance_id(void) {
    static _Atomic uint64_t instance;
    uint64_t id = atomic_load_explicit(&instance, memory_order_relaxed);
    uint64_t fresh = slb_os_unique();
    if (id == 0 && atomic_compare_exchange_strong(&instance, &id, fresh))
        id = fresh;
    return id;
}

/* ------------------------------------------------------------------------------------------ a pool's life */

SLB_PUBLIC slabby_status slabby_create(slabby_allocator **out_allocator, uint64_t slab_size,
                                       uint64_t capacity, const slabby_options *options,
                                       slabby_error *out_error) {
    struct slb_options defaults;
    if (out_allocator == NULL)
        return slb_error_set(out_error, SLABBY_INVALID_ARGUMENT, 0, 0, 0, 0,
                             "the place for the handle is null");
    slb_options_init(&defaults);
    return slb_pool_create(out_allocator, slab_size, capacity,
                           options == NULL ? &defaults : slb_options_of(options), out_error);
}

/* The pool behind a handle whose pool still exists; otherwise the status to answer. */
static struct slabby_allocator *existing(slabby_allocator *allocator, slabby_status *out_status) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    *out_status = pool == NULL ? SLABBY_INVALID_ARGUMENT : SLABBY_OK;
    if (pool != NULL && !slb_pool_exists(pool))
        *out_status = slb_pool_absence(pool);
    if (*out_status != SLABBY_OK)
        return NULL;
    slb_fork_look(pool);
    return pool;
}

/* Counts a refusal, records the call. */
static slabby_status answered(struct slabby_allocator *pool, int32_t operation, uint64_t ref,
                              slabby_status status) {
    if (slb_unlikely(status != SLABBY_OK))
        (void)slb_refuse(pool, status);
    return slb_audited(pool, operation, ref, status);
}

/* The same for calls that allocate or release: what changed hands was recorded where it did. */
static slabby_status concluded(struct slabby_allocator *pool, int32_t operation, uint64_t ref,
                               slabby_status status) {
    if (slb_likely(status == SLABBY_OK))
        return status;
    return status == SLABBY_MEMORY_CORRUPTION ? slb_refuse(pool, status)
                                              : answered(pool, operation, ref, status);
}

SLB_PUBLIC slabby_status slabby_retain(slabby_allocator *allocator) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    return pool == NULL ? SLABBY_INVALID_ARGUMENT
                        : slb_audited(pool, SLABBY_AUDIT_OPERATION_RETAIN, 0, slb_pool_retain(pool));
}

SLB_PUBLIC slabby_status slabby_handle(uint64_t *out_address, uint64_t *out_instance_id,
                                       slabby_allocator *allocator) {
    slabby_status status;
    struct slabby_allocator *pool = existing(allocator, &status);
    if (out_address == NULL || out_instance_id == NULL)
        return SLABBY_INVALID_ARGUMENT;
    if (pool == NULL)
        return status;
    *out_address = (uint64_t)(uintptr_t)pool;
    *out_instance_id = slabby_instance_id();
    return SLABBY_OK;
}

SLB_PUBLIC slabby_status slabby_adopt(slabby_allocator **out_allocator, uint64_t address,
                                      uint64_t instance_id, slabby_error *out_error) {
    if (out_allocator == NULL)
        return slb_error_set(out_error, SLABBY_INVALID_ARGUMENT, 0, 0, 0, 0,
                             "the place for the handle is null");
    if (instance_id != slabby_instance_id())
        return slb_error_set(out_error, SLABBY_ABI_MISMATCH, 0, (int64_t)instance_id, 0, 0,
                             "the handle belongs to core instance %016" PRIx64 ", this one is %016" PRIx64
                             "; let both sides load the same shared library",
                             instance_id, slabby_instance_id());
    slabby_allocator *allocator = (slabby_allocator *)(uintptr_t)address;
    slabby_status status = slabby_retain(allocator);
    if (status != SLABBY_OK)
        return slb_error_set(out_error, status, 0, (int64_t)address, 0, 0,
                             "no open pool has the handle 0x%" PRIx64, address);
    *out_allocator = allocator;
    return SLABBY_OK;
}

SLB_PUBLIC slabby_status slabby_close(slabby_allocator *allocator) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    return pool == NULL ? SLABBY_INVALID_ARGUMENT
                        : slb_audited(pool, SLABBY_AUDIT_OPERATION_CLOSE, 0, slb_pool_close(pool));
}

SLB_PUBLIC slabby_status slabby_destroy(slabby_allocator *allocator) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (allocator == NULL)
        return SLABBY_OK;
    return pool == NULL ? SLABBY_INVALID_ARGUMENT : slb_pool_destroy(pool);
}

SLB_PUBLIC slabby_status slabby_abandon(slabby_allocator *allocator) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (allocator == NULL)
        return SLABBY_OK;
    return pool == NULL ? SLABBY_INVALID_ARGUMENT : slb_pool_abandon(pool);
}

/* ------------------------------------------------------------------------------------ allocate and release */

/* Everything but the untimed hit in a CPU cache of the rseq backend. A refusal is not counted yet. */
static slabby_status try_slowly(struct slabby_allocator *pool, uint32_t state, uint32_t *out_id,
                                uint64_t *out_word) {
    bool fast = state == SLABBY_SLAB_STATE_LIVE_FAST;
    if (!slb_pool_exists(pool))
        return slb_pool_absence(pool);
    uint32_t owner = slb_owner_look(pool, slb_os_cpu());
    struct slb_timing timing = slb_timing_if_due(pool);
    uint64_t stands_for = timing.weight;
    struct slb_found found = {.tier = SLB_TIER_CACHE};
    bool searched = !slb_cache_take(pool, out_id, fast);
    if (searched) {
        slb_timing_slow(pool, &timing);
        slabby_status status = slb_find(pool, out_id, fast, &found);
        if (status != SLABBY_OK)
            return status;
        stands_for = stands_for == 0 ? 1 : stands_for;
    }
    slb_guard_sample(pool, *out_id, found.tier, stands_for);
    if (*out_id >= pool->reserved)
        owner = 0;
    *out_word =
        slb_issue_slowly(pool, *out_id, state | owner,
                         fast ? SLABBY_AUDIT_OPERATION_ALLOCATE_FAST : SLABBY_AUDIT_OPERATION_ALLOCATE);
    slb_timing_end(pool, &timing, 1);
    if (searched)
        slb_found_tell(pool, &found);
    return SLABBY_OK;
}

/* What counts as a failure of the pool is told to the breaker. */
static slabby_status fail_allocation(struct slabby_allocator *pool, int32_t operation, slabby_status status) {
    if (status == SLABBY_OUT_OF_MEMORY || status == SLABBY_LATENCY_EXCEEDED)
        slb_breaker_failed(pool, false);
    return answered(pool, operation, 0, status);
}

static __attribute__((noinline)) slabby_status take_slowly(struct slabby_allocator *pool, uint32_t state,
                                                           uint32_t *out_id, uint64_t *out_word) {
    bool fast = state == SLABBY_SLAB_STATE_LIVE_FAST;
    slabby_status status = try_slowly(pool, state, out_id, out_word);
    return slb_likely(status == SLABBY_OK)
               ? status
               : fail_allocation(
                     pool, fast ? SLABBY_AUDIT_OPERATION_ALLOCATE_FAST : SLABBY_AUDIT_OPERATION_ALLOCATE,
                     status);
}

static void hand_out(struct slabby_allocator *pool, uint32_t id, uint64_t word, slabby_ref *out_ref,
                     void **out_data) {
    *out_ref = slb_ref_make(pool, slb_word_generation(word), id);
    if (out_data != NULL)
        *out_data = slb_slab_data(pool, id);
}

static __attribute__((noinline)) slabby_status allocate_slowly(slabby_ref *out_ref, void **out_data,
                                                               struct slabby_allocator *pool) {
    uint64_t word;
    uint32_t id;
    slabby_status status = take_slowly(pool, SLABBY_SLAB_STATE_LIVE, &id, &word);
    if (status == SLABBY_OK)
        hand_out(pool, id, word, out_ref, out_data);
    return status;
}

SLB_PUBLIC slabby_status slabby_allocate(slabby_ref *out_ref, void **out_data, slabby_allocator *allocator) {
    struct slb_cpu_cache *cache;
    uint32_t id;
    if (slb_unlikely(!slb_is_place(allocator) || out_ref == NULL))
        return SLABBY_INVALID_ARGUMENT;
    if (slb_unlikely(!slb_rseq_take_untimed(allocator, &id, &cache)))
        return allocate_slowly(out_ref, out_data, allocator);
    uint64_t word = slb_issue(allocator, id, slb_owner_here(cache) | SLABBY_SLAB_STATE_LIVE);
    *out_ref = slb_ref_make(allocator, slb_word_generation(word), id);
    if (slb_likely(out_data != NULL))
        *out_data = allocator->slabs + (uint64_t)id * allocator->stride; /* CPU caches hold no heap slabs */
    return SLABBY_OK;
}

/* A try that finds nothing is no failure of the pool: only the end of the wait is. */
SLB_PUBLIC slabby_status slabby_allocate_timeout(slabby_ref *out_ref, void **out_data,
                                                 slabby_allocator *allocator, uint64_t timeout_ns) {
    uint64_t word;
    uint32_t id;
    if (timeout_ns == 0)
        return slabby_allocate(out_ref, out_data, allocator);
    if (!slb_is_place(allocator) || out_ref == NULL)
        return SLABBY_INVALID_ARGUMENT;
    slabby_status status = try_slowly(allocator, SLABBY_SLAB_STATE_LIVE, &id, &word);
    if (status == SLABBY_OUT_OF_MEMORY) {
        uint64_t now = slb_os_now_ns();
        status = slb_wait(allocator, timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns, &id);
        if (status == SLABBY_OK)
            word = slb_issue_slowly(allocator, id, SLABBY_SLAB_STATE_LIVE, SLABBY_AUDIT_OPERATION_ALLOCATE);
    }
    if (status == SLABBY_OK)
        hand_out(allocator, id, word, out_ref, out_data);
    return concluded(allocator, SLABBY_AUDIT_OPERATION_ALLOCATE, 0, status);
}

SLB_PUBLIC slabby_status slabby_allocate_batch(slabby_ref *out_refs, void **out_datas,
                                               slabby_allocator *allocator, uint64_t count) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL || out_refs == NULL)
        return SLABBY_INVALID_ARGUMENT;
    slabby_status status = slb_allocate_batch(pool, out_refs, out_datas, count);
    return status == SLABBY_OK ? status
                               : fail_allocation(pool, SLABBY_AUDIT_OPERATION_ALLOCATE_BATCH, status);
}

static SLB_COLD slabby_status release_slowly(struct slabby_allocator *pool, slabby_ref ref) {
    return concluded(pool, SLABBY_AUDIT_OPERATION_RELEASE, ref, slb_release_slowly(pool, ref));
}

/* The word says free already. Of its reference id and generation are found again: the hot path keeps nothing else. */
static __attribute__((noinline)) slabby_status return_slowly(struct slabby_allocator *pool, slabby_ref ref) {
    uint64_t relative = slb_ref_relative(pool, ref);
    slabby_status status =
        slb_return_slab(pool, (uint32_t)(relative & pool->id_mask), relative >> pool->id_bits, false);
    return slb_likely(status == SLABBY_OK) ? status : slb_refuse(pool, status);
}

/* The word is not owned here. A pool whose slabs are released on other CPUs than they were allocated on comes this way
 * each time. */
static __attribute__((noinline)) slabby_status release_shared(struct slabby_allocator *pool, slabby_ref ref) {
    uint64_t relative = slb_ref_relative(pool, ref);
    uint32_t id = (uint32_t)(relative & pool->id_mask);
    uint64_t generation = relative >> pool->id_bits;
    uint64_t live = slb_word_make(generation, SLABBY_SLAB_STATE_LIVE);
    /* seq_cst, as swap_word in release.c: protections are read behind it, see protect/switches.c */
    if (slb_unlikely(!atomic_compare_exchange_strong_explicit(
            &pool->words[id], &live, slb_word_make(generation + 1, SLABBY_SLAB_STATE_FREE),
            memory_order_seq_cst, memory_order_relaxed)))
        return release_slowly(pool, ref);
    SLB_POINT(SLB_POINT_RELEASED);
    if (slb_unlikely(atomic_load_explicit(&pool->protect, memory_order_seq_cst) != 0 ||
                     !slb_rseq_give_once(pool, id)))
        return return_slowly(pool, ref);
    return SLABBY_OK;
}

SLB_PUBLIC slabby_status slabby_release(slabby_allocator *allocator, slabby_ref ref) {
    if (slb_unlikely(!slb_is_place(allocator)))
        return SLABBY_INVALID_ARGUMENT;
    uint64_t relative = slb_ref_relative(allocator, ref);
    uint64_t id = relative & allocator->id_mask;
    if (slb_unlikely(relative >= allocator->ref_limit || id >= allocator->reserved))
        return release_slowly(allocator, ref);
    enum slb_rseq_result owned = slb_owner_release(allocator, id, relative >> allocator->id_bits);
    if (slb_unlikely(owned == SLB_RSEQ_REFUSED))
        slb_owner_note_plain(allocator);
    if (slb_unlikely(owned != SLB_RSEQ_DONE))
        return release_shared(allocator, ref);
    SLB_POINT(SLB_POINT_RELEASED);
    if (slb_unlikely(!slb_rseq_give_once(allocator, (uint32_t)id)))
        return return_slowly(allocator, ref);
    return SLABBY_OK;
}

SLB_PUBLIC slabby_status slabby_release_deferred(slabby_allocator *allocator, slabby_ref ref) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL)
        return SLABBY_INVALID_ARGUMENT;
    return concluded(pool, SLABBY_AUDIT_OPERATION_RELEASE_DEFERRED, ref, slb_release_deferred(pool, ref));
}

SLB_PUBLIC slabby_status slabby_release_batch(uint64_t *out_released, slabby_allocator *allocator,
                                              const slabby_ref *refs, uint64_t count) {
    slabby_status first = SLABBY_OK;
    uint64_t released = 0;
    if (out_released != NULL)
        *out_released = 0;
    if (slb_pool_of(allocator) == NULL || (refs == NULL && count > 0))
        return SLABBY_INVALID_ARGUMENT;
    for (uint64_t i = 0; i < count; i++) {
        slabby_status status = slabby_release(allocator, refs[i]);
        released += status == SLABBY_OK;
        if (first == SLABBY_OK)
            first = status;
    }
    if (out_released != NULL)
        *out_released = released;
    return first;
}

SLB_PUBLIC slabby_status slabby_allocate_fast(void **out_data, uint32_t *out_id,
                                              slabby_allocator *allocator) {
    struct slb_cpu_cache *cache;
    uint64_t word;
    uint32_t id;
    if (slb_unlikely(!slb_is_place(allocator) || out_id == NULL || out_data == NULL))
        return SLABBY_INVALID_ARGUMENT;
    if (slb_likely(slb_rseq_take_untimed(allocator, &id, &cache))) {
        slb_cache_count_fast(allocator, true);
        slb_issue(allocator, id, slb_owner_here(cache) | SLABBY_SLAB_STATE_LIVE_FAST);
    } else {
        slabby_status status = take_slowly(allocator, SLABBY_SLAB_STATE_LIVE_FAST, &id, &word);
        if (status != SLABBY_OK)
            return status;
    }
    *out_data = slb_slab_data(allocator, id);
    *out_id = id;
    return SLABBY_OK;
}

SLB_PUBLIC slabby_status slabby_deallocate_fast(slabby_allocator *allocator, uint32_t id) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (slb_unlikely(pool == NULL))
        return SLABBY_INVALID_ARGUMENT;
    return concluded(pool, SLABBY_AUDIT_OPERATION_DEALLOCATE_FAST, id, slb_release_fast(pool, id));
}

/* ----------------------------------------------------------------------------------- looking at a reference */

static SLB_COLD slabby_status refuse_access(struct slabby_allocator *pool, slabby_ref ref) {
    return answered(pool, SLABBY_AUDIT_OPERATION_ACCESS, ref,
                    slb_ref_refusal(pool, ref, SLABBY_USE_AFTER_FREE));
}

SLB_PUBLIC slabby_status slabby_data(void **out_data, slabby_allocator *allocator, slabby_ref ref) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    uint64_t word;
    uint32_t id;
    if (slb_unlikely(pool == NULL || out_data == NULL))
        return SLABBY_INVALID_ARGUMENT;
    if (slb_unlikely(!slb_pool_exists(pool) || !slb_ref_live_word(pool, ref, &id, &word)))
        return refuse_access(pool, ref);
    void *data = slb_slab_data(pool, id);
    if (slb_unlikely(data == NULL)) /* a heap slab that another thread released this moment */
        return refuse_access(pool, ref);
    *out_data = data;
    return SLABBY_OK;
}

SLB_PUBLIC int32_t slabby_is_valid(slabby_allocator *allocator, slabby_ref ref) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    uint64_t word;
    uint32_t id;
    return pool != NULL && slb_pool_exists(pool) && slb_ref_live_word(pool, ref, &id, &word);
}

SLB_PUBLIC slabby_status slabby_id(uint32_t *out_id, slabby_allocator *allocator, slabby_ref ref) {
    slabby_status status;
    struct slabby_allocator *pool = existing(allocator, &status);
    uint64_t generation;
    uint32_t id;
    if (pool == NULL || out_id == NULL)
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    if (!slb_ref_was_issued(pool, ref, &generation, &id))
        return answered(pool, SLABBY_AUDIT_OPERATION_ACCESS, ref, SLABBY_INVALID_REFERENCE);
    *out_id = id;
    return SLABBY_OK;
}

SLB_PUBLIC slabby_status slabby_size(uint64_t *out_size, slabby_allocator *allocator) {
    slabby_status status;
    struct slabby_allocator *pool = existing(allocator, &status);
    if (pool == NULL || out_size == NULL)
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    *out_size = pool->slab_size;
    return SLABBY_OK;
}

SLB_PUBLIC slabby_status slabby_ref_text(char *buffer, uint64_t capacity, uint64_t *out_length,
                                         slabby_allocator *allocator, slabby_ref ref) {
    struct slb_text text = {.buffer = buffer, .capacity = capacity};
    slabby_status status;
    struct slabby_allocator *pool = existing(allocator, &status);
    if (pool == NULL || (buffer == NULL && capacity > 0))
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    status = slb_ref_text(&text, pool, ref);
    return status == SLABBY_OK ? slb_text_end(&text, out_length)
                               : answered(pool, SLABBY_AUDIT_OPERATION_ACCESS, ref, status);
}

SLB_PUBLIC slabby_status slabby_pin(slabby_allocator *allocator, slabby_ref ref) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL)
        return SLABBY_INVALID_ARGUMENT;
    return answered(pool, SLABBY_AUDIT_OPERATION_PIN, ref, slb_pin(pool, ref));
}

SLB_PUBLIC slabby_status slabby_unpin(slabby_allocator *allocator, slabby_ref ref) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL)
        return SLABBY_INVALID_ARGUMENT;
    return answered(pool, SLABBY_AUDIT_OPERATION_UNPIN, ref, slb_unpin(pool, ref));
}

SLB_PUBLIC slabby_status slabby_set_label(slabby_allocator *allocator, slabby_ref ref, uint64_t label) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL)
        return SLABBY_INVALID_ARGUMENT;
    slabby_status status = slb_label_set(pool, ref, label);
    return slb_likely(status == SLABBY_OK) ? status
                                           : answered(pool, SLABBY_AUDIT_OPERATION_ACCESS, ref, status);
}

SLB_PUBLIC slabby_status slabby_get_label(uint64_t *out_label, slabby_allocator *allocator, slabby_ref ref) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL || out_label == NULL)
        return SLABBY_INVALID_ARGUMENT;
    slabby_status status = slb_label_get(pool, ref, out_label);
    return slb_likely(status == SLABBY_OK) ? status
                                           : answered(pool, SLABBY_AUDIT_OPERATION_ACCESS, ref, status);
}

/* ----------------------------------------------------------------------------------------- the pool as a whole */

SLB_PUBLIC slabby_status slabby_reset(slabby_allocator *allocator) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL)
        return SLABBY_INVALID_ARGUMENT;
    if (!slb_pool_exists(pool))
        return slb_refuse(pool, slb_pool_absence(pool));
    uint64_t mark = slb_events_mark(pool);
    slabby_status status = slb_reset(pool);
    slb_events_deliver(pool, mark);
    return answered(pool, SLABBY_AUDIT_OPERATION_RESET, 0, status);
}

/* Who asks is told of the degradation as it is now. */
static void look_at_use(struct slabby_allocator *pool) {
    if (slb_degrade_is_on(pool))
        slb_degrade_attend(pool);
}

SLB_PUBLIC slabby_status slabby_get_stats(slabby_stats *out_stats, slabby_allocator *allocator) {
    slabby_status status;
    slabby_stats stats;
    struct slabby_allocator *pool = existing(allocator, &status);
    if (pool == NULL || out_stats == NULL)
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    look_at_use(pool);
    slb_stats_fill(pool, &stats);
    return slb_copy_out(out_stats, &stats, sizeof stats);
}

SLB_PUBLIC slabby_status slabby_get_memory(slabby_memory *out_memory, slabby_allocator *allocator) {
    slabby_status status;
    slabby_memory memory;
    struct slabby_allocator *pool = existing(allocator, &status);
    if (pool == NULL || out_memory == NULL)
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    slb_memory_fill(pool, &memory);
    return slb_copy_out(out_memory, &memory, sizeof memory);
}

SLB_PUBLIC slabby_status slabby_get_health(slabby_health *out_health, slabby_allocator *allocator) {
    slabby_status status;
    slabby_health health;
    struct slabby_allocator *pool = existing(allocator, &status);
    if (pool == NULL || out_health == NULL)
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    look_at_use(pool);
    slb_health_fill(pool, &health);
    return slb_copy_out(out_health, &health, sizeof health);
}

SLB_PUBLIC slabby_status slabby_health_tick(slabby_allocator *allocator) {
    slabby_status status;
    struct slabby_allocator *pool = existing(allocator, &status);
    if (pool != NULL)
        slb_health_tick(pool);
    if (pool != NULL)
        look_at_use(pool);
    return status;
}

SLB_PUBLIC slabby_status slabby_health_json(char *buffer, uint64_t capacity, uint64_t *out_length,
                                            slabby_allocator *allocator) {
    struct slb_text text = {.buffer = buffer, .capacity = capacity};
    slabby_health health;
    slabby_status status;
    struct slabby_allocator *pool = existing(allocator, &status);
    if (pool == NULL || (buffer == NULL && capacity > 0))
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    look_at_use(pool);
    slb_health_fill(pool, &health);
    slb_json_object(&text, slb_health_fields, SLB_HEALTH_FIELD_COUNT, &health);
    return slb_text_end(&text, out_length);
}

SLB_PUBLIC slabby_status slabby_breaker_force(slabby_allocator *allocator, int32_t mode) {
    slabby_status status;
    struct slabby_allocator *pool = existing(allocator, &status);
    if (pool == NULL)
        return status;
    if (mode < SLABBY_BREAKER_MODE_NORMAL || mode > SLABBY_BREAKER_MODE_METRICS_ONLY)
        return answered(pool, SLABBY_AUDIT_OPERATION_BREAKER_FORCE, (uint32_t)mode, SLABBY_INVALID_ARGUMENT);
    return slb_audited(pool, SLABBY_AUDIT_OPERATION_BREAKER_FORCE, (uint32_t)mode,
                       slb_breaker_force(pool, mode));
}

SLB_PUBLIC slabby_status slabby_stats_json(char *buffer, uint64_t capacity, uint64_t *out_length,
                                           slabby_allocator *allocator) {
    struct slb_text text = {.buffer = buffer, .capacity = capacity};
    slabby_stats stats;
    slabby_status status;
    struct slabby_allocator *pool = existing(allocator, &status);
    if (pool == NULL || (buffer == NULL && capacity > 0))
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    look_at_use(pool);
    slb_stats_fill(pool, &stats);
    slb_json_object(&text, slb_stats_fields, SLB_STATS_FIELD_COUNT, &stats);
    return slb_text_end(&text, out_length);
}

SLB_PUBLIC slabby_status slabby_set_option(slabby_allocator *allocator, int32_t option, int64_t value,
                                           slabby_error *out_error) {
    slabby_status status;
    struct slabby_allocator *pool = existing(allocator, &status);
    if (pool == NULL)
        return slb_error_set(out_error, status, option, value, 0, 0, "no open pool has this handle");
    int64_t before = slb_option_info(option) == NULL ? 0 : slb_option_effective(pool, option);
    status = slb_option_change(pool, option, value, out_error);
    if (status == SLABBY_OK)
        slb_event(pool, SLABBY_EVENT_LEVEL_INFO, SLABBY_EVENT_CODE_OPTION_CHANGED, 0, value,
                  "option %s of pool \"%s\" was set to %" PRId64 ", was %" PRId64,
                  slb_option_info(option)->name, pool->options.name, value, before);
    return answered(pool, SLABBY_AUDIT_OPERATION_OPTION_CHANGE, (uint32_t)option, status);
}

SLB_PUBLIC slabby_status slabby_get_option(int64_t *out_value, slabby_allocator *allocator, int32_t option) {
    slabby_status status;
    struct slabby_allocator *pool = existing(allocator, &status);
    const struct slb_option_info *info = slb_option_info(option);
    if (pool == NULL || out_value == NULL)
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    if (info == NULL)
        return slb_refuse(pool, SLABBY_INVALID_OPTION);
    if (info->kind == SLB_KIND_TEXT)
        return SLABBY_INVALID_ARGUMENT;
    *out_value = slb_option_effective(pool, option);
    return SLABBY_OK;
}

SLB_PUBLIC slabby_status slabby_trim(uint64_t *out_bytes, slabby_allocator *allocator) {
    uint64_t bytes;
    slabby_status status;
    struct slabby_allocator *pool = existing(allocator, &status);
    if (pool == NULL)
        return status;
    status = slb_trim(pool, out_bytes == NULL ? &bytes : out_bytes);
    return answered(pool, SLABBY_AUDIT_OPERATION_TRIM, 0, status);
}

SLB_PUBLIC slabby_status slabby_reclaim(uint64_t *out_count, slabby_allocator *allocator) {
    slabby_status status;
    struct slabby_allocator *pool = existing(allocator, &status);
    if (pool == NULL)
        return status;
    uint64_t count = slb_quarantine_reclaim(pool);
    if (out_count != NULL)
        *out_count = count;
    return slb_audited(pool, SLABBY_AUDIT_OPERATION_RECLAIM, 0, SLABBY_OK);
}

/* ---------------------------------------------------------------------------------------------- looking inside */

SLB_PUBLIC slabby_status slabby_view(slabby_view_info *out_view, slabby_allocator *allocator) {
    slabby_status status;
    struct slabby_allocator *pool = existing(allocator, &status);
    if (pool == NULL || out_view == NULL)
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    slabby_view_info view = {.version = 1,
                             .words_address = (uint64_t)(uintptr_t)pool->words,
                             .slabs_address = (uint64_t)(uintptr_t)pool->slabs,
                             .stride = pool->stride,
                             .slab_size = pool->slab_size,
                             .capacity = pool->reserved,
                             .id_limit = (uint64_t)pool->reserved + pool->heap.limit,
                             .ref_bias = pool->ref_bias,
                             .ref_limit = pool->ref_limit,
                             .id_bits = pool->id_bits,
                             .mode_address = (uint64_t)(uintptr_t)&pool->protect};
    return slb_copy_out(out_view, &view, sizeof view);
}
