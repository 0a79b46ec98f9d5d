/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A pool as a whole: create, share, close, destroy; trim, reclaim, resize; the breaker by hand. */
#include "api/call.h"
#include "api/option_values.h"
#include "pool/lifecycle.h"
#include "pool/trim.h"
#include "protect/quarantine.h"
#include "resilience/breaker.h"
#include "resilience/resize.h"
#include "status.h"

#include <inttypes.h>

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
    SLB_HOLD_HANDLE(allocator);
    struct slabby_allocator *pool = slb_pool_of(allocator);
    return pool == NULL ? SLABBY_INVALID_ARGUMENT
                        : slb_audited(pool, SLABBY_AUDIT_OPERATION_CLOSE, 0, slb_pool_close(pool));
}

SLB_PUBLIC slabby_status slabby_destroy(slabby_allocator *allocator) {
    SLB_HOLD_HANDLE(allocator);
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (allocator == NULL)
        return SLABBY_OK;
    return pool == NULL ? SLABBY_INVALID_ARGUMENT : slb_pool_destroy(pool);
}

SLB_PUBLIC slabby_status slabby_abandon(slabby_allocator *allocator) {
    SLB_HOLD_HANDLE(allocator);
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (allocator == NULL)
        return SLABBY_OK;
    return pool == NULL ? SLABBY_INVALID_ARGUMENT : slb_pool_abandon(pool);
}

SLB_PUBLIC slabby_status slabby_breaker_force(slabby_allocator *allocator, int32_t mode) {
    SLB_HOLD_HANDLE(allocator);
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

SLB_PUBLIC slabby_status slabby_trim(uint64_t *out_bytes, slabby_allocator *allocator) {
    SLB_HOLD_HANDLE(allocator);
    uint64_t bytes;
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL)
        return status;
    status = slb_trim(pool, out_bytes == NULL ? &bytes : out_bytes);
    return slb_answered(pool, SLABBY_AUDIT_OPERATION_TRIM, 0, status);
}

SLB_PUBLIC slabby_status slabby_reclaim(uint64_t *out_count, slabby_allocator *allocator) {
    SLB_HOLD_HANDLE(allocator);
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL)
        return status;
    uint64_t count = slb_quarantine_reclaim(pool);
    if (out_count != NULL)
        *out_count = count;
    return slb_audited(pool, SLABBY_AUDIT_OPERATION_RECLAIM, 0, SLABBY_OK);
}

SLB_PUBLIC slabby_status slabby_resize(uint64_t *out_awaited, slabby_allocator *allocator, uint64_t capacity,
                                       slabby_error *out_error) {
    SLB_HOLD_HANDLE(allocator);
    struct slabby_allocator *pool = slb_pool_of(allocator);
    uint64_t awaited = 0;
    if (pool == NULL || !slb_pool_exists(pool))
        return slb_error_set(out_error, pool == NULL ? SLABBY_INVALID_ARGUMENT : slb_pool_closed_status(pool),
                             0, 0, 0, 0, "no open pool has this handle");
    slb_fork_check(pool);
    slabby_status status = slb_resize(pool, capacity, &awaited, out_error);
    if (status != SLABBY_OK)
        (void)slb_refuse(pool, status);
    else if (out_awaited != NULL)
        *out_awaited = awaited;
    return slb_audited(pool, SLABBY_AUDIT_OPERATION_RESIZE, capacity, status);
}

SLB_PUBLIC slabby_status slabby_size(uint64_t *out_size, slabby_allocator *allocator) {
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL || out_size == NULL)
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    *out_size = pool->slab_size;
    return SLABBY_OK;
}
