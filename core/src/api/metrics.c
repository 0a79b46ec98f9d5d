/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The open pools of the process, and their metrics. */
#include "api/call.h"
#include "observe/exposition.h"
#include "observe/health.h"
#include "resilience/conditions.h"
#include "status.h"

#include <stdlib.h>
#include <string.h>

static void store_label(char *out, const struct slabby_allocator *pool) {
    struct slb_text label = {.buffer = out, .capacity = SLB_POOL_LABEL_SIZE};
    slb_pool_label_add(&label, pool);
}

/* --------------------------------------------------------------------------------------------------- pools */

SLB_PUBLIC slabby_status slabby_pools_next(slabby_pool_info *out_pool, uint64_t *out_count,
                                           uint64_t *cursor) {
    slabby_pool_info info;
    if (out_pool == NULL || out_count == NULL || cursor == NULL)
        return SLABBY_INVALID_ARGUMENT;
    if (out_pool->struct_size < 8)
        return SLABBY_ABI_MISMATCH;
    memset(&info, 0, sizeof info);
    slb_pool_table_lock(); /* no entry gets another pool meanwhile */
    uint64_t end = slb_pool_table_end(), at = *cursor > 0 ? *cursor : 1;
    while (at < end && !slb_pool_is_open(&slb_pool_table[at].pool))
        at++;
    if (at < end) {
        struct slabby_allocator *pool = &slb_pool_table[at].pool;
        info.allocator_address = (uint64_t)(uintptr_t)pool;
        memcpy(info.name, pool->options.name, sizeof pool->options.name);
        store_label(info.label, pool);
    }
    slb_pool_table_unlock();
    *out_count = at < end;
    *cursor = at < end ? at + 1 : at;
    return at < end ? slb_copy_out(out_pool, &info, sizeof info) : SLABBY_OK;
}

SLB_PUBLIC slabby_status slabby_pool_label(char *buffer, uint64_t capacity, uint64_t *out_length,
                                           slabby_allocator *allocator) {
    struct slb_text text = {.buffer = buffer, .capacity = capacity};
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool == NULL || (buffer == NULL && capacity > 0))
        return pool == NULL ? status : SLABBY_INVALID_ARGUMENT;
    slb_pool_label_add(&text, pool);
    return slb_text_end(&text, out_length);
}

/* ------------------------------------------------------------------------------------------------- metrics */

/* In a hold of a pool that exists. */
static void take_values(struct slabby_allocator *pool, struct slb_metric_values *out, uint64_t *buckets) {
    struct slb_conditions conditions = slb_conditions_of(pool);
    slb_health_values(pool, &conditions, &out->health, &out->stats);
    slb_histogram_fill(pool, buckets, &out->histogram);
    store_label(out->label, pool);
}

static slabby_status take_one(slabby_allocator *allocator, struct slb_metric_values *out, uint64_t *buckets) {
    SLB_HOLD_HANDLE(allocator);
    slabby_status status;
    struct slabby_allocator *pool = slb_existing(allocator, &status);
    if (pool != NULL)
        take_values(pool, out, buckets);
    return status;
}

/* The lists of a child process are rebuilt first: that may call a logger, so not under the lock. */
static uint64_t count_open_pools(void) {
    uint64_t count = 0, end = slb_pool_table_end();
    for (uint64_t at = 1; at < end; at++) {
        struct slabby_allocator *pool = &slb_pool_table[at].pool;
        if (!slb_pool_is_open(pool))
            continue;
        slb_fork_check(pool);
        count++;
    }
    return count;
}

/* Up to `space` pools; those that were opened after they were counted may be left out. */
static uint64_t take_all(struct slb_metric_values *values, uint64_t space) {
    uint64_t buckets[SLB_LATENCY_BUCKETS];
    uint64_t count = 0, end = slb_pool_table_end();
    for (uint64_t at = 1; at < end && count < space; at++) {
        struct slabby_allocator *pool = &slb_pool_table[at].pool;
        if (!slb_pool_is_open(pool))
            continue;
        SLB_HOLD(pool);
        if (slb_pool_is_open(pool))
            take_values(pool, &values[count++], buckets);
    }
    return count;
}

static slabby_status write_all(struct slb_text *text) {
    uint64_t space = count_open_pools();
    struct slb_metric_values *values = malloc((space + 1) * sizeof *values);
    if (values == NULL)
        return SLABBY_NO_SYSTEM_MEMORY;
    slb_exposition_write(text, values, take_all(values, space));
    free(values);
    return SLABBY_OK;
}

static slabby_status write_one(struct slb_text *text, slabby_allocator *allocator) {
    uint64_t buckets[SLB_LATENCY_BUCKETS];
    struct slb_metric_values values;
    slabby_status status = take_one(allocator, &values, buckets);
    if (status == SLABBY_OK)
        slb_exposition_write(text, &values, 1);
    return status;
}

SLB_PUBLIC slabby_status slabby_metrics_text(char *buffer, uint64_t capacity, uint64_t *out_length,
                                             slabby_allocator *one_or_all) {
    struct slb_text text = {.buffer = buffer, .capacity = capacity};
    if (buffer == NULL && capacity > 0)
        return SLABBY_INVALID_ARGUMENT;
    slabby_status status = one_or_all == NULL ? write_all(&text) : write_one(&text, one_or_all);
    return status == SLABBY_OK ? slb_text_end(&text, out_length) : status;
}

SLB_PUBLIC slabby_status slabby_metrics_read(slabby_sample *out_samples, uint64_t *out_count,
                                             uint64_t allocator_address, uint64_t capacity) {
    uint64_t buckets[SLB_LATENCY_BUCKETS];
    struct slb_metric_values values;
    if (out_count == NULL || (out_samples == NULL && capacity > 0))
        return SLABBY_INVALID_ARGUMENT;
    if (capacity > 0 && out_samples[0].struct_size < 8)
        return SLABBY_ABI_MISMATCH;
    slabby_status status = take_one((slabby_allocator *)(uintptr_t)allocator_address, &values, buckets);
    if (status == SLABBY_OK)
        *out_count = slb_samples_write(out_samples, capacity, &values, buckets);
    return status;
}
