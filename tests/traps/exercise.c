/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "exercise.h"

#include "threads.h"

enum { IN_HAND = 16 };

struct exercise {
    slabby_allocator *pool;
    uint64_t turns;
    _Atomic uint64_t allocations;
};

static int give_back(slabby_allocator *pool, slabby_ref ref, const slabby_ref *stamp) {
    slabby_status status;

    if (*stamp != ref) {
        complain("a slab in two hands");
        return 0;
    }
    status = slabby_release(pool, ref);
    if (status != SLABBY_OK)
        complain("release: %s", slabby_status_name(status));
    return status == SLABBY_OK;
}

static void allocate_and_release(struct worker *worker) {
    struct exercise *exercise = worker->shared;
    slabby_ref refs[IN_HAND] = {0};
    slabby_ref *stamps[IN_HAND] = {0};

    for (uint64_t turn = 0; turn < exercise->turns + IN_HAND && !threads_failed(); turn++) {
        unsigned at = turn % IN_HAND;
        slabby_status status;

        if (refs[at] && !give_back(exercise->pool, refs[at], stamps[at]))
            return;
        refs[at] = 0;
        if (turn >= exercise->turns)
            continue;
        status = slabby_allocate(&refs[at], (void **)&stamps[at], exercise->pool);
        if (status != SLABBY_OK) {
            complain("allocate: %s", slabby_status_name(status));
            return;
        }
        *stamps[at] = refs[at];
    }
    atomic_fetch_add(&exercise->allocations, exercise->turns);
}

uint64_t exercise_pool(slabby_allocator *pool, unsigned threads, uint64_t turns) {
    struct exercise exercise = {.pool = pool, .turns = turns};

    run_threads(threads, allocate_and_release, &exercise, 0);
    assert_no_thread_failed();
    return atomic_load(&exercise.allocations);
}
