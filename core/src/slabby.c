/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The front door for pools: each public function checks its arguments, then makes one call inward. slabby_slabs.c has
 * those for slabs. */
#include <slabby/slabby.h>

#include "front.h"
#include "observe/audit.h"
#include "observe/counters.h"
#include "observe/events.h"
#include "observe/health.h"
#include "observe/json.h"
#include "observe/look.h"
#include "os/os.h"
#include "pool.h"
#include "protect/quarantine.h"
#include "resilience/breaker.h"
#include "resilience/degrade.h"
#include "status.h"
#include "upkeep.h"

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

SLB_PUBLIC slabby_status slabby_retain(slabby_allocator *allocator) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    return pool == NULL ? SLABBY_INVALID_ARGUMENT
                        : slb_audited(pool, SLABBY_AUDIT_OPERATION_RETAIN, 0, slb_pool_retain(pool));
}

SLB_PUBLIC slabby_status slabby_handle(uint64_t *out_address, uint64_t *out_instance_id,
                                       slabby_allocator *allocator) {
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
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

/* ----------------------------------------------------------------------------------------- the pool as a whole */

SLB_PUBLIC slabby_status slabby_reset(slabby_allocator *allocator) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL)
        return SLABBY_INVALID_ARGUMENT;
    if (!slb_pool_exists(pool))
        return slb_refuse(pool, slb_pool_closed_status(pool));
    uint64_t mark = slb_events_mark(pool);
    slabby_status status = slb_reset(pool);
    slb_events_deliver(pool, mark);
    return slb_answered(pool, SLABBY_AUDIT_OPERATION_RESET, 0, status);
}

/* Who asks is told of the degradation as it is now. */
static void poll_degradation(struct slabby_allocator *pool) {
    if (slb_degrade_is_on(pool))
        slb_degrade_poll(pool);
}

SLB_PUBLIC slabby_status slabby_get_stats(slabby_stats *out_stats, slabby_allocator *allocator) {
    slabby_status status;
    slabby_stats stats;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL || out_stats == NULL)
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    poll_degradation(pool);
    slb_stats_fill(pool, &stats);
    return slb_copy_out(out_stats, &stats, sizeof stats);
}

SLB_PUBLIC slabby_status slabby_get_memory(slabby_memory *out_memory, slabby_allocator *allocator) {
    slabby_status status;
    slabby_memory memory;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL || out_memory == NULL)
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    slb_memory_fill(pool, &memory);
    return slb_copy_out(out_memory, &memory, sizeof memory);
}

SLB_PUBLIC slabby_status slabby_get_health(slabby_health *out_health, slabby_allocator *allocator) {
    slabby_status status;
    slabby_health health;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL || out_health == NULL)
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    poll_degradation(pool);
    slb_health_fill(pool, &health);
    return slb_copy_out(out_health, &health, sizeof health);
}

SLB_PUBLIC slabby_status slabby_health_tick(slabby_allocator *allocator) {
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool != NULL)
        slb_health_tick(pool);
    if (pool != NULL)
        poll_degradation(pool);
    return status;
}

SLB_PUBLIC slabby_status slabby_health_json(char *buffer, uint64_t capacity, uint64_t *out_length,
                                            slabby_allocator *allocator) {
    struct slb_text text = {.buffer = buffer, .capacity = capacity};
    slabby_health health;
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL || (buffer == NULL && capacity > 0))
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    poll_degradation(pool);
    slb_health_fill(pool, &health);
    slb_json_object(&text, slb_health_fields, SLB_HEALTH_FIELD_COUNT, &health);
    return slb_text_end(&text, out_length);
}

SLB_PUBLIC slabby_status slabby_breaker_force(slabby_allocator *allocator, int32_t mode) {
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL)
        return status;
    if (mode < SLABBY_BREAKER_MODE_NORMAL || mode > SLABBY_BREAKER_MODE_METRICS_ONLY)
        return slb_answered(pool, SLABBY_AUDIT_OPERATION_BREAKER_FORCE, (uint32_t)mode,
                            SLABBY_INVALID_ARGUMENT);
    return slb_audited(pool, SLABBY_AUDIT_OPERATION_BREAKER_FORCE, (uint32_t)mode,
                       slb_breaker_force(pool, mode));
}

SLB_PUBLIC slabby_status slabby_stats_json(char *buffer, uint64_t capacity, uint64_t *out_length,
                                           slabby_allocator *allocator) {
    struct slb_text text = {.buffer = buffer, .capacity = capacity};
    slabby_stats stats;
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL || (buffer == NULL && capacity > 0))
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    poll_degradation(pool);
    slb_stats_fill(pool, &stats);
    slb_json_object(&text, slb_stats_fields, SLB_STATS_FIELD_COUNT, &stats);
    return slb_text_end(&text, out_length);
}

SLB_PUBLIC slabby_status slabby_set_option(slabby_allocator *allocator, int32_t option, int64_t value,
                                           slabby_error *out_error) {
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL)
        return slb_error_set(out_error, status, option, value, 0, 0, "no open pool has this handle");
    int64_t before = slb_option_info(option) == NULL ? 0 : slb_option_effective(pool, option);
    status = slb_option_change(pool, option, value, out_error);
    if (status == SLABBY_OK)
        slb_event(pool, SLABBY_EVENT_LEVEL_INFO, SLABBY_EVENT_CODE_OPTION_CHANGED, 0, value,
                  "option %s of pool \"%s\" was set to %" PRId64 ", was %" PRId64,
                  slb_option_info(option)->name, pool->options.name, value, before);
    return slb_answered(pool, SLABBY_AUDIT_OPERATION_OPTION_CHANGE, (uint32_t)option, status);
}

SLB_PUBLIC slabby_status slabby_get_option(int64_t *out_value, slabby_allocator *allocator, int32_t option) {
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
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
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL)
        return status;
    status = slb_trim(pool, out_bytes == NULL ? &bytes : out_bytes);
    return slb_answered(pool, SLABBY_AUDIT_OPERATION_TRIM, 0, status);
}

SLB_PUBLIC slabby_status slabby_reclaim(uint64_t *out_count, slabby_allocator *allocator) {
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
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
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL || out_view == NULL)
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    slabby_view_info view = {.version = 2,
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
