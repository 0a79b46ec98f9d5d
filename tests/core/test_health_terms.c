/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The health score term by term: each alone lowers it by what docs/health.md says, step by step and never upwards,
 * while the others are 1; and together they multiply. The clock is ours, so that the window ends when we say so. */
#define _GNU_SOURCE
#include "manual_clock.h"
#include "support.h"

#include "observe/health.h"
#include "observe/latency.h"
#include "os/os.h"
#include "test_hooks.h"

#include <math.h>

enum { SLABS = 100, SAMPLES = 100 };

static slabby_health health_of(slabby_allocator *pool) {
    slabby_health health = {.struct_size = sizeof health};
    CHECK_STATUS(slabby_get_health(&health, pool), SLABBY_OK);
    return health;
}

/* Also that the score is the product of the factors that the report shows. */
static void compare_score(const slabby_health *health, double expected) {
    double product = health->use_factor * health->error_factor * health->latency_factor *
                     health->breaker_factor * health->integrity_factor;
    if (fabs(health->health_score - product) > 1e-9)
        fail_msg("the score is %.12f and its factors make %.12f", health->health_score, product);
    if (fabs(health->health_score - expected) > 1e-9)
        fail_msg("the score is %.12f and should be %.12f", health->health_score, expected);
}

static void expect_score(slabby_allocator *pool, double expected) {
    slabby_health health = health_of(pool);
    compare_score(&health, expected);
}

/* What happened before is out of the window. */
static void forget_window(slabby_allocator *pool) {
    clock_ns += 61 * SECOND;
    assert_true(health_of(pool).error_rate == 0.0);
}

/* ------------------------------------------------------------------------------------------------- H, use */

/* Guards: H is 1 up to 80 %, falls with every further slab by the same step, and comes back the same way. */
static void use_alone(void **state) {
    slabby_ref refs[SLABS];
    (void)state;
    slabby_allocator *pool = make_pool(64, SLABS, NULL);
    for (int used = 0; used <= SLABS; used++) {
        expect_score(pool, used <= 80 ? 1.0 : 1.0 - 0.04 * (used - 80));
        if (used < SLABS)
            refs[used] = take(pool);
    }
    for (int used = SLABS; used > 0; used--) {
        double before = health_of(pool).health_score;
        CHECK_STATUS(slabby_release(pool, refs[used - 1]), SLABBY_OK);
        double after = health_of(pool).health_score;
        assert_true(used > 80 ? after > before : after == 1.0);
    }
    finish(pool);
}

/* ---------------------------------------------------------------------------------------------- E, errors */

/* Guards: E falls with every failure, rises with every success, and is 1 again once the failures are old. */
static void errors_alone(void **state) {
    slabby_ref other;
    int attempts = 0, failed = 0;
    (void)state;
    slabby_allocator *pool = make_pool(64, 1, NULL);
    for (; attempts < 10; attempts++)
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    slabby_ref held = take(pool);
    attempts++;
    double before = 0.2; /* of H, as long as the only slab is out */
    for (; failed < 20; before = health_of(pool).health_score) {
        CHECK_STATUS(slabby_allocate(&other, NULL, pool), SLABBY_OUT_OF_MEMORY);
        attempts++;
        failed++;
        assert_true(health_of(pool).health_score < before);
    }
    CHECK_STATUS(slabby_release(pool, held), SLABBY_OK);
    expect_score(pool, 1.0 - (double)failed / attempts);
    for (int i = 0; i < 20; i++) {
        before = health_of(pool).health_score;
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
        assert_true(health_of(pool).health_score > before);
    }
    expect_score(pool, 1.0 - (double)failed / (attempts + 20));
    forget_window(pool);
    expect_score(pool, 1.0);
    finish(pool);
}

/* --------------------------------------------------------------------------------------------- L, latency */

/* What L makes of one look's own p99, which moves a little as the clock's rate becomes known better. */
static double latency_term(const slabby_health *health, int64_t limit_ns) {
    int64_t p99 = health->alloc_latency_p99;
    return p99 > limit_ns ? (double)limit_ns / (double)p99 : 1.0;
}

/* Notes one allocation that took so long, plus what the clock takes to look twice. */
static void allocation_of(slabby_allocator *pool, uint64_t ns) {
    uint64_t ticks = (uint64_t)((double)ns / slb_os_ns_per_tick());
    struct slb_timing timing = {slb_os_ticks() - ticks, 1};
    slb_timing_end(pool, &timing, 1);
}

static void limit_latency(slabby_allocator *pool, int64_t limit_ns) {
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_MAX_ALLOC_LATENCY, limit_ns, NULL), SLABBY_OK);
}

/* Guards: L is limit / p99 and falls as the limit does; it is 1 with a limit above p99, and without one. */
static void a_lower_limit_alone(void **state) {
    (void)state;
    slabby_allocator *pool = make_pool(64, SLABS, NULL);
    for (int i = 0; i < SAMPLES; i++)
        allocation_of(pool, 50 * MILLISECOND);
    int64_t p99 = health_of(pool).alloc_latency_p99;
    assert_true(p99 >= 49 * MILLISECOND);
    expect_score(pool, 1.0);
    for (int64_t limit = 2 * p99; limit > p99 + p99 / 16; limit -= p99 / 8) {
        limit_latency(pool, limit);
        expect_score(pool, 1.0);
    }
    double before = 1.0;
    for (int64_t limit = p99 - p99 / 8; limit > 1; limit -= limit / 8 + 1) {
        limit_latency(pool, limit);
        slabby_health health = health_of(pool);
        compare_score(&health, latency_term(&health, limit));
        assert_true(health.health_score < before);
        before = health.health_score;
    }
    limit_latency(pool, 0);
    expect_score(pool, 1.0);
    finish(pool);
}

/* Guards: L falls as p99 rises above the limit, never rises on the way, and counts no time below it. */
static void a_higher_latency_alone(void **state) {
    const int64_t limit = 20 * MILLISECOND;
    (void)state;
    slabby_allocator *pool = make_pool(64, SLABS, NULL);
    limit_latency(pool, limit);
    for (int i = 0; i < SAMPLES; i++)
        allocation_of(pool, 10 * MILLISECOND);
    expect_score(pool, 1.0);
    double before = 1.0;
    /* each wave is more than a hundredth of all so far: p99 is among it */
    for (int wave = 0, total = SAMPLES; wave < 12; wave++) {
        int more = total / 50 + 2;
        for (int i = 0; i < more; i++)
            allocation_of(pool, (uint64_t)(limit * (wave + 2)));
        total += more;
        slabby_health health = health_of(pool);
        assert_true(health.alloc_latency_p99 > limit * (wave + 2) * 9 / 10);
        compare_score(&health, latency_term(&health, limit));
        assert_true(health.health_score < before);
        before = health.health_score;
    }
    finish(pool);
}

/* Guards: fewer than a hundred samples say nothing. */
static void few_samples_say_nothing(void **state) {
    (void)state;
    slabby_allocator *pool = make_pool(64, SLABS, NULL);
    limit_latency(pool, 1 * MILLISECOND);
    for (int i = 0; i < SAMPLES - 1; i++)
        allocation_of(pool, 10 * MILLISECOND);
    expect_score(pool, 1.0);
    allocation_of(pool, 10 * MILLISECOND);
    assert_true(health_of(pool).health_score < 0.11);
    finish(pool);
}

/* --------------------------------------------------------------------------------------------- B, breaker */

/* The breaker is open, the pool empty again, and the failure that opened it no longer in the window. */
static slabby_allocator *pool_with_open_breaker(void) {
    slabby_ref ref;
    slabby_allocator *pool = make_pool(64, 1,
                                       WITH({SLABBY_OPTION_CIRCUIT_BREAKER_THRESHOLD, 1},
                                            {SLABBY_OPTION_CIRCUIT_BREAKER_TIMEOUT, 3600 * (int64_t)SECOND}));
    expect_score(pool, 1.0);
    slabby_ref held = take(pool);
    CHECK_STATUS(slabby_allocate(&ref, NULL, pool), SLABBY_OUT_OF_MEMORY);
    CHECK_STATUS(slabby_release(pool, held), SLABBY_OK);
    forget_window(pool);
    return pool;
}

/* Guards: open is 0 and half open a half, with every other term at 1; closed is 1 again. */
static void the_breaker_alone(void **state) {
    slabby_listener *listener;
    uint64_t ticket, count;
    int32_t notifier;
    slabby_ref ref;
    (void)state;
    slabby_allocator *pool = pool_with_open_breaker();
    assert_int_equal(health_of(pool).breaker_state, SLABBY_BREAKER_STATE_OPEN);
    expect_score(pool, 0.0);
    CHECK_STATUS(slabby_listener_create(&listener, &notifier, pool, NULL), SLABBY_OK);
    /* A probe without an outcome: the breaker is disabled for a moment to get the slab out of its way. */
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_DISABLED), SLABBY_OK);
    assert_int_equal(health_of(pool).breaker_mode, SLABBY_BREAKER_MODE_DISABLED);
    slabby_ref held = take(pool);
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_NORMAL), SLABBY_OK);
    CHECK_STATUS(slabby_allocate(&ref, NULL, pool), SLABBY_OUT_OF_MEMORY);
    clock_ns += 7200 * SECOND;
    CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_OK);
    CHECK_STATUS(slabby_wait_cancel(&ref, listener, ticket), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, held), SLABBY_OK);
    forget_window(pool);
    assert_int_equal(health_of(pool).breaker_state, SLABBY_BREAKER_STATE_HALF_OPEN);
    expect_score(pool, 0.5);
    assert_true(health_of(pool).breaker_factor == 0.5);
    clock_ns += 7200 * SECOND; /* the next round of probes */
    CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_OK);
    CHECK_STATUS(slabby_wait_take(&ticket, &ref, NULL, &count, listener, 1), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    forget_window(pool);
    expect_score(pool, 1.0);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    finish(pool);
}

/* ------------------------------------------------------------------------------------------- I, integrity */

static void corrupt_one(slabby_allocator *pool) {
    slabby_ref ref;
    char *data;
    CHECK_STATUS(slabby_allocate(&ref, (void **)&data, pool), SLABBY_OK);
    data[64] ^= 1;
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_MEMORY_CORRUPTION);
}

/* Guards: I is a quarter from the first corruption on, more of it never raises the score, acknowledged it is 1. */
static void corruption_alone(void **state) {
    (void)state;
    slabby_allocator *pool = make_pool(64, SLABS, WITH({SLABBY_OPTION_BIT_GUARD, 1}));
    expect_score(pool, 1.0);
    for (int found = 1; found <= 10; found++) {
        corrupt_one(pool);
        expect_score(pool, 0.25);
        assert_int_equal(health_of(pool).unacknowledged_corruptions, found);
    }
    forget_window(pool);
    expect_score(pool, 0.25); /* time does not heal it */
    CHECK_STATUS(slabby_reclaim(NULL, pool), SLABBY_OK);
    expect_score(pool, 1.0);
    assert_int_equal(health_of(pool).unacknowledged_corruptions, 0);
    finish(pool);
}

/* ----------------------------------------------------------------------------------------------- together */

/* What the score is made of so far. */
struct terms {
    slabby_ref refs[SLABS];
    int used, attempts, failed;
    int64_t limit_ns; /* or 0 */
    double integrity;
};

static void take_up_to(slabby_allocator *pool, struct terms *terms, int used) {
    for (; terms->used < used; terms->used++, terms->attempts++)
        terms->refs[terms->used] = take(pool);
}

/* So many successes that those of a later step are no noticeable good news. */
static void begin_well(slabby_allocator *pool, struct terms *terms) {
    for (; terms->attempts < 1000; terms->attempts++)
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    take_up_to(pool, terms, 1);
}

/* Asks for as many slabs as there are, of which some are out. */
static void fail_often(slabby_allocator *pool, struct terms *terms) {
    slabby_ref batch[SLABS];
    for (int i = 0; i < 100; i++, terms->failed++, terms->attempts++)
        CHECK_STATUS(slabby_allocate_batch(batch, NULL, pool, SLABS), SLABBY_OUT_OF_MEMORY);
}

static void slow_down(slabby_allocator *pool, struct terms *terms) {
    for (int i = 0; i < SAMPLES * 100; i++)
        allocation_of(pool, 1000 * MILLISECOND);
    limit_latency(pool, terms->limit_ns = 200 * MILLISECOND);
}

static void worsen(slabby_allocator *pool, struct terms *terms, uint64_t term) {
    switch (term) {
    case 0:
        take_up_to(pool, terms, 90);
        break;
    case 1:
        fail_often(pool, terms);
        break;
    case 2:
        slow_down(pool, terms);
        break;
    default:
        corrupt_one(pool);
        terms->attempts++;
        terms->integrity = 0.25;
    }
}

/* Each term once, in a random order. */
static void worsen_each(slabby_allocator *pool, struct terms *terms, uint64_t *seed) {
    double before = health_of(pool).health_score;
    for (uint64_t left = 15; left != 0;) {
        uint64_t term = random_next(seed) % 4;
        if ((left >> term & 1) == 0)
            continue;
        left &= ~(1ull << term);
        worsen(pool, terms, term);
        slabby_health health = health_of(pool);
        double use = terms->used == 90 ? 0.6 : 1.0, errors = 1.0 - (double)terms->failed / terms->attempts;
        double latency = terms->limit_ns == 0 ? 1.0 : latency_term(&health, terms->limit_ns);
        compare_score(&health, use * errors * latency * terms->integrity);
        assert_true(fabs(health.use_factor - use) < 1e-9 && fabs(health.error_factor - errors) < 1e-9);
        assert_true(fabs(health.latency_factor - latency) < 1e-9 && health.breaker_factor == 1.0);
        assert_true(health.integrity_factor == terms->integrity);
        assert_true(health.health_score < before);
        before = health.health_score;
    }
}

/* Guards: the terms multiply, in whatever order they worsen; none hides another or raises the score. */
static void terms_multiply(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    for (int round = 0; round < 24; round++) {
        slabby_allocator *pool = make_pool(64, SLABS, WITH({SLABBY_OPTION_BIT_GUARD, 1}));
        struct terms terms = {.integrity = 1.0};
        begin_well(pool, &terms);
        worsen_each(pool, &terms, &seed);
        CHECK_STATUS(slabby_release_batch(NULL, pool, terms.refs, (uint64_t)terms.used), SLABBY_OK);
        CHECK_STATUS(slabby_reclaim(NULL, pool), SLABBY_OK);
        finish(pool);
    }
}

#define TERM_TEST(name) cmocka_unit_test_setup_teardown(name, set_clock, reset_clock)

int main(void) {
    const struct CMUnitTest tests[] = {
        TERM_TEST(use_alone),
        TERM_TEST(errors_alone),
        TERM_TEST(a_lower_limit_alone),
        TERM_TEST(a_higher_latency_alone),
        TERM_TEST(few_samples_say_nothing),
        TERM_TEST(the_breaker_alone),
        TERM_TEST(corruption_alone),
        TERM_TEST(terms_multiply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
