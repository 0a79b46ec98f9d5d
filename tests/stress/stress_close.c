/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Close, destroy and abandon in the middle of everything; observers that never stop looking. */
#define _GNU_SOURCE
#include "disturb.h"
#include "support.h"
#include "threads.h"

#include <sched.h>

enum ending { END_BY_CLOSE, END_BY_ABANDON };
enum { WORKERS = 4 };

struct ending_case {
    slabby_allocator *pool;
    enum ending ending;
    atomic_int busy;
};

/* An answer that a pool may give while it is open, closing, or gone. */
static void expect(slabby_status status, slabby_status other, const char *what) {
    if (status != SLABBY_OK && status != SLABBY_CLOSED && status != other)
        complain("%s: %s", what, slabby_status_name(status));
}

static void observe(slabby_allocator *pool, uint64_t roll) {
    slabby_stats stats = {.struct_size = sizeof stats};
    slabby_live live = {.struct_size = sizeof live};
    uint64_t cursor = 0;
    uint64_t count = 0;
    char text[4096];

    switch (roll % 6) {
    case 0:
        expect(slabby_get_stats(&stats, pool), SLABBY_OK, "stats");
        break;
    case 1:
        expect(slabby_live_next(&live, &count, &cursor, pool), SLABBY_OK, "live");
        break;
    case 2:
        expect(slabby_verify(NULL, &count, pool, 0), SLABBY_OK, "verify");
        break;
    case 3:
        expect(slabby_trim(NULL, pool), SLABBY_OK, "trim");
        break;
    case 4:
        expect(slabby_stats_json(text, sizeof text, NULL, pool), SLABBY_BUFFER_TOO_SMALL, "json");
        break;
    default:
        expect(slabby_explain(text, sizeof text, NULL, pool, roll, SLABBY_CLOSED), SLABBY_BUFFER_TOO_SMALL,
               "explain");
    }
}

static void give_back(struct ending_case *test, slabby_ref *refs, unsigned *count) {
    while (*count)
        if (slabby_release(test->pool, refs[--*count]) != SLABBY_OK)
            complain("a held reference could not be released");
}

static void work_until_closed(struct ending_case *test, struct worker *worker) {
    slabby_ref refs[32];
    unsigned held = 0;
    slabby_status status = SLABBY_OK;

    atomic_fetch_add(&test->busy, 1);
    while (status != SLABBY_CLOSED && !threads_failed()) {
        uint64_t roll = random_next(&worker->random);

        if (roll % 64 == 0)
            observe(test->pool, roll >> 8);
        if (held == 32 || (held && roll >> 16 & 1)) {
            held--;
            if (slabby_release(test->pool, refs[held]) != SLABBY_OK)
                complain("a held reference could not be released");
            continue;
        }
        status = slabby_allocate(&refs[held], NULL, test->pool);
        if (status == SLABBY_OK)
            held++;
        else
            expect(status, SLABBY_OUT_OF_MEMORY, "allocate");
    }
    for (unsigned i = 0; i < held; i++)
        if (!slabby_is_valid(test->pool, refs[i]))
            complain("a held reference was lost by closing");
    give_back(test, refs, &held);
}

static void work_or_end(struct worker *worker) {
    struct ending_case *test = worker->shared;

    if (worker->index) {
        work_until_closed(test, worker);
        return;
    }
    while (atomic_load(&test->busy) < WORKERS)
        sched_yield();
    sleep_ns(random_next(&worker->random) % 500000);
    if (test->ending == END_BY_CLOSE)
        expect(slabby_close(test->pool), SLABBY_OK, "close");
    else
        expect(slabby_abandon(test->pool), SLABBY_OK, "abandon");
}

static void end_in_the_middle(enum ending ending, int disturbed) {
    uint64_t seed = test_seed();
    uint64_t rounds = scaled(150);

    for (uint64_t round = 0; round < rounds; round++) {
        struct ending_case test = {.ending = ending};
        uint64_t size = 0;

        test.pool = make_pool(64, 1 + round % 100, NULL);
        disturb(disturbed);
        run_threads(WORKERS + 1, work_or_end, &test, random_next(&seed));
        disturb(0);
        assert_no_thread_failed();
        if (ending == END_BY_CLOSE) {
            check_sound(test.pool, 0);
            CHECK_STATUS(slabby_destroy(test.pool), SLABBY_OK);
        }
        CHECK_STATUS(slabby_size(&size, test.pool), SLABBY_CLOSED);
    }
}

/* Guards: close stops allocations, and every reference that was out comes back to a sound pool. */
static void close_in_the_middle(void **state) {
    (void)state;
    end_in_the_middle(END_BY_CLOSE, 0);
    end_in_the_middle(END_BY_CLOSE, 1);
}

/* Guards: law 9: an abandoned pool outlives its last reference, and is gone right after it. */
static void abandon_in_the_middle(void **state) {
    (void)state;
    end_in_the_middle(END_BY_ABANDON, 0);
    end_in_the_middle(END_BY_ABANDON, 1);
}

static void make_and_drop(struct worker *worker) {
    for (uint64_t i = 0; i < *(uint64_t *)worker->shared && !threads_failed(); i++) {
        uint64_t roll = random_next(&worker->random);
        slabby_allocator *pool = NULL;
        slabby_ref ref = 0;

        if (slabby_create(&pool, 1 + roll % 5000, 1 + (roll >> 20) % 1000, NULL, NULL) ||
            slabby_allocate(&ref, NULL, pool)) {
            complain("no pool");
            return;
        }
        if (roll >> 60 & 1) {
            expect(slabby_abandon(pool), SLABBY_OK, "abandon");
            expect(slabby_release(pool, ref), SLABBY_OK, "release");
        } else {
            if (slabby_destroy(pool) != SLABBY_IN_USE)
                complain("a pool in use was destroyed");
            expect(slabby_release(pool, ref), SLABBY_OK, "release");
            if (slabby_destroy(pool) != SLABBY_OK)
                complain("an empty pool was not destroyed");
        }
    }
}

/* Guards: pools made and dropped by eight threads at once neither collide nor run out. */
static void pools_come_and_go(void **state) {
    uint64_t rounds = scaled(1500);

    (void)state;
    run_threads(8, make_and_drop, &rounds, test_seed());
    assert_no_thread_failed();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(close_in_the_middle),
        cmocka_unit_test(abandon_in_the_middle),
        cmocka_unit_test(pools_come_and_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
