/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Audit records of one slab from two CPUs, against a reader. The clock stands still here, so nothing but the keys puts
 * them in order. */
#include "scenarios.h"

#include "tasks.h"
#include "world.h"

#include "observe/audit_rings.h"

#include <string.h>

enum { RECORDS = 16, AHEAD = 5000000 };

/* What the readers have found so far. */
static struct {
    uint64_t cursor, lost, count;
    struct {
        int32_t operation;
        slabby_ref ref;
    } record[RECORDS];
} found;

static void read_records(void) {
    slabby_audit_record records[RECORDS];
    uint64_t count = 0, lost = 0;

    memset(records, 0, sizeof records);
    records[0].struct_size = sizeof records[0];
    slabby_status status =
        slabby_audit_read(records, &count, &lost, &found.cursor, world.pool, RECORDS - found.count);
    EXPECT(status == SLABBY_OK, "audit_read answered %s", world_text(status));
    for (uint64_t i = 0; i < count; i++, found.count++) {
        found.record[found.count].operation = records[i].operation;
        found.record[found.count].ref = records[i].ref;
    }
    found.lost += lost;
}

/* In the shared ring a record is there whose time lies far ahead: it draws the reader's floor above all others. */
static void with_records(int32_t backend, int64_t records) {
    world_make(64, 16, backend, WITH({SLABBY_OPTION_AUDIT, records}));
    world_take(1);
    (void)slb_audit_put_shared(world.pool, AHEAD, 0, SLABBY_AUDIT_OPERATION_TRIM);
    memset(&found, 0, sizeof found);
    schedule_restores(&found, sizeof found);
}

static void with_sequences(void) {
    with_records(SLABBY_CPU_CACHE_BACKEND_RSEQ, RECORDS);
}

static void with_two_out(void) {
    with_sequences();
    world_take(1);
}

static void with_portable_caches(void) {
    with_records(SLABBY_CPU_CACHE_BACKEND_PORTABLE, RECORDS);
}

static void with_two_slots(void) {
    with_records(SLABBY_CPU_CACHE_BACKEND_RSEQ, 2);
}

static void allocate_on_one(void) {
    world.ref[0] = world_allocate(NULL);
    world_set_flag();
}

static void release_on_the_other(void) {
    if (world_flag(0))
        world_release(world.ref[0]);
}

static void slab_lived_in_order(void) {
    slabby_ref out[MOST_HELD] = {0};

    do
        read_records();
    while (found.cursor != slb_audit_end(world.pool));
    EXPECT(found.lost == 0, "%u records were lost", (unsigned)found.lost);
    for (uint64_t i = 0; i < found.count; i++) {
        slabby_ref ref = found.record[i].ref, *as = &out[(ref - world.pool->ref_bias) & world.pool->id_mask];
        if (found.record[i].operation == SLABBY_AUDIT_OPERATION_ALLOCATE) {
            EXPECT(*as == 0, "record %u: a slab goes out twice", (unsigned)i);
            *as = ref;
        } else if (found.record[i].operation == SLABBY_AUDIT_OPERATION_RELEASE) {
            EXPECT(*as == ref, "record %u: a slab comes back before it goes out", (unsigned)i);
            *as = 0;
        }
    }
    world_check();
}

/* Each record is one that was written, and each number is read or lost. */
static void numbers_add_up(void) {
    do
        read_records();
    while (found.cursor != slb_audit_end(world.pool));
    EXPECT(found.count + found.lost == found.cursor, "%u read, %u lost of %u", (unsigned)found.count,
           (unsigned)found.lost, (unsigned)found.cursor);
    for (uint64_t i = 0; i < found.count; i++) {
        slabby_ref expected = 0;
        if (found.record[i].operation == SLABBY_AUDIT_OPERATION_ALLOCATE ||
            found.record[i].operation == SLABBY_AUDIT_OPERATION_RELEASE)
            expected = world.held[0];
        else if (found.record[i].operation == SLABBY_AUDIT_OPERATION_OPTION_CHANGE)
            expected = SLABBY_OPTION_HEAP_FALLBACK;
        EXPECT(found.record[i].ref == expected, "record %u was put together of two", (unsigned)i);
    }
    world_check();
}

static void change_an_option(void) {
    EXPECT(slabby_set_option(world.pool, SLABBY_OPTION_HEAP_FALLBACK, 0, NULL) == SLABBY_OK,
           "set_option failed");
    world_set_flag();
}

static void release_behind_the_change(void) {
    if (world_flag(0))
        world_release(world.held[0]);
}

static void release_on_both_cpus(void) {
    world_release(world.held[1]);
    schedule_move_to(1);
    world_release(world.held[0]); /* whose last record is the older one */
}

/* The number of an operation's record; RECORDS: there is none. */
static uint64_t number_of(int32_t operation, slabby_ref ref) {
    for (uint64_t i = 0; i < found.count; i++)
        if (found.record[i].operation == operation && found.record[i].ref == ref)
            return i;
    return RECORDS;
}

static void change_came_first(void) {
    slab_lived_in_order();
    uint64_t change = number_of(SLABBY_AUDIT_OPERATION_OPTION_CHANGE, SLABBY_OPTION_HEAP_FALLBACK);
    EXPECT(change < number_of(SLABBY_AUDIT_OPERATION_RELEASE, world.held[0]),
           "a release behind a change was recorded before it");
}

static void thread_stayed_in_order(void) {
    slab_lived_in_order();
    EXPECT(number_of(SLABBY_AUDIT_OPERATION_RELEASE, world.held[1]) <
               number_of(SLABBY_AUDIT_OPERATION_RELEASE, world.held[0]),
           "the second release of a thread was recorded before its first");
}

const struct scenario audit_scenarios[] = {
    {.name = "audit_order_rseq",
     .says = "records of one slab from two CPUs are in the order of its life, whenever a reader comes",
     .prepare = with_sequences,
     .task = {allocate_on_one, release_on_the_other, read_records},
     .cpu = {0, 1, 0},
     .check = slab_lived_in_order,
     .preemptions = 2},
    {.name = "audit_order",
     .says = "records of one slab from two CPUs are in the order of its life, whenever a reader comes",
     .prepare = with_portable_caches,
     .task = {allocate_on_one, release_on_the_other, read_records},
     .cpu = {0, 1, 0},
     .check = slab_lived_in_order,
     .preemptions = 1},
    {.name = "audit_thread_rseq",
     .says = "records of a thread that moves to another CPU are in the order of its calls",
     .prepare = with_two_out,
     .task = {release_on_both_cpus, read_records},
     .cpu = {0, 1},
     .check = thread_stayed_in_order,
     .preemptions = 2},
    {.name = "audit_change_rseq",
     .says = "what another CPU does behind a change of the pool is recorded behind it",
     .prepare = with_sequences,
     .task = {change_an_option, release_behind_the_change, read_records},
     .cpu = {0, 1, 1},
     .check = change_came_first,
     .preemptions = 1},
    {.name = "audit_two_readers_rseq",
     .says = "two readers do not number a record twice",
     .prepare = with_sequences,
     .task = {release_first, read_records},
     .cpu = {0, 1},
     .check = slab_lived_in_order,
     .preemptions = 3},
    {.name = "audit_overwritten_rseq",
     .says = "a record that is overwritten while it is read is lost, and not mixed with the next",
     .prepare = with_two_slots,
     .task = {release_first, read_records, change_an_option},
     .cpu = {0, 1, 0},
     .check = numbers_add_up,
     .preemptions = 2},
    {.name = NULL},
};
