/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "world.h"

#include "trace.h"

#include "of_thread.h"
#include "tiers/section.h"
#include "tiers/word_bias.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

/* The turns of the tasks: the first is no thread's. */
enum { TURNS = 1 + MOST_TASKS };

struct world world;
bool world_joins_late;

const char *world_text(slabby_status status) {
    return slabby_status_name(status);
}

static void expect_ok(slabby_status status, const char *what) {
    EXPECT(status == SLABBY_OK, "%s answered %s", what, world_text(status));
}

/* ------------------------------------------------------------------------------------------------ preparing */

void world_make(uint64_t slab_size, uint64_t capacity, int32_t backend,
                const struct world_setting *settings) {
    slabby_options *options;
    slabby_error error = {.struct_size = sizeof error};

    memset(&world, 0, sizeof world);
    memset(slb_sections, 0, 2 * sizeof slb_sections[0]);
    memset(slb_section_turns, 0, TURNS * sizeof slb_section_turns[0]);
    expect_ok(slabby_options_create(&options), "slabby_options_create");
    expect_ok(slabby_options_set(options, SLABBY_OPTION_SHARDS, 1, &error), "shards");
    expect_ok(
        slabby_options_set(options, SLABBY_OPTION_LATENCY_TRACKING, SLABBY_LATENCY_TRACKING_OFF, &error),
        "latency_tracking");
    expect_ok(slabby_options_set(options, SLABBY_OPTION_CPU_CACHE_BACKEND, backend, &error),
              "cpu_cache_backend");
    for (; settings != NULL && settings->option != 0; settings++)
        expect_ok(slabby_options_set(options, settings->option, settings->value, &error), error.text);
    if (slabby_create(&world.pool, slab_size, capacity, options, &error) != SLABBY_OK)
        schedule_broken("slabby_create: %s", error.text);
    slabby_options_destroy(options);
    if (!world_joins_late)
        slb_cpu_join(world.pool, 1);
    schedule_restores(&world, sizeof world);
    schedule_restores((void *)&slb_fence_budget, sizeof slb_fence_budget);
    schedule_restores(slb_sections, 2 * sizeof slb_sections[0]);
    schedule_restores(slb_section_turns, TURNS * sizeof slb_section_turns[0]);
    schedule_restores(world.pool, SLB_POOL_BYTES);
    schedule_restores(world.pool->metadata_mapping, world.pool->metadata_mapping_size);
    schedule_restores(world.pool->slab_base, world.pool->slab_range);
    schedule_slabs(world.pool->slab_base, world.pool->reserved * world.pool->stride, world.pool->stride);
}

void world_take(uint32_t count) {
    for (; count != 0; count--) {
        slabby_ref ref = world_allocate(NULL);

        EXPECT(ref != 0 && world.holds < MOST_HELD, "prepare cannot take slab %u", world.holds);
        world.held[world.holds++] = ref;
    }
}

/* The inline path takes the slab from the cache. The first comes from a shard, and the cache's first is taken on the
 * way of those that are timed. */
void world_make_biased(void) {
    uint64_t word;

    world_make(64, 16, SLABBY_CPU_CACHE_BACKEND_RSEQ, NULL);
    for (int i = 0; i < 2; i++) {
        world_take(1);
        world_release(world.held[0]);
        world.holds = 0;
    }
    world_take(1);
    word = world.pool->words[(world.held[0] - world.pool->ref_bias) & world.pool->id_mask];
    EXPECT(slb_word_is_biased(word) && slb_word_bias_cpu(word) == 0,
           "prepare: the slab is not biased to CPU 0");
}

/* Its memory is the C library's, which tells the size. */
void world_listen(void) {
    slabby_error error = {.struct_size = sizeof error};
    int32_t notifier;

    if (slabby_listener_create(&world.listener, &notifier, world.pool, &error) != SLABBY_OK)
        schedule_broken("slabby_listener_create: %s", error.text);
    schedule_restores(world.listener, malloc_usable_size(world.listener));
    schedule_restores((void *)(uintptr_t)&schedule_notifier_signals, sizeof schedule_notifier_signals);
}

void world_bias_section(void) {
    slb_sections[0].owner = of_thread_number(0);
}

void world_flush(void) {
    slb_test_gate_cycle(world.pool);
}

/* ------------------------------------------------------------------------------------------------ ownership */

void world_set_flag(void) {
    schedule_access(&world.flag[schedule_task()], ACCESS_WRITE, __builtin_return_address(0));
    world.flag[schedule_task()] = true;
}

bool world_flag(uint32_t task) {
    schedule_access(&world.flag[task], ACCESS_READ, __builtin_return_address(0));
    return world.flag[task];
}

slabby_ref world_read(const void *data) {
    slabby_ref found;

    schedule_access(data, ACCESS_READ, __builtin_return_address(0));
    memcpy(&found, data, sizeof found);
    return found;
}

void world_write(void *data, slabby_ref value) {
    schedule_access(data, ACCESS_WRITE, __builtin_return_address(0));
    memcpy(data, &value, sizeof value);
}

void world_own(slabby_ref ref, void *data) {
    uint32_t id = (uint32_t)((ref - world.pool->ref_bias) & world.pool->id_mask);

    EXPECT(id < MOST_HELD && id < world.pool->reserved, "slab %u is none of the pool's", id);
    EXPECT(world.out[id] == 0, "slab %u is in two hands", id);
    world.out[id] = ref;
    world_write(data, ref);
}

void world_disown(slabby_ref ref) {
    uint32_t id = (uint32_t)((ref - world.pool->ref_bias) & world.pool->id_mask);
    slabby_ref found;

    EXPECT(world.out[id] == ref, "slab %u changed hands while it was held", id);
    found = world_read(world.pool->slabs + id * world.pool->stride);
    EXPECT(found == ref, "slab %u lost its owner's bytes", id);
    world.out[id] = 0;
}

slabby_ref world_allocate(slabby_status *out_status) {
    slabby_ref ref = 0;
    void *data;
    slabby_status status = slabby_allocate(&ref, &data, world.pool);

    if (out_status != NULL)
        *out_status = status;
    if (status != SLABBY_OK)
        return 0;
    world_own(ref, data);
    return ref;
}

void world_release(slabby_ref ref) {
    world_disown(ref);
    expect_ok(slabby_release(world.pool, ref), "slabby_release");
}

/* ------------------------------------------------------------------------------------------------- checking */

static uint64_t count_out(void) {
    uint64_t count = 0;

    for (uint32_t id = 0; id < MOST_HELD; id++)
        count += world.out[id] != 0;
    return count;
}

void world_check(void) {
    slabby_finding findings[4];
    uint64_t found = 0, out = count_out(), capacity = slb_capacity(world.pool);
    uint64_t left = out < capacity ? capacity - out : 0;
    slabby_stats stats = {.struct_size = sizeof stats};
    slabby_status status;

    for (uint32_t i = 0; i < 4; i++)
        findings[i].struct_size = sizeof findings[i];
    expect_ok(slabby_verify(findings, &found, world.pool, 4), "slabby_verify");
    EXPECT(found == 0, "verify: %s", findings[0].text);
    expect_ok(slabby_get_stats(&stats, world.pool), "slabby_get_stats");
    EXPECT(stats.used_slabs == out, "%llu slabs are out, %llu are held", (unsigned long long)stats.used_slabs,
           (unsigned long long)out);
    EXPECT(stats.awaited_slabs == (out > capacity ? out - capacity : 0), "%llu slabs are awaited",
           (unsigned long long)stats.awaited_slabs);
    for (uint64_t i = 0; i < left; i++)
        EXPECT(world_allocate(&status) != 0, "free slab %llu of %llu cannot be had: %s",
               (unsigned long long)i + 1, (unsigned long long)left, world_text(status));
    EXPECT(world_allocate(&status) == 0 && status == SLABBY_OUT_OF_MEMORY, "one slab more than there are: %s",
           world_text(status));
}

/* --------------------------------------------------------------------------------------------------- names */

struct member {
    const char *name;
    size_t offset;
};

#define MEMBER(type, field)                                                                                  \
    { #field, offsetof(type, field) }

static const struct member pool_members[] = {MEMBER(struct slabby_allocator, gate.reasons),
                                             MEMBER(struct slabby_allocator, phase),
                                             MEMBER(struct slabby_allocator, gate.epoch),
                                             MEMBER(struct slabby_allocator, gate.lock),
                                             MEMBER(struct slabby_allocator, gate.deferred_pending),
                                             MEMBER(struct slabby_allocator, gate.scarce_free),
                                             MEMBER(struct slabby_allocator, protect),
                                             MEMBER(struct slabby_allocator, first_waiter),
                                             MEMBER(struct slabby_allocator, last_waiter),
                                             MEMBER(struct slabby_allocator, waiters)};

static const struct member stripe_members[] = {
    MEMBER(struct slb_stripe, entered),       MEMBER(struct slb_stripe, left),
    MEMBER(struct slb_stripe, moves_started), MEMBER(struct slb_stripe, moves_finished),
    MEMBER(struct slb_stripe, cache_in),      MEMBER(struct slb_stripe, cache_out),
    MEMBER(struct slb_stripe, releases)};

static const char *member_at(const struct member *members, size_t count, size_t offset) {
    for (size_t i = 0; i < count; i++)
        if (members[i].offset == offset)
            return members[i].name;
    return NULL;
}

/* The number of an array's element that holds a place, or -1. */
static int64_t element(const void *array, size_t size, size_t count, uintptr_t location) {
    uintptr_t start = (uintptr_t)array;

    return location < start || location >= start + size * count ? -1 : (int64_t)((location - start) / size);
}

void world_name(char *text, size_t size, const volatile void *location) {
    struct slabby_allocator *pool = world.pool;
    uintptr_t at = (uintptr_t)location;
    size_t offset = at - (uintptr_t)pool;
    const char *name = NULL;
    int64_t i;

    snprintf(text, size, "%p", (void *)at);
    if (offset < SLB_POOL_BYTES) {
        name = member_at(pool_members, sizeof pool_members / sizeof *pool_members, offset);
        if (name != NULL)
            snprintf(text, size, "%s", name);
        else
            snprintf(text, size, "pool + %zu", offset);
    } else if ((i = element(pool->words, sizeof(uint64_t), pool->reserved, at)) >= 0) {
        snprintf(text, size, "words[%d]", (int)i);
    } else if ((i = element(pool->next, sizeof(uint32_t), pool->reserved, at)) >= 0) {
        snprintf(text, size, "next[%d]", (int)i);
    } else if ((i = element(pool->slab_base, pool->stride, pool->reserved, at)) >= 0) {
        snprintf(text, size, "slab %d", (int)i);
    } else if ((i = element(pool->shards, sizeof(struct slb_shard), pool->shard_mask + 1u, at)) >= 0) {
        snprintf(text, size, "shards[%d] + %d", (int)i, (int)(at - (uintptr_t)&pool->shards[i]));
    } else if ((i = element(pool->stripes, sizeof(struct slb_stripe), pool->cpus, at)) >= 0) {
        offset = at - (uintptr_t)&pool->stripes[i];
        name = member_at(stripe_members, sizeof stripe_members / sizeof *stripe_members, offset);
        snprintf(text, size, "stripes[%d].%s", (int)i, name == NULL ? "other" : name);
    } else if (pool->cache_max != 0 &&
               (i = element(pool->caches, sizeof(union slb_cpu_cache_entry), pool->cpus, at)) >= 0) {
        offset = at - (uintptr_t)&pool->caches[i];
        snprintf(text, size,
                 offset == offsetof(struct slb_cpu_cache, header) ? "caches[%d].header" : "caches[%d] + %d",
                 (int)i, (int)offset);
    } else if (pool->return_caches != pool->caches &&
               (i = element(pool->return_caches, sizeof(union slb_cpu_cache_entry), pool->cpus, at)) >= 0) {
        snprintf(text, size, "return_caches[%d] + %d", (int)i,
                 (int)(at - (uintptr_t)&pool->return_caches[i]));
    } else if ((i = element(pool->depot.heads, sizeof *pool->depot.heads, 1, at)) >= 0) {
        snprintf(text, size, "depot + %d", (int)(at - (uintptr_t)pool->depot.heads));
    }
}
