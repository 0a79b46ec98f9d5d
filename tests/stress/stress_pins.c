/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Nobody releases a slab while a reader holds a pin on it. */
#include "disturb.h"
#include "support.h"
#include "threads.h"

#include <sched.h>

enum { ENTRIES = 16, OWNERS = 2, READERS = 3 };

struct pinboard {
    slabby_allocator *pool;
    _Atomic slabby_ref entries[ENTRIES];
    _Atomic uint64_t checks;
    atomic_int owners_left;
    uint64_t goal;
};

/* Plain accesses on purpose: the pin and the release must order them, which ThreadSanitizer
 * verifies. */
static void check(struct pinboard *board, slabby_ref ref) {
    void *address = NULL;
    const uint64_t *data;

    if (slabby_data(&address, board->pool, ref) != SLABBY_OK) {
        slabby_unpin(board->pool, ref);
        return;
    }
    data = address;
    if (data[0] != ref)
        complain("a pinned slab holds %llx, not %llx", (unsigned long long)data[0], (unsigned long long)ref);
    if ((ref >> 3) % 64 == 0)
        sched_yield();
    if (data[7] != ref)
        complain("a pinned slab changed under the eyes of its reader");
    if (slabby_unpin(board->pool, ref) != SLABBY_OK)
        complain("the pin was lost");
    atomic_fetch_add_explicit(&board->checks, 1, memory_order_relaxed);
}

static void read_entries(struct pinboard *board, struct worker *worker) {
    while (atomic_load(&board->owners_left)) {
        slabby_ref ref = atomic_load(&board->entries[random_next(&worker->random) % ENTRIES]);
        slabby_status status = ref ? slabby_pin(board->pool, ref) : SLABBY_USE_AFTER_FREE;

        if (status == SLABBY_OK)
            check(board, ref);
        else if (status != SLABBY_USE_AFTER_FREE)
            complain("pin: %s", slabby_status_name(status));
    }
}

static void renew(struct pinboard *board, uint64_t roll, unsigned entry) {
    slabby_ref old = atomic_load(&board->entries[entry]);
    slabby_status status = SLABBY_PINNED;
    uint64_t *data = NULL;
    slabby_ref ref = 0;

    /* Readers may keep a place pinned for good, so an owner does not insist for ever. */
    for (uint64_t tries = roll % 64; old && status == SLABBY_PINNED && tries; tries--) {
        status = slabby_release(board->pool, old);
        if (status == SLABBY_PINNED)
            sched_yield();
    }
    if (old && status == SLABBY_PINNED)
        status = slabby_release_deferred(board->pool, old);
    if (old && status != SLABBY_OK)
        complain("release: %s", slabby_status_name(status));
    if (slabby_allocate(&ref, (void **)&data, board->pool) != SLABBY_OK) {
        complain("no slab for a place");
        return;
    }
    data[0] = ref;
    data[7] = ref;
    atomic_store(&board->entries[entry], ref);
}

static void own_or_read(struct worker *worker) {
    struct pinboard *board = worker->shared;

    if (worker->index >= OWNERS) {
        read_entries(board, worker);
        return;
    }
    while (atomic_load(&board->checks) < board->goal && !threads_failed()) {
        uint64_t roll = random_next(&worker->random);

        renew(board, roll >> 32, (unsigned)(roll % (ENTRIES / OWNERS)) * OWNERS + worker->index);
    }
    atomic_fetch_sub(&board->owners_left, 1);
}

static void pin_against_release(int64_t secure, int disturbed, uint64_t goal) {
    struct pinboard board = {.goal = goal, .owners_left = OWNERS};

    /* A dying slab is held by at most one reader each, so these extra slabs always suffice. */
    board.pool = make_pool(64, ENTRIES + READERS, WITH({SLABBY_OPTION_SECURE, secure}));
    disturb(disturbed);
    run_threads(OWNERS + READERS, own_or_read, &board, test_seed());
    disturb(0);
    assert_no_thread_failed();
    for (int i = 0; i < ENTRIES; i++)
        if (atomic_load(&board.entries[i]))
            CHECK_STATUS(slabby_release(board.pool, atomic_load(&board.entries[i])), SLABBY_OK);
    finish(board.pool);
}

/* Guards: pin, unpin and both kinds of release race without a reader ever seeing another owner's
 * bytes. */
static void pins_hold_against_release(void **state) {
    (void)state;
    pin_against_release(0, 0, scaled(200000));
    pin_against_release(1, 0, scaled(100000));
    pin_against_release(0, 1, scaled(50000));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pins_hold_against_release),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
