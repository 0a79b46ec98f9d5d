/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The breaker's transitions, all of them: every mode and state that a pool can be in, and everything that can happen to
 * it there, under a clock of our own. The table has a column for each happening, so none can be left out. */
#define _GNU_SOURCE
#include "manual_clock.h"
#include "support.h"

#include "test_hooks.h"

#include <stdbool.h>

enum { THRESHOLD = 2, PROBES = 2, TIMEOUT_S = 10 };

/* --------------------------------------------------------------------------------------------------- table */

/* Where a pool stands. A metrics-only pool has the states of a breaker and refuses nothing. */
enum entry {
    CLOSED,
    FAILED, /* closed, one failure before the threshold */
    OPEN,
    HALF_OPEN, /* one probe waits, one may still come */
    SPENT,     /* half open, and every probe of this round waits */
    FORCED,
    DISABLED,
    METRICS,
    METRICS_FAILED,
    METRICS_OPEN,
    METRICS_HALF,
    ENTRIES
};

enum happening {
    SUCCESS,      /* a slab comes free: a probe that waits gets it, or else an allocation finds it */
    FAILURE,      /* an allocation finds none */
    WAIT_IN_VAIN, /* a timed wait ends without one */
    WAIT_SERVED,  /* a wait ends with one */
    EARLY,        /* SUCCESS, a moment before the earliest end of the timeout */
    LATE_SUCCESS, /* SUCCESS, after the timeout */
    LATE_FAILURE, /* FAILURE, after the timeout */
    TO_NORMAL,    /* slabby_breaker_force, four modes */
    TO_FORCED,
    TO_DISABLED,
    TO_METRICS,
    NO_BREAKER, /* circuit_breaker_threshold = 0 */
    HAPPENINGS
};

static const char *const entry_names[ENTRIES] = {"closed",
                                                 "closed, a failure",
                                                 "open",
                                                 "half open",
                                                 "half open, probes spent",
                                                 "forced open",
                                                 "disabled",
                                                 "metrics only",
                                                 "metrics only, a failure",
                                                 "metrics open",
                                                 "metrics half open"};
static const char *const happening_names[HAPPENINGS] = {
    "success",      "failure",      "wait in vain", "wait served", "early success", "late success",
    "late failure", "force normal", "force open",   "disable",     "metrics only",  "threshold 0"};

#define OK SLABBY_OK
#define NONE SLABBY_OUT_OF_MEMORY
#define LATE SLABBY_TIMEOUT
#define REFUSED SLABBY_CIRCUIT_BREAKER_OPEN

struct transition {
    slabby_status answer;
    enum entry next;
};

/* clang-format off */
static const struct transition table[ENTRIES][HAPPENINGS] = {
    /*                  success            failure                 wait in vain            wait served */
    [CLOSED]         = {{OK, CLOSED},      {NONE, FAILED},         {LATE, CLOSED},         {OK, CLOSED},
    /* early, late success, late failure */
                        {OK, CLOSED},      {OK, CLOSED},           {NONE, FAILED},
    /* normal, forced open, disabled, metrics only, threshold 0 */
                        {OK, CLOSED},      {OK, FORCED},  {OK, DISABLED},  {OK, METRICS},  {OK, DISABLED}},
    [FAILED]         = {{OK, CLOSED},      {NONE, OPEN},           {LATE, FAILED},         {OK, CLOSED},
                        {OK, CLOSED},      {OK, CLOSED},           {NONE, OPEN},
                        {OK, FAILED},      {OK, FORCED},  {OK, DISABLED},  {OK, METRICS},  {OK, DISABLED}},
    [OPEN]           = {{REFUSED, OPEN},   {REFUSED, OPEN},        {REFUSED, OPEN},        {REFUSED, OPEN},
                        {REFUSED, OPEN},   {OK, CLOSED},           {NONE, OPEN},
                        {OK, OPEN},        {OK, FORCED},  {OK, DISABLED},  {OK, METRICS},  {OK, DISABLED}},
    [HALF_OPEN]      = {{OK, CLOSED},      {NONE, OPEN},           {LATE, HALF_OPEN},      {OK, CLOSED},
                        {OK, CLOSED},      {OK, CLOSED},           {NONE, OPEN},
                        {OK, HALF_OPEN},   {OK, FORCED},  {OK, DISABLED},  {OK, METRICS},  {OK, DISABLED}},
    [SPENT]          = {{OK, CLOSED},      {REFUSED, SPENT},       {REFUSED, SPENT},       {REFUSED, SPENT},
                        {OK, CLOSED},      {OK, CLOSED},           {NONE, OPEN},
                        {OK, SPENT},       {OK, FORCED},  {OK, DISABLED},  {OK, METRICS},  {OK, DISABLED}},
    [FORCED]         = {{REFUSED, FORCED}, {REFUSED, FORCED},      {REFUSED, FORCED},      {REFUSED, FORCED},
                        {REFUSED, FORCED}, {REFUSED, FORCED},      {REFUSED, FORCED},
                        {OK, CLOSED},      {OK, FORCED},  {OK, DISABLED},  {OK, METRICS},  {OK, FORCED}},
    [DISABLED]       = {{OK, DISABLED},    {NONE, DISABLED},       {LATE, DISABLED},       {OK, DISABLED},
                        {OK, DISABLED},    {OK, DISABLED},         {NONE, DISABLED},
                        {OK, CLOSED},      {OK, FORCED},  {OK, DISABLED},  {OK, METRICS},  {OK, DISABLED}},
    [METRICS]        = {{OK, METRICS},     {NONE, METRICS_FAILED}, {LATE, METRICS},        {OK, METRICS},
                        {OK, METRICS},     {OK, METRICS},          {NONE, METRICS_FAILED},
                        {OK, CLOSED},      {OK, FORCED},  {OK, DISABLED},  {OK, METRICS},  {OK, DISABLED}},
    [METRICS_FAILED] = {{OK, METRICS},     {NONE, METRICS_OPEN},   {LATE, METRICS_FAILED}, {OK, METRICS},
                        {OK, METRICS},     {OK, METRICS},          {NONE, METRICS_OPEN},
                        {OK, FAILED},      {OK, FORCED},  {OK, DISABLED},  {OK, METRICS},  {OK, DISABLED}},
    [METRICS_OPEN]   = {{OK, METRICS_OPEN}, {NONE, METRICS_OPEN},  {LATE, METRICS_OPEN},   {OK, METRICS_OPEN},
                        {OK, METRICS_OPEN}, {OK, METRICS},         {NONE, METRICS_OPEN},
                        {OK, OPEN},        {OK, FORCED},  {OK, DISABLED},  {OK, METRICS},  {OK, DISABLED}},
    [METRICS_HALF]   = {{OK, METRICS},     {NONE, METRICS_OPEN},   {LATE, METRICS_HALF},   {OK, METRICS},
                        {OK, METRICS},     {OK, METRICS},          {NONE, METRICS_OPEN},
                        {OK, HALF_OPEN},   {OK, FORCED},  {OK, DISABLED},  {OK, METRICS},  {OK, DISABLED}},
};
/* clang-format on */

/* ----------------------------------------------------------------------------------------------- happenings */

/* A pool of one slab, which is out as long as `held` is a reference. */
struct bench {
    slabby_allocator *pool;
    slabby_listener *listener;
    slabby_ref held;
};

static void pass(uint64_t seconds) {
    clock_ns += seconds * SECOND;
}

static slabby_status succeed(struct bench *bench) {
    uint64_t ticket, count;
    CHECK_STATUS(slabby_release(bench->pool, bench->held), OK);
    bench->held = 0;
    CHECK_STATUS(slabby_wait_take(&ticket, &bench->held, NULL, &count, bench->listener, 1), OK);
    return count == 1 ? OK : slabby_allocate(&bench->held, NULL, bench->pool);
}

static slabby_status fail_to(struct bench *bench) {
    slabby_ref none;
    return slabby_allocate(&none, NULL, bench->pool);
}

static slabby_status wait_in_vain(struct bench *bench) {
    slabby_ref none;
    return slabby_allocate_timeout(&none, NULL, bench->pool, 1);
}

static slabby_status wait_served(struct bench *bench) {
    uint64_t ticket, count;
    slabby_status status = slabby_wait_begin(&ticket, bench->listener, 0);
    if (status != OK)
        return status;
    CHECK_STATUS(slabby_release(bench->pool, bench->held), OK);
    CHECK_STATUS(slabby_wait_take(&ticket, &bench->held, NULL, &count, bench->listener, 1), OK);
    assert_int_equal(count, 1);
    return OK;
}

static slabby_status happen(struct bench *bench, enum happening what) {
    if (what == EARLY)
        clock_ns += (TIMEOUT_S - 1) * SECOND - 1;
    if (what == LATE_SUCCESS || what == LATE_FAILURE)
        pass(TIMEOUT_S + 2);
    (void)stats_of(bench->pool); /* somebody looks */
    switch (what) {
    case SUCCESS:
    case EARLY:
    case LATE_SUCCESS:
        return succeed(bench);
    case FAILURE:
    case LATE_FAILURE:
        return fail_to(bench);
    case WAIT_IN_VAIN:
        return wait_in_vain(bench);
    case WAIT_SERVED:
        return wait_served(bench);
    case NO_BREAKER:
        return slabby_set_option(bench->pool, SLABBY_OPTION_CIRCUIT_BREAKER_THRESHOLD, 0, NULL);
    default: {
        const int32_t modes[] = {SLABBY_BREAKER_MODE_NORMAL, SLABBY_BREAKER_MODE_FORCED_OPEN,
                                 SLABBY_BREAKER_MODE_DISABLED, SLABBY_BREAKER_MODE_METRICS_ONLY};
        return slabby_breaker_force(bench->pool, modes[what - TO_NORMAL]);
    }
    }
}

/* --------------------------------------------------------------------------------------------------- places */

/* One way to each place, from a pool that was just made. */
static const enum happening ways[ENTRIES][5] = {
    [CLOSED] = {HAPPENINGS},
    [FAILED] = {FAILURE, HAPPENINGS},
    [OPEN] = {FAILURE, FAILURE, HAPPENINGS},
    [HALF_OPEN] = {FAILURE, FAILURE, HAPPENINGS},
    [SPENT] = {FAILURE, FAILURE, HAPPENINGS},
    [FORCED] = {TO_FORCED, HAPPENINGS},
    [DISABLED] = {TO_DISABLED, HAPPENINGS},
    [METRICS] = {TO_METRICS, HAPPENINGS},
    [METRICS_FAILED] = {TO_METRICS, FAILURE, HAPPENINGS},
    [METRICS_OPEN] = {TO_METRICS, FAILURE, FAILURE, HAPPENINGS},
    [METRICS_HALF] = {TO_METRICS, FAILURE, FAILURE, HAPPENINGS},
};

static struct bench bench_at(enum entry entry) {
    struct bench bench;
    int32_t notifier;
    bench.pool = make_pool(64, 1,
                           WITH({SLABBY_OPTION_CIRCUIT_BREAKER_THRESHOLD, THRESHOLD},
                                {SLABBY_OPTION_CIRCUIT_BREAKER_TIMEOUT, TIMEOUT_S * (int64_t)SECOND},
                                {SLABBY_OPTION_CIRCUIT_BREAKER_PROBES, PROBES}));
    CHECK_STATUS(slabby_listener_create(&bench.listener, &notifier, bench.pool, NULL), OK);
    bench.held = take(bench.pool);
    for (const enum happening *next = ways[entry]; *next != HAPPENINGS; next++)
        (void)happen(&bench, *next);
    if (entry == HALF_OPEN || entry == SPENT || entry == METRICS_HALF)
        pass(TIMEOUT_S + 2);
    uint64_t ticket;
    for (int probes = entry == SPENT ? 2 : entry == HALF_OPEN ? 1 : 0; probes > 0; probes--)
        CHECK_STATUS(slabby_wait_begin(&ticket, bench.listener, 0), OK);
    return bench;
}

/* How the pool answers failures from here on: that many OutOfMemory, then refusals or, where nothing is refused, the
 * state open after so many; FAR where it never opens. */
enum { FAR = 100 };

static int failures_until(struct bench *bench, bool refuses) {
    int failures = 0;
    for (; failures < FAR; failures++) {
        if (!refuses && stats_of(bench->pool).breaker_state == SLABBY_BREAKER_STATE_OPEN)
            return failures;
        if (fail_to(bench) == REFUSED)
            return failures;
    }
    return FAR;
}

struct marks {
    int32_t state;
    bool refuses;
    int failures;
};

/* What tells the places apart. */
static const struct marks marks[ENTRIES] = {
    [CLOSED] = {SLABBY_BREAKER_STATE_CLOSED, true, THRESHOLD},
    [FAILED] = {SLABBY_BREAKER_STATE_CLOSED, true, THRESHOLD - 1},
    [OPEN] = {SLABBY_BREAKER_STATE_OPEN, true, 0},
    [HALF_OPEN] = {SLABBY_BREAKER_STATE_HALF_OPEN, true, 1},
    [SPENT] = {SLABBY_BREAKER_STATE_HALF_OPEN, true, 0},
    [FORCED] = {SLABBY_BREAKER_STATE_OPEN, true, 0},
    [DISABLED] = {SLABBY_BREAKER_STATE_CLOSED, true, FAR},
    [METRICS] = {SLABBY_BREAKER_STATE_CLOSED, false, THRESHOLD},
    [METRICS_FAILED] = {SLABBY_BREAKER_STATE_CLOSED, false, THRESHOLD - 1},
    [METRICS_OPEN] = {SLABBY_BREAKER_STATE_OPEN, false, 0},
    [METRICS_HALF] = {SLABBY_BREAKER_STATE_HALF_OPEN, false, 1},
};

static bool stands_at(struct bench *bench, enum entry entry) {
    const struct marks *expected = &marks[entry];
    int32_t state = stats_of(bench->pool).breaker_state;
    bool metrics = !expected->refuses;
    int failures = bench->held != 0 || state != SLABBY_BREAKER_STATE_CLOSED
                       ? failures_until(bench, !metrics)
                       : -1; /* the slab is free: nothing here may fail */
    bool right = state == expected->state && failures == expected->failures;
    if (metrics && right && bench->held != 0) /* open, it refuses nothing */
        right = fail_to(bench) == NONE;
    if (entry == FORCED || entry == OPEN) { /* what time opens, and what only an operator does */
        pass(TIMEOUT_S + 2);
        right = right && (fail_to(bench) == REFUSED) == (entry == FORCED);
    }
    if (!right)
        print_error("state %d, %d failures; wanted state %d, %d\n", state, failures, expected->state,
                    expected->failures);
    return right;
}

static void end(struct bench *bench) {
    CHECK_STATUS(slabby_breaker_force(bench->pool, SLABBY_BREAKER_MODE_DISABLED), OK);
    CHECK_STATUS(slabby_listener_destroy(bench->listener), OK);
    CHECK_STATUS(slabby_reset(bench->pool), OK);
    finish(bench->pool);
}

/* ---------------------------------------------------------------------------------------------------- tests */

/* Guards: the test's own ways and marks: each place is reached, and is told from every other. */
static void addresses_are_distinguished(void **state) {
    (void)state;
    for (enum entry here = 0; here < ENTRIES; here++) {
        struct bench bench = bench_at(here);
        assert_true(stands_at(&bench, here));
        end(&bench);
    }
}

/* Guards: every transition, answer and place. */
static void every_transition_is_the_tables(void **state) {
    (void)state;
    for (enum entry here = 0; here < ENTRIES; here++) {
        for (enum happening what = 0; what < HAPPENINGS; what++) {
            const struct transition *expected = &table[here][what];
            struct bench bench = bench_at(here);
            slabby_status answer = happen(&bench, what);
            bool right = answer == expected->answer && stands_at(&bench, expected->next);
            if (!right)
                fail_msg("%s, then %s: answered %s, wanted %s and \"%s\"", entry_names[here],
                         happening_names[what], slabby_status_name(answer),
                         slabby_status_name(expected->answer), entry_names[expected->next]);
            end(&bench);
        }
    }
}

#define TABLE_TEST(name) cmocka_unit_test_setup_teardown(name, set_clock, reset_clock)

int main(void) {
    const struct CMUnitTest tests[] = {
        TABLE_TEST(addresses_are_distinguished),
        TABLE_TEST(every_transition_is_the_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
