/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Uses by id are counted beside the header of a cache: each once, and none as a use by reference. */
#include "scenarios.h"

#include "tasks.h"
#include "world.h"

/* Two are free, in the cache of CPU 0; the others were taken by reference. */
static void two_in_a_cache(void) {
    world_make(64, 16, SLABBY_CPU_CACHE_BACKEND_RSEQ, NULL);
    world_take(16);
    world_release(world.held[0]);
    world_release(world.held[1]);
}

static void two_without_caches(void) {
    world_make(64, 16, SLABBY_CPU_CACHE_BACKEND_RSEQ, WITH({SLABBY_OPTION_PER_CPU_CACHE, 0}));
    world_take(16);
    world_release(world.held[0]);
    world_release(world.held[1]);
}

static void allocate_and_release_by_id(void) {
    uint32_t id;
    void *data;

    EXPECT(slabby_allocate_fast(&data, &id, world.pool) == SLABBY_OK, "no slab by id, although two are free");
    EXPECT(slabby_deallocate_fast(world.pool, id) == SLABBY_OK, "a slab by id did not go back");
}

static slabby_stats check_references(void) {
    slabby_stats stats = {.struct_size = sizeof stats};

    EXPECT(slabby_get_stats(&stats, world.pool) == SLABBY_OK, "get_stats failed");
    EXPECT(stats.ref_pool_hits <= 16, "%llu were allocated by reference, not 16",
           (unsigned long long)stats.ref_pool_hits);
    return stats;
}

static void count_references(void) {
    (void)check_references();
}

/* As they are counted. Statistics hide what would be more releases than allocations. */
static uint64_t releases_by_id(void) {
    uint64_t count = 0;

    for (uint32_t cpu = 0; cpu < 2; cpu++) {
        count += world.pool->stripes[cpu].fast_given;
        if (world.pool->cache_max != 0)
            count += world.pool->caches[cpu].cache.fast_given;
    }
    return count;
}

static void expect_uses(uint64_t uses) {
    slabby_stats stats = check_references();

    EXPECT(releases_by_id() == uses, "%llu releases by id were counted, not %llu",
           (unsigned long long)releases_by_id(), (unsigned long long)uses);
    EXPECT(stats.fast_allocations == uses && stats.fast_deallocations == uses,
           "%llu were allocated and %llu released by id, not %llu",
           (unsigned long long)stats.fast_allocations, (unsigned long long)stats.fast_deallocations,
           (unsigned long long)uses);
    EXPECT(stats.ref_pool_hits == 16, "%llu were allocated by reference in the end, not 16",
           (unsigned long long)stats.ref_pool_hits);
    world_check();
}

static void one_use(void) {
    expect_uses(1);
}

static void two_uses(void) {
    expect_uses(2);
}

/* ------------------------------------------------------------------------------------------- the scenarios */

const struct scenario by_id_scenarios[] = {
    {.name = "by_id_and_by_id_rseq",
     .says = "two threads of one CPU use slabs by id: each is counted once, wherever one stops",
     .prepare = two_in_a_cache,
     .task = {allocate_and_release_by_id, allocate_and_release_by_id},
     .cpu = {0, 0},
     .check = two_uses,
     .preemptions = 3},
    {.name = "by_id_and_gate_rseq",
     .says = "the gate closes and restarts a use by id: it is counted once all the same",
     .prepare = two_in_a_cache,
     .task = {allocate_and_release_by_id, close_and_open},
     .cpu = {0, 1},
     .check = one_use,
     .preemptions = 2},
    {.name = "by_id_observed_rseq",
     .says = "statistics beside a use by id: no use by reference is seen that never was",
     .prepare = two_in_a_cache,
     .task = {allocate_and_release_by_id, count_references},
     .cpu = {0, 1},
     .check = one_use,
     .preemptions = 2},
    {.name = "by_id_observed_without_caches",
     .says = "the same in a pool without CPU caches",
     .prepare = two_without_caches,
     .task = {allocate_and_release_by_id, count_references},
     .cpu = {0, 1},
     .check = one_use,
     .preemptions = 2},
    {.name = NULL},
};
