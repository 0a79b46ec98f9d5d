/* SPDX-License-Identifier: GPL-3.0-or-later */
/* storm [--seconds N | --minutes N] [--round N --seed S]: rounds until the time is over. Number and seed of a round
 * repeat its plan and its threads' choices, though not the scheduler's. */
#define _GNU_SOURCE
#include "storm.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000u

/* Of demand and backend: every run has them all. */
#define PAIRS 9u

/* A round that takes this much longer than planned hangs. */
#define TIMEOUT_S 120u

static uint64_t total_ns = 20ull * SECOND_NS;
static uint64_t first_round, first_seed;

static const char *const demand_names[] = {"by credit", "by greed", "with resets"};

void storm_complain(struct storm *storm, const char *format, ...) {
    va_list arguments;

    if (atomic_fetch_add(&storm->troubles, 1) == 0) {
        va_start(arguments, format);
        vsnprintf(storm->trouble, sizeof storm->trouble, format, arguments);
        va_end(arguments);
    }
    atomic_store(&storm->over, 1);
}

/* ------------------------------------------------------------------------------------------------- a plan */

/* Demand and backend go through all their pairs, the rest is random. */
static struct storm_plan plan_round(uint64_t number, uint64_t seed) {
    static const uint64_t capacities[] = {3, 24, 64, 200, 1000, 20000};
    static const uint64_t sizes[] = {16, 64, 1000, 4096};
    static const int64_t backends[] = {SLABBY_CPU_CACHE_BACKEND_RSEQ, SLABBY_CPU_CACHE_BACKEND_PORTABLE,
                                       SLABBY_CPU_CACHE_BACKEND_AUTO};
    struct storm_plan plan = {.seed = seed};
    uint64_t roll = random_next(&seed);

    plan.demand = (enum storm_demand)(number % STORM_DEMANDS);
    plan.backend = backends[number / STORM_DEMANDS % COUNT_OF(backends)];
    plan.cache = plan.backend != SLABBY_CPU_CACHE_BACKEND_AUTO;
    if (plan.cache && !backend_is_here(plan.backend))
        plan.backend = SLABBY_CPU_CACHE_BACKEND_PORTABLE;
    plan.capacity = capacities[roll % COUNT_OF(capacities)];
    plan.slab_size = sizes[(roll >> 8) % COUNT_OF(sizes)];
    plan.secure = (roll >> 16) % 4 == 0;
    plan.bit_guard = (roll >> 20) % 4 == 0 && plan.demand != STORM_RESETS;
    plan.reuse_delay = (roll >> 24) % 4 == 0 ? 1 + (int64_t)(roll >> 28) % 8 : 0;
    plan.tracking = (int64_t)(roll >> 32 & 3) % 3;
    plan.signals = (roll >> 36) % 4 != 0;
    plan.disturbed = (roll >> 40) % 2;
    return plan;
}

static void print_plan(uint64_t number, const struct storm_plan *plan) {
    printf("--round %llu --seed 0x%llx: %s, %s, %llu slabs of %llu%s%s%s%s%s\n", (unsigned long long)number,
           (unsigned long long)plan->seed, plan->cache ? backend_name(plan->backend) : "no CPU caches",
           demand_names[plan->demand], (unsigned long long)plan->capacity,
           (unsigned long long)plan->slab_size, plan->secure ? ", secure" : "",
           plan->bit_guard ? ", bit_guard" : "", plan->reuse_delay ? ", reuse_delay" : "",
           plan->signals ? ", signals" : "", plan->disturbed ? ", disturbed" : "");
    fflush(stdout);
}

/* --------------------------------------------------------------------------------------------- the account */

static uint64_t get(_Atomic uint64_t *counter) {
    return (uint64_t)atomic_load(counter);
}

/* Every slab and every count. */
static void finish_round(struct storm *storm) {
    struct storm_counts *counts = &storm->counts;
    slabby_stats stats = stats_of(storm->pool);

    printf("    %llu allocations, %llu refused, %llu stale; %llu signals (%llu served), %llu deaths, %llu "
           "moves, "
           "%llu drains, %llu resets\n",
           (unsigned long long)get(&counts->allocated), (unsigned long long)get(&counts->refused),
           (unsigned long long)get(&counts->stale), (unsigned long long)get(&counts->handled),
           (unsigned long long)get(&counts->handler_served), (unsigned long long)get(&counts->deaths),
           (unsigned long long)get(&counts->moves), (unsigned long long)get(&counts->drains),
           (unsigned long long)get(&counts->resets));
    fflush(stdout);
    assert_true(get(&counts->allocated) > 0);
    assert_int_equal(stats.total_allocations, get(&counts->allocated));
    assert_int_equal(stats.total_deallocations, get(&counts->allocated));
    assert_int_equal(get(&counts->released) + get(&counts->stale), get(&counts->allocated));
    assert_int_equal(stats.fast_allocations, get(&counts->fast));
    assert_int_equal(stats.fast_deallocations, get(&counts->fast));
    assert_int_equal(stats.corruptions, 0);
    assert_int_equal(stats.retired_slabs + stats.quarantined_slabs, 0);
    if (storm->plan.demand != STORM_GREED)
        assert_int_equal(atomic_load(&storm->credits), storm->plan.capacity);
    if (storm->plan.demand != STORM_RESETS)
        assert_int_equal(get(&counts->stale), 0);
    finish(storm->pool);
}

/* -------------------------------------------------------------------------------------------------- rounds */

static slabby_allocator *make_storm_pool(const struct storm_plan *plan) {
    return make_pool(plan->slab_size, plan->capacity,
                     WITH({SLABBY_OPTION_PER_CPU_CACHE, plan->cache},
                          {SLABBY_OPTION_CPU_CACHE_BACKEND, plan->backend},
                          {SLABBY_OPTION_SECURE, plan->secure}, {SLABBY_OPTION_BIT_GUARD, plan->bit_guard},
                          {SLABBY_OPTION_REUSE_DELAY, plan->reuse_delay},
                          {SLABBY_OPTION_LATENCY_TRACKING, plan->tracking}));
}

static void run_round(struct storm *storm) {
    uint64_t random = storm->plan.seed;
    uint64_t end_ns = storm_now_ns() + storm->plan.duration_ns;
    struct timespec moment = {.tv_sec = 0, .tv_nsec = 5000000};
    pthread_t disturbance;

    storm_catch_signals(storm);
    storm_disturb(storm->plan.disturbed);
    for (int i = 0; i < STORM_WORKERS; i++) {
        storm->entries[i].storm = storm;
        storm->entries[i].random = random_next(&random);
        assert_int_equal(
            pthread_create(&storm->entries[i].keeper, NULL, storm_keep_entry, &storm->entries[i]), 0);
    }
    assert_int_equal(pthread_create(&disturbance, NULL, storm_make_disturbance, storm), 0);
    while (storm_now_ns() < end_ns && !atomic_load(&storm->over))
        nanosleep(&moment, NULL);
    atomic_store(&storm->over, 1);
    for (int i = 0; i < STORM_WORKERS; i++)
        assert_int_equal(pthread_join(storm->entries[i].keeper, NULL), 0);
    assert_int_equal(pthread_join(disturbance, NULL), 0);
    storm_disturb(0);
    storm_hand_in(storm);
}

static void storm_round(uint64_t number, uint64_t seed, uint64_t duration_ns) {
    static struct storm storm;

    memset(&storm, 0, sizeof storm);
    storm.plan = plan_round(number, seed);
    storm.plan.duration_ns = duration_ns;
    storm.pool = make_storm_pool(&storm.plan);
    storm.credits = (int64_t)storm.plan.capacity;
    print_plan(number, &storm.plan);
    alarm((unsigned)(duration_ns / SECOND_NS) + TIMEOUT_S);
    run_round(&storm);
    if (atomic_load(&storm.troubles))
        print_error("%d troubles, the first: %s\n", atomic_load(&storm.troubles), storm.trouble);
    assert_int_equal(atomic_load(&storm.troubles), 0);
    finish_round(&storm);
    alarm(0);
}

static void everything_at_once(void **state) {
    uint64_t seed = first_seed;
    uint64_t begin_ns = storm_now_ns();
    uint64_t round_ns = total_ns / 18;

    (void)state;
    if (round_ns > 3ull * SECOND_NS)
        round_ns = 3ull * SECOND_NS;
    for (uint64_t done = 0; done < PAIRS || storm_now_ns() - begin_ns < total_ns; done++) {
        storm_round(first_round + done, seed, round_ns);
        seed = random_next(&seed);
    }
}

static void say_that_it_hangs(int number) {
    static const char text[] = "the round above hangs: a thread waits for ever\n";

    (void)number;
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    abort();
}

/* ----------------------------------------------------------------------------------------------- arguments */

static uint64_t number_after(int count, char **arguments, int *at, uint64_t unit_ns) {
    char *end = NULL;

    if (*at + 1 >= count) {
        fprintf(stderr, "%s: needs a number\n", arguments[*at]);
        exit(2);
    }
    const char *text = arguments[++*at];
    uint64_t number = strtoull(text, &end, 0);

    if (*text == '\0' || *text == '-' || *end != '\0' || (unit_ns > 1 && (number == 0 || number > 1000000))) {
        fprintf(stderr, "%s %s: needs a whole number from 1 to 1000000\n", arguments[*at - 1], text);
        exit(2);
    }
    return number * unit_ns;
}

int main(int count, char **arguments) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_at_once),
    };
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    first_seed = ((uint64_t)now.tv_nsec << 20) ^ (uint64_t)now.tv_sec;
    for (int i = 1; i < count; i++) {
        if (!strcmp(arguments[i], "--seconds"))
            total_ns = number_after(count, arguments, &i, SECOND_NS);
        else if (!strcmp(arguments[i], "--minutes"))
            total_ns = number_after(count, arguments, &i, 60ull * SECOND_NS);
        else if (!strcmp(arguments[i], "--seed"))
            first_seed = number_after(count, arguments, &i, 1);
        else if (!strcmp(arguments[i], "--round"))
            first_round = number_after(count, arguments, &i, 1);
        else {
            fprintf(stderr, "no argument \"%s\"; there are --seconds, --minutes, --round, --seed\n",
                    arguments[i]);
            return 2;
        }
    }
    signal(SIGALRM, say_that_it_hangs);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
