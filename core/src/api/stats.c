/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The numbers that a pool reports about itself: statistics, memory, health. */
#include "api/call.h"
#include "observe/health.h"
#include "observe/json.h"
#include "pool/memory_report.h"
#include "resilience/conditions.h"
#include "slabby_contract.h"
#include "status.h"

SLB_PUBLIC slabby_status slabby_get_stats(slabby_stats *out_stats, slabby_allocator *allocator) {
    SLB_HOLD_HANDLE(allocator);
    slabby_status status;
    slabby_stats stats;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL || out_stats == NULL)
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    struct slb_conditions conditions = slb_conditions_of(pool);
    slb_stats_fill(pool, &conditions, &stats);
    return slb_copy_out(out_stats, &stats, sizeof stats);
}

SLB_PUBLIC slabby_status slabby_stats_json(char *buffer, uint64_t capacity, uint64_t *out_length,
                                           slabby_allocator *allocator) {
    SLB_HOLD_HANDLE(allocator);
    struct slb_text text = {.buffer = buffer, .capacity = capacity};
    slabby_stats stats;
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL || (buffer == NULL && capacity > 0))
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    struct slb_conditions conditions = slb_conditions_of(pool);
    slb_stats_fill(pool, &conditions, &stats);
    slb_json_object(&text, slb_stats_fields, SLB_STATS_FIELD_COUNT, &stats);
    return slb_text_end(&text, out_length);
}

SLB_PUBLIC slabby_status slabby_get_memory(slabby_memory *out_memory, slabby_allocator *allocator) {
    SLB_HOLD_HANDLE(allocator);
    slabby_status status;
    slabby_memory memory;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL || out_memory == NULL)
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    slb_memory_fill(pool, &memory);
    return slb_copy_out(out_memory, &memory, sizeof memory);
}

SLB_PUBLIC slabby_status slabby_memory_json(char *buffer, uint64_t capacity, uint64_t *out_length,
                                            slabby_allocator *allocator) {
    SLB_HOLD_HANDLE(allocator);
    struct slb_text text = {.buffer = buffer, .capacity = capacity};
    slabby_memory memory;
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL || (buffer == NULL && capacity > 0))
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    slb_memory_fill(pool, &memory);
    slb_json_object(&text, slb_memory_fields, SLB_MEMORY_FIELD_COUNT, &memory);
    return slb_text_end(&text, out_length);
}

SLB_PUBLIC slabby_status slabby_get_health(slabby_health *out_health, slabby_allocator *allocator) {
    SLB_HOLD_HANDLE(allocator);
    slabby_status status;
    slabby_health health;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL || out_health == NULL)
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    struct slb_conditions conditions = slb_conditions_of(pool);
    slb_health_fill(pool, &conditions, &health);
    return slb_copy_out(out_health, &health, sizeof health);
}

SLB_PUBLIC slabby_status slabby_health_json(char *buffer, uint64_t capacity, uint64_t *out_length,
                                            slabby_allocator *allocator) {
    SLB_HOLD_HANDLE(allocator);
    struct slb_text text = {.buffer = buffer, .capacity = capacity};
    slabby_health health;
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL || (buffer == NULL && capacity > 0))
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    struct slb_conditions conditions = slb_conditions_of(pool);
    slb_health_fill(pool, &conditions, &health);
    slb_json_object(&text, slb_health_fields, SLB_HEALTH_FIELD_COUNT, &health);
    return slb_text_end(&text, out_length);
}

SLB_PUBLIC slabby_status slabby_health_tick(slabby_allocator *allocator) {
    SLB_HOLD_HANDLE(allocator);
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool != NULL)
        slb_conditions_tick(pool);
    return status;
}
