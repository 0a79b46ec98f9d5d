/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sampled guards: one allocation in N on pages of its own that are inaccessible while free. */
#define _GNU_SOURCE
#include "guarded.h"
#include "support.h"

#include "death.h"
#include "os/os.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void assert_says(const char *text, const char *part) {
    if (!strstr(text, part))
        fail_msg("\"%s\" is missing in: %s", part, text);
}

enum deed { WRITE_PAST, WRITE_BEFORE, READ_AFTER_RELEASE, NO_HARM };

struct plan {
    enum deed deed;
    int skip; /* allocations ahead, released at once */
};

static void do_harm(void *context) {
    const struct plan *plan = context;
    slabby_allocator *pool = guarded_pool(4096, 8, 1, 4);
    volatile char *data;
    void *memory = NULL;
    slabby_ref ref = 0;

    if (slabby_install_fault_handler(NULL))
        _exit(99);
    for (int i = 0; i < plan->skip; i++)
        if (slabby_allocate(&ref, &memory, pool) || slabby_release(pool, ref))
            _exit(98);
    if (slabby_allocate(&ref, &memory, pool) || !on_a_slot(pool, memory))
        _exit(97);
    data = memory;
    memset(memory, 7, 4096);
    if (plan->deed == WRITE_PAST)
        data[4096] = 1;
    if (plan->deed == WRITE_BEFORE)
        data[-1] = 1;
    if (slabby_release(pool, ref))
        _exit(96);
    if (plan->deed == READ_AFTER_RELEASE)
        (void)data[12];
}

/* Guards: overflow, underflow and use after release of a guarded slab fault, with both stacks. */
static void misuse_of_guarded_slabs_faults(void **state) {
    struct death past = run_in_child(do_harm, &(struct plan){WRITE_PAST, 0});
    struct death before = run_in_child(do_harm, &(struct plan){WRITE_BEFORE, 5});
    struct death after = run_in_child(do_harm, &(struct plan){READ_AFTER_RELEASE, 2});
    struct death sound = run_in_child(do_harm, &(struct plan){NO_HARM, 9});

    (void)state;
    assert_int_equal(past.signal, SIGSEGV);
    assert_int_equal(before.signal, SIGSEGV);
    assert_int_equal(after.signal, SIGSEGV);
    assert_int_equal(sound.status, 0);
    assert_string_equal(sound.said, "");
    assert_says(past.said, " 1 byte past the end of slab ");
    assert_says(past.said, "allocated by thread");
    assert_says(before.said, " 1 byte before the start of slab ");
    assert_says(after.said, " at offset 12 of slab ");
    assert_says(after.said, ", after its release");
    assert_says(after.said, "allocated by thread");
    assert_says(after.said, "released by thread");
}

/* Guards: odd sizes leave slack that is patterned: a byte written there is found on release. */
static void slack_is_watched(void **state) {
    slabby_allocator *pool = guarded_pool(100, 4, 1, 1);
    slabby_ref ref = 0;
    uint64_t count = 0;
    void *data = NULL;
    char text[4096];

    (void)state;
    for (int round = 0; round < 2; round++) { /* ends at the guard behind, begins at the one before */
        CHECK_STATUS(slabby_allocate(&ref, &data, pool), SLABBY_OK);
        assert_true(on_a_slot(pool, data));
        assert_int_equal((uintptr_t)data % 64, 0);
        memset(data, 1, 100);
        ((volatile char *)data)[100] ^= 1;
        CHECK_STATUS(slabby_release(pool, ref), SLABBY_MEMORY_CORRUPTION);
        CHECK_STATUS(slabby_explain(text, sizeof text, NULL, pool, ref, SLABBY_MEMORY_CORRUPTION), SLABBY_OK);
        assert_says(text, "the byte at offset 100");
        assert_says(text, "allocated by thread");
    }
    CHECK_STATUS(slabby_reclaim(&count, pool), SLABBY_OK);
    assert_int_equal(count, 2);
    CHECK_STATUS(slabby_allocate(&ref, &data, pool), SLABBY_OK);
    ((volatile char *)data)[-1] ^= 1;
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_MEMORY_CORRUPTION);
    CHECK_STATUS(slabby_reclaim(&count, pool), SLABBY_OK);
    finish(pool);
}

/* Guards: a guarded allocation takes its ordinary slab too, and is counted once. */
static void capacity_and_counters_stay_true(void **state) {
    slabby_allocator *pool = guarded_pool(64, 3, 1, 16);
    slabby_ref refs[4];
    void *datas[3];
    void *again = NULL;

    (void)state;
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(slabby_allocate(&refs[i], &datas[i], pool), SLABBY_OK);
        memset(datas[i], i, 64);
    }
    CHECK_STATUS(slabby_allocate(&refs[3], NULL, pool), SLABBY_OUT_OF_MEMORY);
    check_sound(pool, 3);
    assert_int_equal(guard_hits(pool), 3);
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(slabby_data(&again, pool, refs[i]), SLABBY_OK);
        assert_ptr_equal(again, datas[i]);
        assert_int_equal(((char *)again)[63], i);
        CHECK_STATUS(slabby_pin(pool, refs[i]), SLABBY_OK);
        CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_PINNED);
        CHECK_STATUS(slabby_release_deferred(pool, refs[i]), SLABBY_OK);
        ((char *)again)[0] = 1; /* still there under the pin */
        CHECK_STATUS(slabby_unpin(pool, refs[i]), SLABBY_OK);
        CHECK_STATUS(slabby_data(&again, pool, refs[i]), SLABBY_USE_AFTER_FREE);
    }
    check_sound(pool, 0);
    finish(pool);
}

/* Guards: with every slot in use an allocation stays ordinary, and a slot that is free again serves. */
static void slots_may_run_out(void **state) {
    slabby_allocator *pool = guarded_pool(64, 10, 1, 2);
    slabby_ref refs[10];
    void *datas[10];

    (void)state;
    for (int i = 0; i < 10; i++) {
        CHECK_STATUS(slabby_allocate(&refs[i], &datas[i], pool), SLABBY_OK);
        assert_int_equal(on_a_slot(pool, datas[i]), i < 2);
    }
    assert_int_equal(guard_hits(pool), 2);
    CHECK_STATUS(slabby_release(pool, refs[1]), SLABBY_OK);
    CHECK_STATUS(slabby_allocate(&refs[1], &datas[1], pool), SLABBY_OK);
    assert_true(on_a_slot(pool, datas[1]));
    CHECK_STATUS(slabby_reset(pool), SLABBY_OK);
    finish(pool);
}

/* Guards: one in N, whatever cache and clock do. Intervals are uniform in 1 .. 2N - 1: over n of them
 * the count strays by 1 / sqrt(3 n); 12 % is more than 6 times that. */
static void check_rate(int64_t rate, uint64_t times, const struct setting *more) {
    struct setting settings[4] = {{SLABBY_OPTION_GUARD_SAMPLE_RATE, rate}};
    slabby_allocator *pool;
    uint64_t hits;

    for (int i = 0; more && more[i].option; i++)
        settings[i + 1] = more[i];
    pool = make_pool(64, 10000, settings);
    for (uint64_t i = 0; i < times; i++) {
        slabby_ref ref = take(pool);

        CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    }
    hits = guard_hits(pool);
    if (hits * (uint64_t)rate < times * 88 / 100 || hits * (uint64_t)rate > times * 112 / 100)
        fail_msg("rate %d: %d of %d allocations were guarded", (int)rate, (int)hits, (int)times);
    check_sound(pool, 0);
    finish(pool);
}

static void the_rate_holds(void **state) {
    const int64_t portable = SLABBY_CPU_CACHE_BACKEND_PORTABLE;

    (void)state;
    if (TEST_UNDER_TSAN)
        skip(); /* three million pairs of one thread */
    check_rate(1, 2000, NULL);
    check_rate(10, 20000, NULL);
    check_rate(1000, 1000000, NULL);
    check_rate(1000, 1000000, WITH({SLABBY_OPTION_LATENCY_TRACKING, 0}));
    check_rate(500, 500000, WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, portable}));
    check_rate(500, 500000, WITH({SLABBY_OPTION_PER_CPU_CACHE, 0}));
}

/* Guards: samples that stand for many allocations, because batches came in between, make no guards later. */
static void the_rate_holds_behind_batches(void **state) {
    enum { RATE = 200, ROUNDS = 2000, BATCHES = 5, BATCH = 100, SINGLES = 200000 };
    slabby_allocator *pool =
        make_pool(64, 4000, WITH({SLABBY_OPTION_GUARD_SAMPLE_RATE, RATE}, {SLABBY_OPTION_GUARD_SLOTS, 64}));
    slabby_ref refs[BATCH];
    uint64_t released, before;

    (void)state;
    if (TEST_UNDER_TSAN)
        skip(); /* a million pairs of one thread */
    for (int i = 0; i < ROUNDS; i++) {
        for (int k = 0; k < BATCHES; k++) {
            CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, BATCH), SLABBY_OK);
            CHECK_STATUS(slabby_release_batch(&released, pool, refs, BATCH), SLABBY_OK);
        }
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    }
    before = guard_hits(pool);
    for (int i = 0; i < SINGLES; i++)
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    assert_in_range(guard_hits(pool) - before, SINGLES / RATE * 80 / 100, SINGLES / RATE * 120 / 100);
    check_sound(pool, 0);
    finish(pool);
}

/* Guards: on and off in a running pool; what lies on a slot then stays good. */
static void the_rate_is_hot(void **state) {
    slabby_allocator *pool = make_pool(64, 1000, WITH({SLABBY_OPTION_LATENCY_TRACKING, 0}));
    slabby_ref before = take(pool);
    slabby_ref during = 0;
    void *data = NULL;
    int64_t rate = -1;
    uint64_t earlier;

    (void)state;
    CHECK_STATUS(slabby_get_option(&rate, pool, SLABBY_OPTION_GUARD_SAMPLE_RATE), SLABBY_OK);
    assert_int_equal(rate, 0);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_GUARD_SAMPLE_RATE, 1000000, NULL), SLABBY_OK);
    for (int i = 0; i < 1000; i++)
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    earlier = guard_hits(pool);
    /* the new rate holds from the next allocation on, however far off the old one had put it */
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_GUARD_SAMPLE_RATE, 1, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_allocate(&during, &data, pool), SLABBY_OK);
    assert_true(on_a_slot(pool, data));
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_GUARD_SAMPLE_RATE, 0, NULL), SLABBY_OK);
    memset(data, 3, 64);
    CHECK_STATUS(slabby_data(&data, pool, before), SLABBY_OK);
    assert_false(on_a_slot(pool, data));
    for (int i = 0; i < 100; i++)
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    assert_int_equal(guard_hits(pool), earlier + 1);
    CHECK_STATUS(slabby_release(pool, during), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, before), SLABBY_OK);
    finish(pool);
}

/* Guards: by id, with secure, bit_guard, guard_pages, delay and a locked pool, guards change nothing. */
static void guards_go_with_other_protections(void **state) {
    slabby_allocator *pool = make_pool(128, 4,
                                       WITH({SLABBY_OPTION_GUARD_SAMPLE_RATE, 2}, {SLABBY_OPTION_SECURE, 1},
                                            {SLABBY_OPTION_BIT_GUARD, 1}, {SLABBY_OPTION_REUSE_DELAY, 2},
                                            {SLABBY_OPTION_GUARD_PAGES, 1}, {SLABBY_OPTION_NO_DUMP, 1},
                                            {SLABBY_OPTION_LOCK_MEMORY, SLABBY_LOCK_MEMORY_BEST_EFFORT}));
    static const char zeros[128];

    (void)state;
    for (int i = 0; i < 400; i++) {
        uint32_t id = 0;
        void *data = NULL;

        CHECK_STATUS(slabby_allocate_fast(&data, &id, pool), SLABBY_OK);
        assert_memory_equal(data, zeros, sizeof zeros);
        memset(data, 0x5a, sizeof zeros);
        check_sound(pool, 1);
        CHECK_STATUS(slabby_deallocate_fast(pool, id), SLABBY_OK);
    }
    assert_in_range(guard_hits(pool), 120, 280);
    finish(pool);
}

/* Guards: an operator's environment sets the rate, the program's own option goes first. */
static void the_environment_sets_the_rate(void **state) {
    slabby_allocator *pool = NULL;
    slabby_error error = fresh_error();
    int64_t rate = -1;

    (void)state;
    assert_int_equal(setenv("SLABBY_GUARD_SAMPLE_RATE", "250", 1), 0);
    pool = make_pool(64, 10, NULL);
    CHECK_STATUS(slabby_get_option(&rate, pool, SLABBY_OPTION_GUARD_SAMPLE_RATE), SLABBY_OK);
    assert_int_equal(rate, 250);
    finish(pool);
    pool = guarded_pool(64, 10, 3, 16);
    CHECK_STATUS(slabby_get_option(&rate, pool, SLABBY_OPTION_GUARD_SAMPLE_RATE), SLABBY_OK);
    assert_int_equal(rate, 3);
    finish(pool);
    assert_int_equal(setenv("SLABBY_GUARD_SAMPLE_RATE", "often", 1), 0);
    CHECK_STATUS(try_pool(&pool, 64, 10, NULL, &error), SLABBY_INVALID_OPTION);
    assert_says(error.text, "SLABBY_GUARD_SAMPLE_RATE=\"often\"");
    assert_int_equal(setenv("SLABBY_GUARD_SAMPLE_RATE", "2000000000", 1), 0);
    CHECK_STATUS(try_pool(&pool, 64, 10, NULL, &error), SLABBY_INVALID_OPTION);
    assert_says(error.text, "SLABBY_GUARD_SAMPLE_RATE=\"2000000000\"");
    assert_int_equal(error.value, 2000000000);
    assert_int_equal(unsetenv("SLABBY_GUARD_SAMPLE_RATE"), 0);
}

static void use_in_child(void *context) {
    slabby_ref *refs = ((void **)context)[1];
    slabby_allocator *pool = ((void **)context)[0];
    uint64_t findings = 0;
    void *data = NULL;

    if (slabby_data(&data, pool, refs[0]) || ((char *)data)[5] != 9 || slabby_release(pool, refs[0]))
        _exit(99);
    for (int i = 0; i < 50; i++) {
        slabby_ref ref = 0;

        if (slabby_allocate(&ref, &data, pool))
            _exit(98);
        memset(data, 1, 64);
        if (slabby_release(pool, ref))
            _exit(97);
    }
    if (slabby_verify(NULL, &findings, pool, 0) || findings)
        _exit(96);
}

/* Guards: a child made by fork has its own copy of the slots. */
static void slots_survive_fork(void **state) {
    slabby_allocator *pool = guarded_pool(64, 10, 1, 4);
    slabby_ref refs[1];
    void *data = NULL;
    void *context[] = {pool, refs};
    struct death child;

    (void)state;
    CHECK_STATUS(slabby_allocate(&refs[0], &data, pool), SLABBY_OK);
    memset(data, 9, 64);
    child = run_in_child(use_in_child, context);
    assert_int_equal(child.status, 0);
    assert_int_equal(((char *)data)[5], 9);
    CHECK_STATUS(slabby_release(pool, refs[0]), SLABBY_OK);
    finish(pool);
}

static void *churn(void *context) {
    slabby_allocator *pool = context;
    uint64_t times = scaled(20000);

    for (uint64_t i = 0; i < times; i++) {
        slabby_ref ref = 0;
        void *data = NULL;

        if (slabby_allocate(&ref, &data, pool))
            return "allocate failed";
        memset(data, (int)i, 256);
        if (((volatile unsigned char *)data)[255] != (unsigned char)i)
            return "another's bytes";
        if (slabby_release(pool, ref))
            return "release failed";
    }
    return NULL;
}

/* Guards: threads share slots without sharing memory, while the pool is checked. */
static void threads_share_the_slots(void **state) {
    slabby_allocator *pool = guarded_pool(256, 64, 7, 3);
    pthread_t threads[4];
    uint64_t findings = 1;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, pool), 0);
    for (int i = 0; i < 5; i++) {
        CHECK_STATUS(slabby_verify(NULL, &findings, pool, 0), SLABBY_OK);
        assert_int_equal(findings, 0);
    }
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        void *complaint = NULL;

        assert_int_equal(pthread_join(threads[i], &complaint), 0);
        if (complaint)
            fail_msg("%s", (char *)complaint);
    }
    assert_true(guard_hits(pool) > 0);
    check_sound(pool, 0);
    finish(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(misuse_of_guarded_slabs_faults),
        cmocka_unit_test(slack_is_watched),
        cmocka_unit_test(capacity_and_counters_stay_true),
        cmocka_unit_test(slots_may_run_out),
        cmocka_unit_test(the_rate_holds),
        cmocka_unit_test(the_rate_holds_behind_batches),
        cmocka_unit_test(the_rate_is_hot),
        cmocka_unit_test(guards_go_with_other_protections),
        cmocka_unit_test(the_environment_sets_the_rate),
        cmocka_unit_test(slots_survive_fork),
        cmocka_unit_test(threads_share_the_slots),
    };

    (void)unsetenv("SLABBY_GUARD_SAMPLE_RATE");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
