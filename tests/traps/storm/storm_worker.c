/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "storm.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------------------- demand */

int storm_take_credits(struct storm *storm, int64_t count) {
    int64_t have = atomic_load(&storm->credits);

    if (storm->plan.demand == STORM_GREED)
        return 1;
    while (have >= count)
        if (atomic_compare_exchange_weak(&storm->credits, &have, have - count))
            return 1;
    return 0;
}

void storm_give_credits(struct storm *storm, int64_t count) {
    if (storm->plan.demand != STORM_GREED)
        atomic_fetch_add(&storm->credits, count);
}

/* An allocation may fail for want of slabs in rounds of greed alone. */
static int allocated(struct storm *storm, slabby_status status, uint64_t count, const char *how) {
    if (status == SLABBY_OK) {
        atomic_fetch_add_explicit(&storm->counts.allocated, count, memory_order_relaxed);
        return 1;
    }
    atomic_fetch_add_explicit(&storm->counts.refused, 1, memory_order_relaxed);
    if (storm->plan.demand != STORM_GREED || (status != SLABBY_OUT_OF_MEMORY && status != SLABBY_TIMEOUT))
        storm_complain(storm, "%s of %llu: %s", how, (unsigned long long)count, slabby_status_name(status));
    storm_give_credits(storm, (int64_t)count);
    return 0;
}

/* What a release or an access may answer once somebody may have reset the pool. */
static int went_stale(struct storm *storm, slabby_status status) {
    if (storm->plan.demand != STORM_RESETS)
        return 0;
    return status == SLABBY_DOUBLE_DEALLOCATION || status == SLABBY_USE_AFTER_FREE;
}

/* ------------------------------------------------------------------------------------- stamps in the slabs */

/* Both ends of a slab carry its reference, so that a slab in two hands shows. Not where resets take slabs away from
 * owners who still write. */
static void stamp(struct storm *storm, slabby_ref ref, void *data) {
    if (storm->plan.demand == STORM_RESETS)
        return;
    memcpy(data, &ref, sizeof ref);
    memcpy((char *)data + storm->plan.slab_size - sizeof ref, &ref, sizeof ref);
}

static void check_stamp(struct storm *storm, slabby_ref ref) {
    slabby_ref first, last;
    void *data = NULL;
    slabby_status status = slabby_data(&data, storm->pool, ref);

    if (status != SLABBY_OK) {
        if (!went_stale(storm, status))
            storm_complain(storm, "data of a slab in hand: %s", slabby_status_name(status));
        return;
    }
    if (storm->plan.demand == STORM_RESETS)
        return;
    memcpy(&first, data, sizeof first);
    memcpy(&last, (char *)data + storm->plan.slab_size - sizeof last, sizeof last);
    if (first != ref || last != ref)
        storm_complain(storm, "slab %llx holds %llx and %llx", (unsigned long long)ref,
                       (unsigned long long)first, (unsigned long long)last);
}

/* ------------------------------------------------------------------------------------------ what workers do */

/* The credit goes back only now: until then the release is unfinished. */
static void released(struct storm *storm, slabby_status status, const char *how) {
    if (status == SLABBY_OK)
        atomic_fetch_add_explicit(&storm->counts.released, 1, memory_order_relaxed);
    else if (went_stale(storm, status))
        atomic_fetch_add_explicit(&storm->counts.stale, 1, memory_order_relaxed);
    else
        storm_complain(storm, "%s: %s", how, slabby_status_name(status));
    storm_give_credits(storm, 1);
}

static void release_one(struct storm *storm, slabby_ref *entry) {
    slabby_ref ref = *entry;

    *entry = 0;
    check_stamp(storm, ref);
    released(storm, slabby_release(storm->pool, ref), "release");
    if (slabby_release(storm->pool, ref) != SLABBY_DOUBLE_DEALLOCATION)
        storm_complain(storm, "a second release was accepted");
}

/* In rounds by credit a wait always ends with a slab; its limit is there to find those that hang. */
static void allocate_one(struct storm *storm, slabby_ref *entry, uint64_t roll) {
    uint64_t limit_ns = storm->plan.demand == STORM_GREED ? 50000 : 60000000000u;
    void *data = NULL;
    slabby_status status;

    if (!storm_take_credits(storm, 1))
        return;
    status = roll % 8 == 0 ? slabby_allocate_timeout(entry, &data, storm->pool, limit_ns)
                           : slabby_allocate(entry, &data, storm->pool);
    if (allocated(storm, status, 1, "allocate"))
        stamp(storm, *entry, data);
    else
        *entry = 0;
}

static void use_a_batch(struct storm *storm, uint64_t roll) {
    uint64_t most = storm->plan.capacity < STORM_BATCH ? storm->plan.capacity : STORM_BATCH;
    uint64_t count = 1 + roll % most, done = 0;
    slabby_ref refs[STORM_BATCH];
    void *datas[STORM_BATCH];
    slabby_status status;

    if (!storm_take_credits(storm, (int64_t)count))
        return;
    status = slabby_allocate_batch(refs, datas, storm->pool, count);
    if (!allocated(storm, status, count, "batch"))
        return;
    for (uint64_t i = 0; i < count; i++)
        stamp(storm, refs[i], datas[i]);
    for (uint64_t i = 0; i < count; i++)
        check_stamp(storm, refs[i]);
    status = slabby_release_batch(&done, storm->pool, refs, count);
    if (status != SLABBY_OK && !went_stale(storm, status))
        storm_complain(storm, "release of a batch: %s", slabby_status_name(status));
    atomic_fetch_add_explicit(&storm->counts.released, done, memory_order_relaxed);
    atomic_fetch_add_explicit(&storm->counts.stale, count - done, memory_order_relaxed);
    storm_give_credits(storm, (int64_t)count);
}

/* Ids carry no generation, so nobody may reset meanwhile. */
static void use_by_id(struct storm *storm) {
    uint32_t id = 0;
    void *data;

    if (storm->plan.demand == STORM_RESETS || !storm_take_credits(storm, 1))
        return;
    if (!allocated(storm, slabby_allocate_fast(&data, &id, storm->pool), 1, "allocate by id"))
        return;
    atomic_fetch_add_explicit(&storm->counts.fast, 1, memory_order_relaxed);
    memset(data, 0x5A, storm->plan.slab_size);
    released(storm, slabby_deallocate_fast(storm->pool, id), "release by id");
}

static void unpin_dying(struct storm *storm, slabby_ref ref) {
    slabby_status status = slabby_unpin(storm->pool, ref);

    if (status != SLABBY_OK)
        storm_complain(storm, "last unpin: %s", slabby_status_name(status));
    released(storm, status, "last unpin");
}

/* Pinned, a slab is not released; deferred, it waits for the unpin, which anybody may do. Resets are refused while
 * there are pins, so these are short where resets are wanted. */
static void pin_and_defer(struct storm *storm, slabby_ref *entry, uint64_t roll) {
    slabby_ref ref = *entry;
    slabby_status status = slabby_pin(storm->pool, ref);

    if (status != SLABBY_OK) {
        *entry = 0;
        released(storm, status, "pin");
        return;
    }
    status = slabby_release(storm->pool, ref);
    if (status != SLABBY_PINNED && !went_stale(storm, status))
        storm_complain(storm, "release of a pinned slab: %s", slabby_status_name(status));
    if (roll % 2 == 0 || storm->plan.demand == STORM_RESETS) {
        status = slabby_unpin(storm->pool, ref);
        if (status != SLABBY_OK)
            storm_complain(storm, "unpin: %s", slabby_status_name(status));
        return;
    }
    *entry = 0;
    status = slabby_release_deferred(storm->pool, ref);
    if (status != SLABBY_OK && !went_stale(storm, status))
        storm_complain(storm, "deferred release: %s", slabby_status_name(status));
    ref = atomic_exchange(&storm->dying[(roll >> 8) % STORM_MAILBOX], ref);
    if (ref)
        unpin_dying(storm, ref);
}

static void wander(struct storm *storm, uint64_t roll) {
    long cpus = sysconf(_SC_NPROCESSORS_CONF);

    if (run_on((unsigned)(roll % (uint64_t)cpus)))
        atomic_fetch_add_explicit(&storm->counts.moves, 1, memory_order_relaxed);
}

static void step(struct storm_entry *entry) {
    struct storm *storm = entry->storm;
    uint64_t roll = random_next(&entry->random);
    slabby_ref *mine = &entry->hand[(roll >> 8) % STORM_HAND];

    switch (roll % 64) {
    case 0:
        wander(storm, roll >> 16);
        break;
    case 1:
        sched_yield();
        break;
    case 2:
    case 3:
        use_a_batch(storm, roll >> 16);
        break;
    case 4:
        use_by_id(storm);
        break;
    case 5:
    case 6:
        if (*mine)
            pin_and_defer(storm, mine, roll >> 16);
        break;
    case 7:
    case 8:
        *mine = atomic_exchange(&storm->mailbox[(roll >> 16) % STORM_MAILBOX], *mine);
        break;
    default:
        if (*mine)
            release_one(storm, mine);
        else
            allocate_one(storm, mine, roll >> 16);
    }
}

/* ------------------------------------------------------------------------------------------ life and death */

static void *live(void *argument) {
    struct storm_entry *entry = argument;
    struct storm *storm = entry->storm;
    uint64_t steps = 200 + random_next(&entry->random) % 20000;
    int timed = storm->plan.signals && storm_start_timer(storm, random_next(&entry->random));

    for (uint64_t i = 0; i < steps && !atomic_load_explicit(&storm->over, memory_order_relaxed); i++)
        step(entry);
    if (timed)
        storm_stop_timer(storm);
    return NULL;
}

void *storm_keep_entry(void *argument) {
    struct storm_entry *entry = argument;
    struct storm *storm = entry->storm;

    while (!atomic_load(&storm->over)) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, live, entry) != 0) {
            storm_complain(storm, "no thread");
            break;
        }
        (void)pthread_join(thread, NULL);
        atomic_fetch_add(&storm->counts.deaths, 1);
    }
    return NULL;
}

/* After the last thread: everything that is still held goes back. */
void storm_hand_in(struct storm *storm) {
    for (int i = 0; i < STORM_WORKERS; i++)
        for (int j = 0; j < STORM_HAND; j++)
            if (storm->entries[i].hand[j])
                release_one(storm, &storm->entries[i].hand[j]);
    for (int i = 0; i < STORM_MAILBOX; i++) {
        slabby_ref ref = atomic_exchange(&storm->mailbox[i], 0);

        if (ref)
            release_one(storm, &ref);
        ref = atomic_exchange(&storm->dying[i], 0);
        if (ref)
            unpin_dying(storm, ref);
    }
}
