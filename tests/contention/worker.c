/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "round.h"

#include "credits.h"
#include "threads.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------------------- demand */

int round_take_credits(struct round *round, int64_t count) {
    return round->plan.demand == ROUND_GREED || take_credits(&round->credits, count);
}

void round_give_credits(struct round *round, int64_t count) {
    if (round->plan.demand != ROUND_GREED)
        give_credits(&round->credits, count);
}

/* An allocation may fail for want of slabs in rounds of greed alone. */
static int allocated(struct round *round, slabby_status status, uint64_t count, const char *how) {
    if (status == SLABBY_OK) {
        atomic_fetch_add_explicit(&round->counts.allocated, count, memory_order_relaxed);
        return 1;
    }
    atomic_fetch_add_explicit(&round->counts.refused, 1, memory_order_relaxed);
    if (round->plan.demand != ROUND_GREED || (status != SLABBY_OUT_OF_MEMORY && status != SLABBY_TIMEOUT))
        round_complain(round, "%s of %llu: %s", how, (unsigned long long)count, slabby_status_name(status));
    round_give_credits(round, (int64_t)count);
    return 0;
}

/* What a release or an access may answer once somebody may have reset the pool. */
static int went_stale(struct round *round, slabby_status status) {
    if (round->plan.demand != ROUND_RESETS)
        return 0;
    return status == SLABBY_DOUBLE_DEALLOCATION || status == SLABBY_USE_AFTER_FREE;
}

/* ------------------------------------------------------------------------------------- stamps in the slabs */

/* Both ends of a slab carry its reference, so that a slab in two hands shows. Not where resets take slabs away from
 * owners who still write. */
static void stamp(struct round *round, slabby_ref ref, void *data) {
    if (round->plan.demand == ROUND_RESETS)
        return;
    memcpy(data, &ref, sizeof ref);
    memcpy((char *)data + round->plan.slab_size - sizeof ref, &ref, sizeof ref);
}

static void check_stamp(struct round *round, slabby_ref ref) {
    slabby_ref first, last;
    void *data = NULL;
    slabby_status status = slabby_data(&data, round->pool, ref);

    if (status != SLABBY_OK) {
        if (!went_stale(round, status))
            round_complain(round, "data of a slab in hand: %s", slabby_status_name(status));
        return;
    }
    if (round->plan.demand == ROUND_RESETS)
        return;
    memcpy(&first, data, sizeof first);
    memcpy(&last, (char *)data + round->plan.slab_size - sizeof last, sizeof last);
    if (first != ref || last != ref)
        round_complain(round, "slab %llx holds %llx and %llx", (unsigned long long)ref,
                       (unsigned long long)first, (unsigned long long)last);
}

/* ------------------------------------------------------------------------------------------ what workers do */

/* The credit goes back only now: until then the release is unfinished. */
static void released(struct round *round, slabby_status status, const char *how) {
    if (status == SLABBY_OK)
        atomic_fetch_add_explicit(&round->counts.released, 1, memory_order_relaxed);
    else if (went_stale(round, status))
        atomic_fetch_add_explicit(&round->counts.stale, 1, memory_order_relaxed);
    else
        round_complain(round, "%s: %s", how, slabby_status_name(status));
    round_give_credits(round, 1);
}

static void release_one(struct round *round, slabby_ref *entry) {
    slabby_ref ref = *entry;

    *entry = 0;
    check_stamp(round, ref);
    released(round, slabby_release(round->pool, ref), "release");
    if (slabby_release(round->pool, ref) != SLABBY_DOUBLE_DEALLOCATION)
        round_complain(round, "a second release was accepted");
}

/* In rounds by credit a wait always ends with a slab; its limit is there to find those that hang. */
static void allocate_one(struct round *round, slabby_ref *entry, uint64_t roll) {
    uint64_t limit_ns = round->plan.demand == ROUND_GREED ? 50000 : 60000000000u;
    void *data = NULL;
    slabby_status status;

    if (!round_take_credits(round, 1))
        return;
    status = roll % 8 == 0 ? slabby_allocate_timeout(entry, &data, round->pool, limit_ns)
                           : slabby_allocate(entry, &data, round->pool);
    if (allocated(round, status, 1, "allocate"))
        stamp(round, *entry, data);
    else
        *entry = 0;
}

static void use_a_batch(struct round *round, uint64_t roll) {
    uint64_t most = round->plan.capacity < ROUND_BATCH ? round->plan.capacity : ROUND_BATCH;
    uint64_t count = 1 + roll % most, done = 0;
    slabby_ref refs[ROUND_BATCH];
    void *datas[ROUND_BATCH];
    slabby_status status;

    if (!round_take_credits(round, (int64_t)count))
        return;
    status = slabby_allocate_batch(refs, datas, round->pool, count);
    if (!allocated(round, status, count, "batch"))
        return;
    for (uint64_t i = 0; i < count; i++)
        stamp(round, refs[i], datas[i]);
    for (uint64_t i = 0; i < count; i++)
        check_stamp(round, refs[i]);
    status = slabby_release_batch(&done, round->pool, refs, count);
    if (status != SLABBY_OK && !went_stale(round, status))
        round_complain(round, "release of a batch: %s", slabby_status_name(status));
    atomic_fetch_add_explicit(&round->counts.released, done, memory_order_relaxed);
    atomic_fetch_add_explicit(&round->counts.stale, count - done, memory_order_relaxed);
    round_give_credits(round, (int64_t)count);
}

/* Ids carry no generation, so nobody may reset meanwhile. */
static void use_by_id(struct round *round) {
    uint32_t id = 0;
    void *data;

    if (round->plan.demand == ROUND_RESETS || !round_take_credits(round, 1))
        return;
    if (!allocated(round, slabby_allocate_fast(&data, &id, round->pool), 1, "allocate by id"))
        return;
    atomic_fetch_add_explicit(&round->counts.fast, 1, memory_order_relaxed);
    memset(data, 0x5A, round->plan.slab_size);
    released(round, slabby_deallocate_fast(round->pool, id), "release by id");
}

static void unpin_dying(struct round *round, slabby_ref ref) {
    slabby_status status = slabby_unpin(round->pool, ref);

    if (status != SLABBY_OK)
        round_complain(round, "last unpin: %s", slabby_status_name(status));
    released(round, status, "last unpin");
}

/* Pinned, a slab is not released; deferred, it waits for the unpin, which anybody may do. Resets are refused while
 * there are pins, so these are short where resets are wanted. */
static void pin_and_defer(struct round *round, slabby_ref *entry, uint64_t roll) {
    slabby_ref ref = *entry;
    slabby_status status = slabby_pin(round->pool, ref);

    if (status != SLABBY_OK) {
        *entry = 0;
        released(round, status, "pin");
        return;
    }
    status = slabby_release(round->pool, ref);
    if (status != SLABBY_PINNED && !went_stale(round, status))
        round_complain(round, "release of a pinned slab: %s", slabby_status_name(status));
    if (roll % 2 == 0 || round->plan.demand == ROUND_RESETS) {
        status = slabby_unpin(round->pool, ref);
        if (status != SLABBY_OK)
            round_complain(round, "unpin: %s", slabby_status_name(status));
        return;
    }
    *entry = 0;
    status = slabby_release_deferred(round->pool, ref);
    if (status != SLABBY_OK && !went_stale(round, status))
        round_complain(round, "deferred release: %s", slabby_status_name(status));
    ref = atomic_exchange(&round->dying[(roll >> 8) % ROUND_MAILBOX], ref);
    if (ref)
        unpin_dying(round, ref);
}

static void wander(struct round *round, uint64_t roll) {
    long cpus = sysconf(_SC_NPROCESSORS_CONF);

    if (run_on((unsigned)(roll % (uint64_t)cpus)))
        atomic_fetch_add_explicit(&round->counts.moves, 1, memory_order_relaxed);
}

static void step(struct round_entry *entry) {
    struct round *round = entry->round;
    uint64_t roll = random_next(&entry->random);
    slabby_ref *mine = &entry->hand[(roll >> 8) % ROUND_HAND];

    switch (roll % 64) {
    case 0:
        wander(round, roll >> 16);
        break;
    case 1:
        sched_yield();
        break;
    case 2:
    case 3:
        use_a_batch(round, roll >> 16);
        break;
    case 4:
        use_by_id(round);
        break;
    case 5:
    case 6:
        if (*mine)
            pin_and_defer(round, mine, roll >> 16);
        break;
    case 7:
    case 8:
        *mine = atomic_exchange(&round->mailbox[(roll >> 16) % ROUND_MAILBOX], *mine);
        break;
    default:
        if (*mine)
            release_one(round, mine);
        else
            allocate_one(round, mine, roll >> 16);
    }
}

/* ------------------------------------------------------------------------------------------ life and death */

static void *live(void *argument) {
    struct round_entry *entry = argument;
    struct round *round = entry->round;
    uint64_t steps = 200 + random_next(&entry->random) % 20000;
    int timed = round->plan.signals && round_start_timer(round, random_next(&entry->random));

    for (uint64_t i = 0; i < steps && !atomic_load_explicit(&round->over, memory_order_relaxed); i++)
        step(entry);
    if (timed)
        round_stop_timer(round);
    return NULL;
}

void *round_keep_entry(void *argument) {
    struct round_entry *entry = argument;
    struct round *round = entry->round;

    while (!atomic_load(&round->over)) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, live, entry) != 0) {
            round_complain(round, "no thread");
            break;
        }
        (void)pthread_join(thread, NULL);
        atomic_fetch_add(&round->counts.deaths, 1);
    }
    return NULL;
}

/* After the last thread: everything that is still held goes back. */
void round_hand_in(struct round *round) {
    for (int i = 0; i < ROUND_WORKERS; i++)
        for (int j = 0; j < ROUND_HAND; j++)
            if (round->entries[i].hand[j])
                release_one(round, &round->entries[i].hand[j]);
    for (int i = 0; i < ROUND_MAILBOX; i++) {
        slabby_ref ref = atomic_exchange(&round->mailbox[i], 0);

        if (ref)
            release_one(round, &ref);
        ref = atomic_exchange(&round->dying[i], 0);
        if (ref)
            unpin_dying(round, ref);
    }
}
