/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sizing: against the recursion in long double, published values of Erlang's formula, and bad input. */
#include "support.h"

#include <math.h>

static long double blocked(long double load, uint64_t servers) {
    long double b = 1;
    for (uint64_t n = 1; n <= servers; n++)
        b = load * b / ((long double)n + load * b);
    return b;
}

static uint64_t capacity_for(double rate, uint64_t mean, uint64_t p99, double probability) {
    uint64_t capacity = 0;
    CHECK_STATUS(slabby_suggest_capacity(&capacity, rate, mean, p99, probability), SLABBY_OK);
    return capacity;
}

/* Guards: the published tables of the Erlang B formula: the load that so many servers carry at a blocking of 1 %, 0.1 %
 * and 5 %. A touch less load needs no more servers; a touch more needs one more. */
static void capacities_agree_with_published_tables(void **state) {
    static const struct {
        double probability, load;
        uint64_t servers;
    } table[] = {
        {0.01, 0.0101, 1}, {0.01, 0.153, 2},   {0.01, 1.36, 5},   {0.01, 4.46, 10},  {0.01, 12.0, 20},
        {0.01, 37.9, 50},  {0.01, 84.1, 100},  {0.001, 0.762, 5}, {0.001, 3.09, 10}, {0.001, 9.41, 20},
        {0.001, 32.5, 50}, {0.001, 75.2, 100}, {0.05, 2.22, 5},   {0.05, 6.22, 10},  {0.05, 15.2, 20},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        /* tables give three digits */
        double slack = 0.01 * table[i].load;
        assert_int_equal(capacity_for(table[i].load - slack, SECOND, SECOND, table[i].probability),
                         table[i].servers);
        assert_int_equal(capacity_for(table[i].load + slack, SECOND, SECOND, table[i].probability),
                         table[i].servers + 1);
    }
}

/* Guards: the answer is the least capacity that keeps the mix of ordinary time and stalls within the limit. */
static void capacities_are_the_least_that_do(void **state) {
    uint64_t seed = test_seed();
    (void)state;
    for (uint64_t round = 0; round < 300; round++) {
        double rate = exp((double)(random_next(&seed) % 10000) / 1000.0);   /* 1 to 22,000 */
        uint64_t mean = 1000000 + random_next(&seed) % 100000000;           /* 1 to 100 ms */
        uint64_t p99 = mean + mean * (random_next(&seed) % 100) / 10;       /* up to 11 times */
        double limit = exp(-(double)(random_next(&seed) % 20000) / 1000.0); /* down to 2e-9 */
        limit = limit < 0.99 ? limit : 0.5;
        uint64_t found = capacity_for(rate, mean, p99, limit);
        long double load = (long double)rate * mean / 1e9L, stall = (long double)rate * p99 / 1e9L;
        long double enough = 0.99L * blocked(load, found) + 0.01L * blocked(stall, found);
        long double fewer = 0.99L * blocked(load, found - 1) + 0.01L * blocked(stall, found - 1);
        assert_true(enough <= limit * (1 + 1e-9L));
        assert_true(fewer > limit * (1 - 1e-9L));
    }
}

/* Guards: large pools take no longer than small ones, and what no pool could hold is said. */
static void large_loads_are_answered(void **state) {
    uint64_t capacity = 7;
    (void)state;
    /* the loss of n = a servers is about sqrt(2 / (pi a)), so for a limit above it fewer than a do */
    capacity = capacity_for(1e9, SECOND, SECOND, 1e-9);
    assert_in_range(capacity, 1000000000, 1000300000);
    assert_in_range(capacity_for(1e9, SECOND, SECOND, 0.5), 499000000, 501000000);
    CHECK_STATUS(slabby_suggest_capacity(&capacity, 1e12, SECOND, SECOND, 0.01), SLABBY_CAPACITY_EXCEEDED);
    assert_int_equal(capacity_for(1e-6, 1, 1, 0.5), 1);
}

/* Guards: more of anything never needs fewer slabs. */
static void capacities_are_monotone(void **state) {
    uint64_t before = 0;
    (void)state;
    for (uint64_t p99 = 10; p99 <= 1000; p99 += 10) {
        uint64_t now = capacity_for(1e6, 10000, 1000 * p99, 1e-4);
        assert_true(now >= before);
        before = now;
    }
    assert_true(capacity_for(1e6, 10000, 10000, 1e-4) < capacity_for(1e6, 10000, 100000, 1e-4));
    assert_true(capacity_for(1e6, 10000, 10000, 1e-4) < capacity_for(1e6, 10000, 10000, 1e-8));
    assert_true(capacity_for(1e6, 10000, 10000, 1e-4) < capacity_for(1e6, 20000, 20000, 1e-4));
    assert_int_equal(capacity_for(1e6, 10000, 5000, 1e-4), capacity_for(1e6, 10000, 10000, 1e-4));
}

/* Guards: nonsense is refused and changes nothing. */
static void bad_capacity_input_is_refused(void **state) {
    static const struct {
        double rate;
        uint64_t mean, p99;
        double probability;
    } bad[] = {
        {0, 1, 1, 0.1},
        {-1, 1, 1, 0.1},
        {NAN, 1, 1, 0.1},
        {INFINITY, 1, 1, 0.1},
        {1e13, 1, 1, 0.1},
        {1, 0, 1, 0.1},
        {1, 1, 101, 0.1},
        {1, 1, 0, 0.1},
        {1, 1, 1, 0},
        {1, 1, 1, 1},
        {1, 1, 1, -0.1},
        {1, 1, 1, 2},
        {1, 1, 1, NAN},
        {1, 1, 1, 1e-16},
        {1, 1, 200, 0.1},
        {1, 86400 * SECOND + 1, 1, 0.1},
        {1, 864 * SECOND, 86400 * SECOND + 1, 0.1},
        {1, UINT64_MAX, UINT64_MAX, 0.1},
    };
    uint64_t capacity = 7;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        CHECK_STATUS(
            slabby_suggest_capacity(&capacity, bad[i].rate, bad[i].mean, bad[i].p99, bad[i].probability),
            SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_suggest_capacity(NULL, 1, 1, 1, 0.1), SLABBY_INVALID_ARGUMENT);
    assert_int_equal(capacity, 7);
}

static uint64_t size_for(uint64_t average, uint64_t maximum, double rate, uint64_t alignment) {
    uint64_t size = 0;
    CHECK_STATUS(slabby_suggest_slab_size(&size, average, maximum, rate, alignment), SLABBY_OK);
    return size;
}

/* Guards: every object fits, at the alignment; busy pools and objects of half a line get lines of their own. */
static void sizes_hold_the_largest_object(void **state) {
    (void)state;
    assert_int_equal(size_for(1000, 1500, 1000, 64), 1536);
    assert_int_equal(size_for(1536, 1536, 1000, 64), 1536);
    assert_int_equal(size_for(10, 20, 1000, 8), 24);
    assert_int_equal(size_for(10, 20, 2e6, 8), 64);
    assert_int_equal(size_for(32, 40, 1000, 8), 64);
    assert_int_equal(size_for(31, 40, 1000, 8), 40);
    assert_int_equal(size_for(1000, 1500, 1000, 4096), 4096);
    assert_int_equal(size_for(1, 1, 0.5, 1), 1);
    assert_int_equal(size_for(1, 1ull << 30, 1, 2097152), 1ull << 30);
}

static void bad_size_input_is_refused(void **state) {
    static const struct {
        uint64_t average, maximum;
        double rate;
        uint64_t alignment;
    } bad[] = {
        {0, 1, 1, 64},   {2, 1, 1, 64},      {1, (1ull << 30) + 1, 1, 64}, {1, 1, 0, 64},
        {1, 1, NAN, 64}, {1, 1, -1, 64},     {1, 1, INFINITY, 64},         {1, 1, 1, 0},
        {1, 1, 1, 48},   {1, 1, 1, 4194304},
    };
    uint64_t size = 7;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        CHECK_STATUS(
            slabby_suggest_slab_size(&size, bad[i].average, bad[i].maximum, bad[i].rate, bad[i].alignment),
            SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_suggest_slab_size(NULL, 1, 1, 1, 64), SLABBY_INVALID_ARGUMENT);
    assert_int_equal(size, 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capacities_agree_with_published_tables),
        cmocka_unit_test(capacities_are_the_least_that_do),
        cmocka_unit_test(large_loads_are_answered),
        cmocka_unit_test(capacities_are_monotone),
        cmocka_unit_test(bad_capacity_input_is_refused),
        cmocka_unit_test(sizes_hold_the_largest_object),
        cmocka_unit_test(bad_size_input_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
