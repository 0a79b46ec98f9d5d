/* SPDX-License-Identifier: GPL-3.0-or-later */
/* contention [--seconds N | --minutes N] [--round N --seed S]: rounds until the time is over. Number and seed of a
 * round repeat its plan and its threads' choices, though not the scheduler's. */
#define _GNU_SOURCE
#include "round.h"

#include "backend.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of demand and backend: every run has them all. */
#define PAIRS 9u
/* So many times all of them at most, while something has not happened yet. */
#define MOST_TURNS 10u

/* A round that takes this much longer than planned hangs. */
#define TIMEOUT_S 120u

static uint64_t total_ns = PAIRS * SECOND;
static uint64_t first_round, first_seed;

/* What has happened in all rounds so far. */
static struct {
    uint64_t handled, handler_served, deaths, moves, drains, resets;
    int signals; /* whether any round had them */
} seen;

static const char *const demand_names[] = {"by credit", "by greed", "with resets"};

void round_complain(struct round *round, const char *format, ...) {
    va_list arguments;

    if (atomic_fetch_add(&round->troubles, 1) == 0) {
        va_start(arguments, format);
        vsnprintf(round->trouble, sizeof round->trouble, format, arguments);
        va_end(arguments);
    }
    atomic_store(&round->over, 1);
}

/* ------------------------------------------------------------------------------------------------- a plan */

/* Demand and backend go through all their pairs, the rest is random. */
static struct round_plan plan_round(uint64_t number, uint64_t seed) {
    static const uint64_t capacities[] = {3, 24, 64, 200, 1000, 20000};
    static const uint64_t sizes[] = {16, 64, 1000, 4096};
    static const int64_t backends[] = {SLABBY_CPU_CACHE_BACKEND_RSEQ, SLABBY_CPU_CACHE_BACKEND_PORTABLE,
                                       SLABBY_CPU_CACHE_BACKEND_AUTO};
    struct round_plan plan = {.seed = seed};
    uint64_t roll = random_next(&seed);

    plan.demand = (enum round_demand)(number % ROUND_DEMANDS);
    plan.backend = backends[number / ROUND_DEMANDS % COUNT_OF(backends)];
    plan.cache = plan.backend != SLABBY_CPU_CACHE_BACKEND_AUTO;
    if (plan.cache && !backend_is_here(plan.backend))
        plan.backend = SLABBY_CPU_CACHE_BACKEND_PORTABLE;
    plan.capacity = capacities[roll % COUNT_OF(capacities)];
    plan.slab_size = sizes[(roll >> 8) % COUNT_OF(sizes)];
    plan.secure = (roll >> 16) % 4 == 0;
    plan.bit_guard = (roll >> 20) % 4 == 0 && plan.demand != ROUND_RESETS;
    plan.reuse_delay = (roll >> 24) % 4 == 0 ? 1 + (int64_t)(roll >> 28) % 8 : 0;
    plan.tracking = (int64_t)(roll >> 32 & 3) % 3;
    plan.signals = (roll >> 36) % 4 != 0;
    plan.disturbed = (roll >> 40) % 2;
    return plan;
}

static void print_plan(uint64_t number, const struct round_plan *plan) {
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

static void note_what_happened(const struct round_plan *plan, struct round_counts *counts) {
    seen.handled += get(&counts->handled);
    seen.handler_served += get(&counts->handler_served);
    seen.deaths += get(&counts->deaths);
    seen.moves += get(&counts->moves);
    seen.drains += get(&counts->drains);
    seen.resets += get(&counts->resets);
    seen.signals |= plan->signals;
}

/* A disturbance that never came disturbed nobody. On a busy machine one may need more rounds: a reset is refused while
 * there is a pin. */
static int everything_happened(void) {
    return seen.deaths > 0 && seen.moves > 0 && seen.drains > 0 && seen.resets > 0 && seen.signals &&
           seen.handled > 0 && seen.handler_served > 0;
}

/* Every slab and every count. */
static void finish_round(struct round *round) {
    struct round_counts *counts = &round->counts;
    slabby_stats stats = stats_of(round->pool);

    printf("    %llu allocations, %llu refused, %llu stale; %llu signals (%llu served), %llu deaths, %llu "
           "moves, "
           "%llu drains, %llu resets\n",
           (unsigned long long)get(&counts->allocated), (unsigned long long)get(&counts->refused),
           (unsigned long long)get(&counts->stale), (unsigned long long)get(&counts->handled),
           (unsigned long long)get(&counts->handler_served), (unsigned long long)get(&counts->deaths),
           (unsigned long long)get(&counts->moves), (unsigned long long)get(&counts->drains),
           (unsigned long long)get(&counts->resets));
    fflush(stdout);
    note_what_happened(&round->plan, counts);
    assert_true(get(&counts->allocated) > 0);
    assert_int_equal(stats.total_allocations, get(&counts->allocated));
    assert_int_equal(stats.total_deallocations, get(&counts->allocated));
    assert_int_equal(get(&counts->released) + get(&counts->stale), get(&counts->allocated));
    assert_int_equal(stats.fast_allocations, get(&counts->fast));
    assert_int_equal(stats.fast_deallocations, get(&counts->fast));
    assert_int_equal(stats.corruptions, 0);
    assert_int_equal(stats.retired_slabs + stats.quarantined_slabs, 0);
    if (round->plan.demand != ROUND_GREED)
        assert_int_equal(atomic_load(&round->credits), round->plan.capacity);
    if (round->plan.demand != ROUND_RESETS)
        assert_int_equal(get(&counts->stale), 0);
    finish(round->pool);
}

/* -------------------------------------------------------------------------------------------------- rounds */

static slabby_allocator *make_round_pool(const struct round_plan *plan) {
    return make_pool(plan->slab_size, plan->capacity,
                     WITH({SLABBY_OPTION_PER_CPU_CACHE, plan->cache},
                          {SLABBY_OPTION_CPU_CACHE_BACKEND, plan->backend},
                          {SLABBY_OPTION_SECURE, plan->secure}, {SLABBY_OPTION_BIT_GUARD, plan->bit_guard},
                          {SLABBY_OPTION_REUSE_DELAY, plan->reuse_delay},
                          {SLABBY_OPTION_LATENCY_TRACKING, plan->tracking}));
}

static void run_round(struct round *round) {
    uint64_t random = round->plan.seed;
    uint64_t end_ns = now_ns() + round->plan.duration_ns;
    pthread_t disturbance;

    round_catch_signals(round);
    round_disturb(round->plan.disturbed);
    for (int i = 0; i < ROUND_WORKERS; i++) {
        round->entries[i].round = round;
        round->entries[i].random = random_next(&random);
        assert_int_equal(
            pthread_create(&round->entries[i].keeper, NULL, round_keep_entry, &round->entries[i]), 0);
    }
    assert_int_equal(pthread_create(&disturbance, NULL, round_make_disturbance, round), 0);
    while ((now_ns() < end_ns || get(&round->counts.allocated) == 0) && !atomic_load(&round->over))
        sleep_ns(5 * MILLISECOND);
    atomic_store(&round->over, 1);
    for (int i = 0; i < ROUND_WORKERS; i++)
        assert_int_equal(pthread_join(round->entries[i].keeper, NULL), 0);
    assert_int_equal(pthread_join(disturbance, NULL), 0);
    round_disturb(0);
    round_hand_in(round);
}

static void play_round(uint64_t number, uint64_t seed, uint64_t duration_ns) {
    static struct round round;

    memset(&round, 0, sizeof round);
    round.plan = plan_round(number, seed);
    round.plan.duration_ns = duration_ns;
    round.pool = make_round_pool(&round.plan);
    round.credits = (int64_t)round.plan.capacity;
    print_plan(number, &round.plan);
    alarm((unsigned)(duration_ns / SECOND) + TIMEOUT_S);
    run_round(&round);
    if (atomic_load(&round.troubles))
        print_error("%d troubles, the first: %s\n", atomic_load(&round.troubles), round.trouble);
    assert_int_equal(atomic_load(&round.troubles), 0);
    finish_round(&round);
    alarm(0);
}

static void everything_at_once(void **state) {
    uint64_t seed = first_seed;
    uint64_t begin_ns = now_ns();
    uint64_t round_ns = total_ns / PAIRS;

    (void)state;
    if (round_ns > 3 * SECOND)
        round_ns = 3 * SECOND;
    for (uint64_t done = 0; done < PAIRS || now_ns() - begin_ns < total_ns ||
                            (!everything_happened() && done < MOST_TURNS * PAIRS);
         done++) {
        play_round(first_round + done, seed, round_ns);
        seed = random_next(&seed);
    }
    assert_true(everything_happened());
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

    first_seed = fresh_seed();
    for (int i = 1; i < count; i++) {
        if (!strcmp(arguments[i], "--seconds"))
            total_ns = number_after(count, arguments, &i, SECOND);
        else if (!strcmp(arguments[i], "--minutes"))
            total_ns = number_after(count, arguments, &i, 60 * SECOND);
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
