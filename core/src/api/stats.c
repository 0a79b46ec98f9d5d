/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a pool says of itself in numbers: statistics, memory, health. */
#include "api/call.h"
#include "observe/health.h"
#include "observe/json.h"
#include "pool/memory_report.h"
#include "resilience/breaker.h"
#include "resilience/degrade.h"
#include "slabby_contract.h"
#include "status.h"

/* Brings breaker and degradation up to date, so that the report shows what the next caller would meet. */
static void poll_state(struct slabby_allocator *pool) {
    slb_breaker_poll(pool);
    if (slb_degrade_is_on(pool))
        slb_degrade_poll(pool);
}

SLB_PUBLIC slabby_status slabby_get_stats(slabby_stats *out_stats, slabby_allocator *allocator) {
    slabby_status status;
    slabby_stats stats;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL || out_stats == NULL)
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    poll_state(pool);
    slb_stats_fill(pool, &stats);
    return slb_copy_out(out_stats, &stats, sizeof stats);
}

SLB_PUBLIC slabby_status slabby_stats_json(char *buffer, uint64_t capacity, uint64_t *out_length,
                                           slabby_allocator *allocator) {
    struct slb_text text = {.buffer = buffer, .capacity = capacity};
    slabby_stats stats;
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL || (buffer == NULL && capacity > 0))
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    poll_state(pool);
    slb_stats_fill(pool, &stats);
    slb_json_object(&text, slb_stats_fields, SLB_STATS_FIELD_COUNT, &stats);
    return slb_text_end(&text, out_length);
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
    poll_state(pool);
    slb_health_fill(pool, &health);
    return slb_copy_out(out_health, &health, sizeof health);
}

SLB_PUBLIC slabby_status slabby_health_json(char *buffer, uint64_t capacity, uint64_t *out_length,
                                            slabby_allocator *allocator) {
    struct slb_text text = {.buffer = buffer, .capacity = capacity};
    slabby_health health;
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL || (buffer == NULL && capacity > 0))
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    poll_state(pool);
    slb_health_fill(pool, &health);
    slb_json_object(&text, slb_health_fields, SLB_HEALTH_FIELD_COUNT, &health);
    return slb_text_end(&text, out_length);
}

SLB_PUBLIC slabby_status slabby_health_tick(slabby_allocator *allocator) {
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool != NULL)
        slb_health_tick(pool);
    if (pool != NULL)
        poll_state(pool);
    return status;
}
