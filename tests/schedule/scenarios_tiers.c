/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Ids on their way between caches, depot and shards, while somebody closes the gate and asks whether there are none:
 * every slab is in one place, and none is denied (law 1). */
#include "scenarios.h"

#include "tasks.h"
#include "world.h"

#include "tiers/delay_queue.h"

/* -------------------------------------------------------------------------------- refill against drain */

/* Batches of two: 16 slabs a CPU, four in a cache. Two are left, in a shard. */
static void two_in_a_shard(int32_t backend) {
    world_make(64, 32, backend, NULL);
    world_take(30);
    world_flush();
}

static void two_in_a_shard_portable(void) {
    two_in_a_shard(SLABBY_CPU_CACHE_BACKEND_PORTABLE);
}

static void two_in_a_shard_rseq(void) {
    two_in_a_shard(SLABBY_CPU_CACHE_BACKEND_RSEQ);
}

/* Five come back to a cache for four: one batch of two goes to the depot. The rest is taken again. */
static void two_in_the_depot(void) {
    world_make(64, 32, SLABBY_CPU_CACHE_BACKEND_PORTABLE, NULL);
    world_take(32);
    for (int i = 0; i < 5; i++)
        world_release(world.held[i]);
    world_take(3);
    EXPECT((uint32_t)world.pool->depot.heads->full != 0, "prepare left no batch in the depot");
}

/* --------------------------------------------------------------------------------- flush against drain */

/* The cache of CPU 0 holds four and is full; one more is out and comes back. */
static void full_cache(void) {
    world_make(64, 32, SLABBY_CPU_CACHE_BACKEND_PORTABLE, NULL);
    world_take(32);
    for (int i = 0; i < 4; i++)
        world_release(world.held[i]);
}

static void release_a_fifth(void) {
    world_release(world.held[4]);
}

static void allocate_four(void) {
    slabby_ref refs[4];
    void *datas[4];
    slabby_status status = slabby_allocate_batch(refs, datas, world.pool, 4);

    EXPECT(status == SLABBY_OK, "a batch of four answered %s although four are free", world_text(status));
    for (int i = 0; i < 4; i++)
        world_own(refs[i], datas[i]);
}

/* -------------------------------------------------------------------------------- commit against lock */

/* One slab is free, in the cache of CPU 0, which holds one at most. */
static void one_in_a_cache(int32_t backend) {
    world_make(64, 8, backend, NULL);
    world_take(8);
    world_release(world.held[0]);
}

static void one_in_a_cache_portable(void) {
    one_in_a_cache(SLABBY_CPU_CACHE_BACKEND_PORTABLE);
}

static void one_in_a_cache_rseq(void) {
    one_in_a_cache(SLABBY_CPU_CACHE_BACKEND_RSEQ);
}

static void two_in_a_cache(int32_t backend) {
    world_make(64, 16, backend, NULL);
    world_take(16);
    world_release(world.held[0]);
    world_release(world.held[1]);
}

static void two_in_a_cache_portable(void) {
    two_in_a_cache(SLABBY_CPU_CACHE_BACKEND_PORTABLE);
}

static void two_in_a_cache_rseq(void) {
    two_in_a_cache(SLABBY_CPU_CACHE_BACKEND_RSEQ);
}

/* Ids by the gate through the shards, while others take and give. */
static void two_free_and_scarce(void) {
    slabby_status status;

    world_make(64, 8, SLABBY_CPU_CACHE_BACKEND_PORTABLE, NULL);
    world_take(8);
    EXPECT(world_allocate(&status) == 0, "prepare took one slab more than there are");
    world_release(world.held[0]);
    world_release(world.held[2]);
}

static void three_in_a_shard(void) {
    world_make(64, 3, SLABBY_CPU_CACHE_BACKEND_PORTABLE, NULL);
    world_take(3);
    for (int i = 0; i < 3; i++)
        world_release(world.held[i]);
}

/* Two out of three: the stack's head comes back to where it was. */
static void take_two_give_one(void) {
    slabby_ref first = world_allocate(NULL), second = world_allocate(NULL);

    if (first != 0)
        world_release(first);
    (void)second;
}

static void try_to_allocate(void) {
    slabby_status status;

    if (world_allocate(&status) == 0)
        EXPECT(status == SLABBY_OUT_OF_MEMORY, "allocate answered %s", world_text(status));
}

/* --------------------------------------------------------------------------------------- queue and batches */

/* One waits in the queue of reuse_delay, which keeps two; another is out. */
static void one_is_delayed(void) {
    world_make(64, 2, SLABBY_CPU_CACHE_BACKEND_PORTABLE, WITH({SLABBY_OPTION_REUSE_DELAY, 2}));
    world_take(2);
    world_release(world.held[0]);
}

/* The same in a ring of one cell: a release takes its turn. With a cache and a ring for each CPU, and without. */
static void queue_is_full(int32_t backend, uint64_t capacity) {
    world_make(64, capacity, backend, WITH({SLABBY_OPTION_REUSE_DELAY, 1}));
    world_take((uint32_t)capacity);
    world_release(world.held[0]);
}

static void queue_is_full_portable(void) {
    queue_is_full(SLABBY_CPU_CACHE_BACKEND_PORTABLE, 3);
}

static void queue_is_full_rseq(void) {
    queue_is_full(SLABBY_CPU_CACHE_BACKEND_RSEQ, 8);
}

static void release_the_third(void) {
    world_release(world.held[2]);
}

/* Two wait in one ring for both CPUs, which has two cells; the others are out. */
static void two_are_delayed(int32_t backend, uint32_t capacity) {
    world_make(64, capacity, backend, WITH({SLABBY_OPTION_REUSE_DELAY, 2}));
    EXPECT(world.pool->delay.ring_mask == 0, "the pool has more than one ring");
    world_take(capacity);
    world_release(world.held[0]);
    world_release(world.held[1]);
}

static void two_are_delayed_portable(void) {
    two_are_delayed(SLABBY_CPU_CACHE_BACKEND_PORTABLE, 3);
}

static void two_are_delayed_rseq(void) {
    two_are_delayed(SLABBY_CPU_CACHE_BACKEND_RSEQ, 8);
}

static void release_two(void) {
    world_release(world.held[2 + 2 * schedule_task()]);
    world_release(world.held[3 + 2 * schedule_task()]);
}

static bool waits(slabby_ref ref) {
    for (uint64_t n = 0; n < slb_delay_cells(world.pool); n++) {
        uint32_t id;

        if (slb_delay_at(world.pool, n, &id) && id == ((ref - world.pool->ref_bias) & world.pool->id_mask))
            return true;
    }
    return false;
}

/* Of 2 and 3 by one task, 4 and 5 by the other, whichever two came last. */
static void the_last_two_wait(void) {
    bool third = waits(world.held[3]), fifth = waits(world.held[5]);

    EXPECT(!waits(world.held[0]) && !waits(world.held[1]), "a slab still waits behind four others");
    EXPECT(third + fifth + waits(world.held[2]) + waits(world.held[4]) == 2, "not just two slabs wait");
    EXPECT(third || fifth, "the last slab does not wait");
    EXPECT(!(third && waits(world.held[4])) && !(fifth && waits(world.held[2])),
           "the last but one does not wait");
    world_check();
}

/* What the releases leave for it is withdrawn before or after it asks. */
static void resize_to_one(void) {
    slabby_error error = {.struct_size = sizeof error};
    uint64_t awaited;

    EXPECT(slabby_resize(&awaited, world.pool, 1, &error) == SLABBY_OK, "slabby_resize: %s", error.text);
}

static void one_stays_in_service(void) {
    EXPECT((world.pool->gate.reasons & SLB_GATE_SHRINKING) == 0, "the gate still waits for slabs to give up");
    world_check();
}

static void four_in_a_shard(void) {
    world_make(64, 4, SLABBY_CPU_CACHE_BACKEND_PORTABLE, NULL);
    world_take(4);
    for (int i = 0; i < 4; i++)
        world_release(world.held[i]);
}

static void three_of_four(void) {
    four_in_a_shard();
    world_take(1);
}

static slabby_status allocate_two(void) {
    slabby_ref refs[2];
    void *datas[2];
    slabby_status status = slabby_allocate_batch(refs, datas, world.pool, 2);

    for (int i = 0; i < 2 && status == SLABBY_OK; i++)
        world_own(refs[i], datas[i]);
    return status;
}

static void allocate_two_and_keep(void) {
    slabby_status status = allocate_two();

    EXPECT(status == SLABBY_OK, "a batch of two answered %s although four are free", world_text(status));
}

static void try_to_allocate_two(void) {
    slabby_status status = allocate_two();

    EXPECT(status == SLABBY_OK || status == SLABBY_OUT_OF_MEMORY, "a batch answered %s", world_text(status));
}

/* Three are out, biased to CPU 0, whose cache holds one more. */
static void three_are_biased(void) {
    world_make(64, 32, SLABBY_CPU_CACHE_BACKEND_RSEQ, NULL);
    for (int i = 0; i < 2; i++) { /* the first is served from a shard */
        world_take(4);
        for (uint32_t k = 0; k < world.holds; k++)
            world_release(world.held[k]);
        world.holds = 0;
    }
    world_take(3);
}

/* The same, but the cache holds three of the four that it takes. */
static void three_are_biased_by_a_full_cache(void) {
    three_are_biased();
    world_take(2);
    world_release(world.held[3]);
    world_release(world.held[4]);
    world.holds = 3;
}

/* The middle one belongs to the other task too. */
static void release_three_at_once(void) {
    uint64_t released = 0;

    world_disown(world.held[0]);
    world_disown(world.held[2]);
    world.status[0] = slabby_release_batch(&released, world.pool, world.held, 3);
    EXPECT(released == (world.status[0] == SLABBY_OK ? 3 : 2), "%llu of three were released",
           (unsigned long long)released);
}

static void release_the_middle(void) {
    world.status[1] = slabby_release(world.pool, world.held[1]);
}

static void middle_is_released_once(void) {
    uint64_t id = (world.held[1] - world.pool->ref_bias) & world.pool->id_mask;

    EXPECT((world.status[0] == SLABBY_OK) != (world.status[1] == SLABBY_OK),
           "two releases of one reference answered %s and %s", world_text(world.status[0]),
           world_text(world.status[1]));
    world.out[id] = 0;
    world_check();
}

static void take_two_at_once_and_release(void) {
    slabby_ref refs[2];
    void *datas[2];
    uint64_t released = 0;
    slabby_status status = slabby_allocate_batch(refs, datas, world.pool, 2);

    EXPECT(status == SLABBY_OK, "a batch of two answered %s although many are free", world_text(status));
    for (int i = 0; i < 2; i++)
        world_own(refs[i], datas[i]);
    for (int i = 0; i < 2; i++)
        world_disown(refs[i]);
    status = slabby_release_batch(&released, world.pool, refs, 2);
    EXPECT(status == SLABBY_OK && released == 2, "the release of two answered %s", world_text(status));
}

/* ---------------------------------------------------------------------------------------------- observers */

/* ------------------------------------------------------------------------------------ a CPU that is new */

/* Of 32 slabs four are out; the rest was never used. CPU 1 comes for the first time. */
static void late_cpu(int32_t backend) {
    world_joins_late = true;
    world_make(64, 32, backend, NULL);
    world_joins_late = false;
    world_take(32);
    for (int i = 0; i < 3; i++)
        world_release(world.held[i]);
    world_flush();
}

static void late_cpu_portable(void) {
    late_cpu(SLABBY_CPU_CACHE_BACKEND_PORTABLE);
}

static void late_cpu_rseq(void) {
    late_cpu(SLABBY_CPU_CACHE_BACKEND_RSEQ);
}

const struct scenario tier_scenarios[] = {
    {.name = "join_against_drain",
     .says = "the cache of a CPU that comes while the gate closes is locked, or not used",
     .prepare = late_cpu_portable,
     .task = {close_and_open, allocate_and_release_twice},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 2},
    {.name = "join_against_drain_rseq",
     .says = "the same with restartable sequences",
     .prepare = late_cpu_rseq,
     .task = {close_and_open, allocate_and_release_twice},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 2},
    {.name = "join_against_proof_rseq",
     .says = "no slab is denied that a CPU has which came meanwhile",
     .prepare = late_cpu_rseq,
     .task = {allocate_and_keep, allocate_and_release_twice},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 2},
    {.name = "refill_against_drain",
     .says = "two ask for the last two slabs while a refill carries both",
     .prepare = two_in_a_shard_portable,
     .task = {allocate_and_keep, allocate_and_keep},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 4},
    {.name = "refill_against_drain_rseq",
     .says = "the same with restartable sequences",
     .prepare = two_in_a_shard_rseq,
     .task = {allocate_and_keep, allocate_and_keep},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 3},
    {.name = "depot_against_drain",
     .says = "two ask for the last two slabs, which are one batch in the depot",
     .prepare = two_in_the_depot,
     .task = {allocate_and_keep, allocate_and_keep},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 4},
    {.name = "flush_against_drain",
     .says = "a release carries a batch out of a full cache while another asks for all",
     .prepare = full_cache,
     .task = {release_a_fifth, allocate_four},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 4},
    {.name = "commit_against_lock",
     .says = "two of one CPU take and give through its cache while the gate closes and opens",
     .prepare = two_in_a_cache_portable,
     .task = {allocate_and_release, allocate_and_release, close_and_open},
     .cpu = {0, 0, 1},
     .check = world_check,
     .preemptions = 1,
     .more = 2},
    {.name = "commit_against_lock_rseq",
     .says = "the same with restartable sequences and the fence",
     .prepare = two_in_a_cache_rseq,
     .task = {allocate_and_release, allocate_and_release, close_and_open},
     .cpu = {0, 0, 1},
     .check = world_check,
     .preemptions = 2},
    {.name = "give_against_lock_rseq",
     .says = "a sequence that gives may commit over the lock, and the gate notices",
     .prepare = one_in_a_cache_rseq,
     .task = {allocate_and_release_twice, close_and_open},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 4},
    {.name = "last_slab_elsewhere",
     .says = "the only free slab waits in another CPU's cache, and is found",
     .prepare = one_in_a_cache_portable,
     .task = {allocate_and_keep, release_second},
     .cpu = {1, 0},
     .check = world_check,
     .preemptions = 4},
    {.name = "last_slab_elsewhere_rseq",
     .says = "the same with restartable sequences",
     .prepare = one_in_a_cache_rseq,
     .task = {allocate_and_keep, release_second},
     .cpu = {1, 0},
     .check = world_check,
     .preemptions = 4},
    {.name = "opening_against_allocate",
     .says = "the gate opens behind a release while another takes the slab",
     .prepare = two_free_and_scarce,
     .task = {allocate_and_release, release_second, allocate_and_keep},
     .cpu = {0, 1, 1},
     .check = world_check,
     .preemptions = 2},
    {.name = "stack_against_stack",
     .says = "a shard's head that comes back is not taken for one that never left",
     .prepare = three_in_a_shard,
     .task = {try_to_allocate, take_two_give_one},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 4},
    {.name = "delay_against_drain",
     .says = "a slab that waits before reuse, and one that begins to, are found before OutOfMemory",
     .prepare = one_is_delayed,
     .task = {allocate_and_release, release_second},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 4},
    {.name = "exchange_against_drain",
     .says = "a slab takes the place of the oldest in the queue while another asks for it",
     .prepare = queue_is_full_portable,
     .task = {release_second, allocate_and_release},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 4},
    {.name = "exchange_against_drain_rseq",
     .says = "the same, and the oldest goes into a cache",
     .prepare = queue_is_full_rseq,
     .task = {release_second, allocate_and_keep},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 3},
    {.name = "exchange_against_exchange_rseq",
     .says = "two slabs take their turn at once",
     .prepare = queue_is_full_rseq,
     .task = {release_second, release_the_third},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 3},
    {.name = "exchanges_in_one_ring_rseq",
     .says = "four slabs of two CPUs take their turns in one ring: none leaves it early",
     .prepare = two_are_delayed_rseq,
     .task = {release_two, release_two},
     .cpu = {0, 1},
     .check = the_last_two_wait,
     .preemptions = 2,
     .more = 2},
    {.name = "exchanges_on_one_cpu_rseq",
     .says = "the same of two threads on one CPU",
     .prepare = two_are_delayed_rseq,
     .task = {release_two, release_two},
     .cpu = {0, 0},
     .check = the_last_two_wait,
     .preemptions = 2,
     .more = 2},
    {.name = "takes_against_exchange",
     .says = "two ask for the two that wait, while a third takes its turn",
     .prepare = two_are_delayed_portable,
     .task = {allocate_and_keep, allocate_and_keep, release_the_third},
     .cpu = {0, 1, 1},
     .check = world_check,
     .preemptions = 2},
    {.name = "exchange_against_shrink",
     .says = "the slabs that shrinking awaits are given up, in the queue and on their way out of it",
     .prepare = queue_is_full_portable,
     .task = {release_second, resize_to_one},
     .cpu = {0, 1},
     .check = one_stays_in_service,
     .preemptions = 3},
    {.name = "exchange_against_lock_rseq",
     .says = "the oldest goes into a cache while the gate closes and opens",
     .prepare = queue_is_full_rseq,
     .task = {release_second, close_and_open},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 3},
    {.name = "batch_against_batch",
     .says = "two ask for two of four",
     .prepare = four_in_a_shard,
     .task = {allocate_two_and_keep, allocate_two_and_keep},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 3,
     .more = 2},
    {.name = "batch_is_undone",
     .says = "two ask for two of three: what a refused batch had taken is free again",
     .prepare = three_of_four,
     .task = {try_to_allocate_two, try_to_allocate_two},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 3},
    {.name = "batch_release_against_release_rseq",
     .says = "three released at once while another CPU releases the one in the middle",
     .prepare = three_are_biased,
     .task = {release_three_at_once, release_the_middle},
     .cpu = {0, 1},
     .check = middle_is_released_once,
     .preemptions = 3},
    {.name = "batch_release_on_one_cpu_rseq",
     .says = "the same on one CPU",
     .prepare = three_are_biased,
     .task = {release_three_at_once, release_the_middle},
     .cpu = {0, 0},
     .check = middle_is_released_once,
     .preemptions = 3},
    {.name = "batch_release_by_a_full_cache_rseq",
     .says = "the same on two CPUs where the cache does not take three: word by word",
     .prepare = three_are_biased_by_a_full_cache,
     .task = {release_three_at_once, release_the_middle},
     .cpu = {0, 1},
     .check = middle_is_released_once,
     .preemptions = 3},
    {.name = "batches_against_lock_rseq",
     .says = "two are taken and given at once while the gate closes and opens",
     .prepare = three_are_biased,
     .task = {take_two_at_once_and_release, close_and_open},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 2},
    {.name = "check_against_drain",
     .says = "counters do not go back while slabs move between tiers",
     .prepare = two_in_a_cache_portable,
     .task = {allocate_and_release, check_twice, close_and_open},
     .cpu = {0, 1, 1},
     .check = world_check,
     .preemptions = 1},
    {.name = "check_against_refill_rseq",
     .says = "the same while a refill carries a batch, with restartable sequences",
     .prepare = two_in_a_shard_rseq,
     .task = {allocate_and_release, check_twice},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 4},
    {.name = "verify_against_others_rseq",
     .says = "verify finds nothing wrong with a sound pool that is in use",
     .prepare = two_in_a_cache_rseq,
     .task = {allocate_and_release_twice, verify_pool},
     .cpu = {0, 1},
     .check = world_check,
     .preemptions = 2},
    {.name = NULL},
};
