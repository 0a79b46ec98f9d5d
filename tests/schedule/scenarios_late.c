/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Late calls: a handle, and a reference that is stale, against the thread that destroys the pool. The pool's memory is
 * unmapped at the end; no order may touch it afterwards, and each call gets an answer. */
#include "scenarios.h"

#include "tasks.h"
#include "world.h"

#include "slab_word.h"

/* In these, the process has no sequences for words: holds alone keep the memory. */
static void without_sequences(void) {
    world.pool->word_cpus = 0;
}

/* One was taken and came back: world.held[0] is stale, its slab lies in a cache. */
static void one_was_released(int32_t backend) {
    world_make(64, 16, backend, NULL);
    world_take(1);
    world_release(world.held[0]);
}

static void with_sequences(void) {
    one_was_released(SLABBY_CPU_CACHE_BACKEND_RSEQ);
}

static void with_portable_caches(void) {
    one_was_released(SLABBY_CPU_CACHE_BACKEND_PORTABLE);
    without_sequences();
}

static void without_caches(void) {
    world_make(64, 16, SLABBY_CPU_CACHE_BACKEND_RSEQ, WITH({SLABBY_OPTION_PER_CPU_CACHE, 0}));
    world_take(1);
    world_release(world.held[0]);
}

static void with_a_biased_section(void) {
    with_portable_caches();
    world_bias_section();
}

static void with_a_record_of_all(void) {
    world_make(64, 16, SLABBY_CPU_CACHE_BACKEND_RSEQ,
               WITH({SLABBY_OPTION_AUDIT, 16}, {SLABBY_OPTION_SECURE, 1}));
    world_take(1);
    world_release(world.held[0]);
}

/* The next allocation is one that is timed. */
static void with_samples(void) {
    world_make(64, 16, SLABBY_CPU_CACHE_BACKEND_RSEQ,
               WITH({SLABBY_OPTION_LATENCY_TRACKING, SLABBY_LATENCY_TRACKING_ALL}));
    world_take(1);
    world_release(world.held[0]);
}

static void one_is_out(void) {
    world_make(64, 16, SLABBY_CPU_CACHE_BACKEND_RSEQ, NULL);
    world_take(1);
}

/* By a turn of its word, which is biased to CPU 0. */
static void one_is_pinned(void) {
    world_make_biased();
    EXPECT(slabby_pin(world.pool, world.held[0]) == SLABBY_OK, "prepare: no pin");
    EXPECT(slb_word_turns(world.pool->words[(world.held[0] - world.pool->ref_bias) & world.pool->id_mask]) ==
               1,
           "prepare: the word has not turned");
}

static void unpin_first(void) {
    slabby_status status = slabby_unpin(world.pool, world.held[0]);

    EXPECT(status == SLABBY_OK, "unpin answered %s", world_text(status));
}

/* As soon as the slab has no pin, the pool may go. */
static void release_and_destroy(void) {
    slabby_status status = slabby_release(world.pool, world.held[0]);

    EXPECT(status == SLABBY_OK || status == SLABBY_PINNED, "release answered %s", world_text(status));
    world.status[schedule_task()] = SLABBY_IN_USE;
    if (status == SLABBY_OK)
        destroy_pool();
}

/* One unpin too many: it may come first, and then it is the one that counts. */
static void unpin_twice_as_often(void) {
    slabby_status status = slabby_unpin(world.pool, world.held[0]);

    EXPECT(status == SLABBY_OK || status == SLABBY_INVALID_ARGUMENT || status == SLABBY_USE_AFTER_FREE ||
               status == SLABBY_CLOSED,
           "unpin answered %s", world_text(status));
}

static void unpin_release_and_destroy(void) {
    unpin_twice_as_often();
    release_and_destroy();
}

static void expect_late(slabby_status status, slabby_status stale, const char *what) {
    EXPECT(status == stale || status == SLABBY_CLOSED, "%s of a stale reference answered %s", what,
           world_text(status));
}

static void release_late(void) {
    expect_late(slabby_release(world.pool, world.held[0]), SLABBY_DOUBLE_DEALLOCATION, "release");
}

static void defer_late(void) {
    expect_late(slabby_release_deferred(world.pool, world.held[0]), SLABBY_DOUBLE_DEALLOCATION,
                "release_deferred");
}

static void read_late(void) {
    void *data;

    expect_late(slabby_data(&data, world.pool, world.held[0]), SLABBY_USE_AFTER_FREE, "data");
    EXPECT(!slabby_is_valid(world.pool, world.held[0]), "a stale reference is valid");
}

static void pin_late(void) {
    expect_late(slabby_pin(world.pool, world.held[0]), SLABBY_USE_AFTER_FREE, "pin");
}

static void unpin_late(void) {
    expect_late(slabby_unpin(world.pool, world.held[0]), SLABBY_USE_AFTER_FREE, "unpin");
}

static void release_late_by_id(void) {
    expect_late(slabby_deallocate_fast(world.pool, 0), SLABBY_DOUBLE_DEALLOCATION, "deallocate_fast");
}

static void label_late(void) {
    expect_late(slabby_set_label(world.pool, world.held[0], 7), SLABBY_USE_AFTER_FREE, "set_label");
}

static void report_late(void) {
    expect_late(slabby_report_leak(world.pool, world.held[0], NULL, 1), SLABBY_DOUBLE_DEALLOCATION,
                "report_leak");
}

static void count_late(void) {
    slabby_stats stats = {.struct_size = sizeof stats};
    slabby_status status = slabby_get_stats(&stats, world.pool);

    EXPECT(status == SLABBY_OK || status == SLABBY_CLOSED, "get_stats answered %s", world_text(status));
}

static void walk_late(void) {
    slabby_live live = {.struct_size = sizeof live};
    uint64_t count, cursor = 0;
    slabby_status status = slabby_live_next(&live, &count, &cursor, world.pool);

    EXPECT(status == SLABBY_OK || status == SLABBY_CLOSED, "live_next answered %s", world_text(status));
}

#define LATE(its_name, its_prepare, its_task, its_check, bound)                                              \
    {                                                                                                        \
        .name = "late_" its_name, .says = "a call that destroy overtakes touches nothing that is gone",      \
        .prepare = its_prepare, .task = {its_task, destroy_pool}, .cpu = {0, 1}, .check = its_check,         \
        .preemptions = bound, .more = 2                                                                      \
    }

const struct scenario late_scenarios[] = {
    LATE("release_rseq", with_sequences, release_late, everything_went, 2),
    LATE("release", with_portable_caches, release_late, everything_went, 2),
    LATE("release_biased_section", with_a_biased_section, release_late, everything_went, 2),
    LATE("release_single_rseq", without_caches, release_late, everything_went, 2),
    LATE("release_audited_rseq", with_a_record_of_all, release_late, everything_went, 2),
    LATE("release_deferred_rseq", with_sequences, defer_late, everything_went, 2),
    LATE("release_by_id_rseq", with_sequences, release_late_by_id, everything_went, 2),
    LATE("data_rseq", with_sequences, read_late, everything_went, 2),
    LATE("data", with_portable_caches, read_late, everything_went, 2),
    LATE("pin_rseq", with_sequences, pin_late, everything_went, 2),
    LATE("pin", with_portable_caches, pin_late, everything_went, 2),
    LATE("unpin_rseq", with_sequences, unpin_late, everything_went, 2),
    LATE("label_rseq", with_sequences, label_late, everything_went, 2),
    LATE("leak_rseq", with_sequences, report_late, everything_went, 2),
    LATE("stats_rseq", with_sequences, count_late, everything_went, 1),
    LATE("walk_rseq", with_sequences, walk_late, everything_went, 2),
    LATE("allocate_rseq", with_sequences, allocate_or_learn, one_of_both, 2),
    LATE("allocate", with_portable_caches, allocate_or_learn, one_of_both, 2),
    LATE("allocate_biased_section", with_a_biased_section, allocate_or_learn, one_of_both, 2),
    LATE("allocate_single_rseq", without_caches, allocate_or_learn, one_of_both, 2),
    LATE("allocate_sampled_rseq", with_samples, allocate_or_learn, one_of_both, 2),
    LATE("allocate_audited_rseq", with_a_record_of_all, allocate_or_learn, one_of_both, 2),
    {.name = "late_unpin_turned_rseq",
     .says = "who gives up the last pin touches nothing of the pool that another then destroys",
     .prepare = one_is_pinned,
     .task = {unpin_first, release_and_destroy},
     .cpu = {0, 0},
     .check = went_or_in_use,
     .preemptions = 3},
    {.name = "late_unpin_too_many_rseq",
     .says = "the same for one unpin too many, on the other CPU",
     .prepare = one_is_pinned,
     .task = {unpin_twice_as_often, unpin_release_and_destroy},
     .cpu = {1, 0},
     .check = went_or_in_use,
     .preemptions = 2},
    {.name = "late_last_release_rseq",
     .says =
         "who releases the last slab of an abandoned pool unmaps what somebody else still reads, or they do",
     .prepare = one_is_out,
     .task = {release_first, abandon_pool, count_late},
     .cpu = {0, 1, 0},
     .check = everything_went,
     .preemptions = 1},
    {.name = NULL},
};
