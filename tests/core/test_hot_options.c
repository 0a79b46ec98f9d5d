/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Hot reconfiguration: each option that the contract calls hot is changed by one thread while eight allocate and
 * release; it takes effect, is logged, and the counters are exact afterwards. Each cold one is refused with its
 * reason. The options come from the contract, so that a hot one without a case here fails. */
#define _GNU_SOURCE
#include "support.h"
#include "threads.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "contract_table.h"
#include "os/os.h"
#include "pool.h"
#include "tiers/gate.h"

enum { CAPACITY = 256, WORKERS = 8, BAG_SIZE = 16, SIZE = 100 };

/* The two values of a case; observe() sees whether the second one is in effect. Called on a quiet, empty pool. */
struct hot_case {
    int32_t option;
    int64_t first, second;
    struct setting settings[4];
    void (*observe)(slabby_allocator *pool, int second);
};

/* ------------------------------------------------------------------------------------------------ effects */

static slabby_ref take_written(slabby_allocator *pool, unsigned char **out_data) {
    slabby_ref ref = 0;

    CHECK_STATUS(slabby_allocate(&ref, (void **)out_data, pool), SLABBY_OK);
    return ref;
}

static void see_latency_limit(slabby_allocator *pool, int second) {
    uint64_t before = stats_of(pool).latency_violations;
    slabby_ref ref;

    for (int i = 0; i < 10; i++)
        if (slabby_allocate(&ref, NULL, pool) == SLABBY_OK)
            CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    assert_int_equal(stats_of(pool).latency_violations > before, second);
}

static void see_tracking(slabby_allocator *pool, int second) {
    uint64_t before = stats_of(pool).latency_samples;

    for (int i = 0; i < 100; i++)
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    assert_int_equal(stats_of(pool).latency_samples - before, second ? 100 : 0);
}

/* With one slab in circulation the next owner gets the last one's bytes, or zeros. */
static void see_zeroing(slabby_allocator *pool, int second) {
    slabby_ref refs[CAPACITY];
    unsigned char *data;

    CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, CAPACITY - 1), SLABBY_OK);
    slabby_ref ref = take_written(pool, &data);
    memset(data, 0x77, SIZE);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    ref = take_written(pool, &data);
    for (int i = 0; i < SIZE; i++)
        assert_int_equal(data[i], second ? 0 : 0x77);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_release_batch(NULL, pool, refs, CAPACITY - 1), SLABBY_OK);
}

static void see_guards(slabby_allocator *pool, int second) {
    uint64_t before = stats_of(pool).guard_hits;

    for (int i = 0; i < 20; i++)
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    assert_int_equal(stats_of(pool).guard_hits > before, second);
}

static void see_policy(slabby_allocator *pool, int second) {
    unsigned char *data;
    uint64_t count = 0;
    slabby_ref ref = take_written(pool, &data);

    data[SIZE] ^= 1;
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_MEMORY_CORRUPTION);
    assert_int_equal(stats_of(pool).quarantined_slabs, second ? 0 : 1);
    CHECK_STATUS(slabby_reclaim(&count, pool), SLABBY_OK);
    assert_int_equal(count, second ? 0 : 1);
}

static void see_stacks(slabby_allocator *pool, int second) {
    char text[4096] = "";
    slabby_ref ref = take(pool);

    CHECK_STATUS(slabby_stack(text, sizeof text, NULL, pool, ref), SLABBY_OK);
    assert_int_equal(strlen(text) > 0, second);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
}

static void see_heap(slabby_allocator *pool, int second) {
    slabby_ref refs[CAPACITY], more = 0;

    CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, CAPACITY), SLABBY_OK);
    CHECK_STATUS(slabby_allocate(&more, NULL, pool), second ? SLABBY_OK : SLABBY_OUT_OF_MEMORY);
    if (second)
        CHECK_STATUS(slabby_release(pool, more), SLABBY_OK);
    CHECK_STATUS(slabby_release_batch(NULL, pool, refs, CAPACITY), SLABBY_OK);
}

/* Every slab out, and one failure told to the breaker. */
static void fail_once(slabby_allocator *pool, slabby_ref *refs) {
    CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, CAPACITY), SLABBY_OK);
    CHECK_STATUS(slabby_allocate(&(slabby_ref){0}, NULL, pool), SLABBY_OUT_OF_MEMORY);
}

static void recover(slabby_allocator *pool, const slabby_ref *refs) {
    CHECK_STATUS(slabby_release_batch(NULL, pool, refs, CAPACITY), SLABBY_OK);
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_DISABLED), SLABBY_OK);
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_NORMAL), SLABBY_OK);
    assert_int_equal(stats_of(pool).breaker_state, SLABBY_BREAKER_STATE_CLOSED);
}

static void see_threshold(slabby_allocator *pool, int second) {
    slabby_ref refs[CAPACITY];

    fail_once(pool, refs);
    CHECK_STATUS(slabby_allocate(&(slabby_ref){0}, NULL, pool),
                 second ? SLABBY_CIRCUIT_BREAKER_OPEN : SLABBY_OUT_OF_MEMORY);
    recover(pool, refs);
}

/* The second timeout, a millisecond, is over after twenty; the first, an hour, is not. */
static void see_timeout(slabby_allocator *pool, int second) {
    slabby_ref refs[CAPACITY];

    fail_once(pool, refs);
    sleep_ns(20 * MILLISECOND);
    CHECK_STATUS(slabby_allocate(&(slabby_ref){0}, NULL, pool),
                 second ? SLABBY_OUT_OF_MEMORY : SLABBY_CIRCUIT_BREAKER_OPEN);
    recover(pool, refs);
}

/* Tickets that wait are probes without an outcome yet: the first value admits one, the second two. The timeout of the
 * case, 300 ms, is also how long a round of probes lasts: longer than the calls are held up under load. */
static void see_probes(slabby_allocator *pool, int second) {
    slabby_ref refs[CAPACITY];
    slabby_listener *listener = NULL;
    uint64_t ticket;
    int32_t notifier;

    fail_once(pool, refs);
    sleep_ns(400 * MILLISECOND);
    CHECK_STATUS(slabby_listener_create(&listener, &notifier, pool, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_OK);
    CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), second ? SLABBY_OK : SLABBY_CIRCUIT_BREAKER_OPEN);
    CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_CIRCUIT_BREAKER_OPEN);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    recover(pool, refs);
}

/* -------------------------------------------------------------------------------------------------- cases */

/* Without `observe`: another program shows the effect, and here the value is read back. */
static const struct hot_case cases[] = {
    {SLABBY_OPTION_MAX_ALLOC_LATENCY, 0, 1, {{SLABBY_OPTION_PER_CPU_CACHE, 0}}, see_latency_limit},
    {SLABBY_OPTION_LATENCY_TRACKING,
     SLABBY_LATENCY_TRACKING_OFF,
     SLABBY_LATENCY_TRACKING_ALL,
     {{0, 0}},
     see_tracking},
    {SLABBY_OPTION_SECURE, 0, 1, {{0, 0}}, see_zeroing},
    {SLABBY_OPTION_GUARD_SAMPLE_RATE, 0, 1, {{0, 0}}, see_guards},
    {SLABBY_OPTION_CORRUPTION_POLICY,
     SLABBY_CORRUPTION_POLICY_QUARANTINE,
     SLABBY_CORRUPTION_POLICY_RECLAIM,
     {{SLABBY_OPTION_BIT_GUARD, 1}},
     see_policy},
    {SLABBY_OPTION_DEBUG, 0, 1, {{0, 0}}, see_stacks},
    {SLABBY_OPTION_HEAP_FALLBACK, 0, 1, {{0, 0}}, see_heap},
    {SLABBY_OPTION_CIRCUIT_BREAKER_THRESHOLD, 0, 1, {{0, 0}}, see_threshold},
    {SLABBY_OPTION_CIRCUIT_BREAKER_TIMEOUT,
     3600000000000,
     1000000,
     {{SLABBY_OPTION_CIRCUIT_BREAKER_THRESHOLD, 1}},
     see_timeout},
    {SLABBY_OPTION_CIRCUIT_BREAKER_PROBES,
     1,
     2,
     {{SLABBY_OPTION_CIRCUIT_BREAKER_THRESHOLD, 1}, {SLABBY_OPTION_CIRCUIT_BREAKER_TIMEOUT, 300000000}},
     see_probes},
    {SLABBY_OPTION_HEALTH_CHECKS, 0, 1, {{0, 0}}, NULL},                     /* test_health_thread */
    {SLABBY_OPTION_HEALTH_INTERVAL, 1000000000, 2000000000, {{0, 0}}, NULL}, /* test_health_thread */
    {SLABBY_OPTION_DEGRADE_AT, 0, 80, {{0, 0}}, NULL},                       /* test_degrade */
    {SLABBY_OPTION_SURVIVE_AT, 0, 95, {{0, 0}}, NULL},                       /* test_degrade */
};

static const struct hot_case *case_of(int32_t option) {
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (cases[i].option == option)
            return &cases[i];
    return NULL;
}

/* ------------------------------------------------------------------------------------------------ under load */

struct hot_run {
    slabby_allocator *pool;
    const struct hot_case *given;
    _Atomic uint64_t served;
    _Atomic int done;
    uint64_t changes;
};

static void set_value(struct hot_run *run, int64_t value) {
    slabby_error error = fresh_error();
    slabby_status status = slabby_set_option(run->pool, run->given->option, value, &error);
    int64_t now = -1;

    if (status != SLABBY_OK)
        complain("%s: %s", slabby_status_name(status), error.text);
    else if (slabby_get_option(&now, run->pool, run->given->option) != SLABBY_OK || now != value)
        complain("option %d was set to %lld and is %lld", run->given->option, (long long)value,
                 (long long)now);
}

static void change(struct hot_run *run) {
    for (uint64_t i = 0; i < run->changes && !threads_failed(); i++) {
        set_value(run, i % 2 == 0 ? run->given->second : run->given->first);
        sched_yield();
    }
    atomic_store(&run->done, 1);
}

struct bag {
    slabby_ref refs[BAG_SIZE];
    uint64_t count;
};

/* LatencyExceeded is what one of the options is for. */
static void fetch(struct hot_run *run, struct bag *bag) {
    slabby_status status = slabby_allocate(&bag->refs[bag->count], NULL, run->pool);

    if (status == SLABBY_OK) {
        bag->count++;
        atomic_fetch_add_explicit(&run->served, 1, memory_order_relaxed);
    } else if (status != SLABBY_LATENCY_EXCEEDED) {
        complain("allocate: %s", slabby_status_name(status));
    }
}

static void give(struct hot_run *run, struct bag *bag) {
    slabby_status status = slabby_release(run->pool, bag->refs[--bag->count]);

    if (status != SLABBY_OK)
        complain("release: %s", slabby_status_name(status));
}

static void by_id(struct hot_run *run) {
    uint32_t id;
    void *data;
    slabby_status status = slabby_allocate_fast(&data, &id, run->pool);

    if (status == SLABBY_LATENCY_EXCEEDED)
        return;
    if (status != SLABBY_OK || slabby_deallocate_fast(run->pool, id) != SLABBY_OK)
        complain("by id: %s", slabby_status_name(status));
    atomic_fetch_add_explicit(&run->served, 1, memory_order_relaxed);
}

static void serve(struct worker *worker) {
    struct hot_run *run = worker->shared;
    struct bag bag = {.count = 0};

    if (worker->index == WORKERS) {
        change(run);
        return;
    }
    do {
        uint64_t roll = random_next(&worker->random);

        if (roll % 8 == 0)
            by_id(run);
        else if (roll & 8 && bag.count < BAG_SIZE)
            fetch(run, &bag);
        else if (bag.count != 0)
            give(run, &bag);
        if (roll >> 32 & 31)
            continue;
        sched_yield(); /* more threads than CPUs: let the one that changes come to its turn */
    } while ((!atomic_load(&run->done) || atomic_load(&run->served) == 0) && !threads_failed());
    while (bag.count != 0)
        give(run, &bag);
}

/* ---------------------------------------------------------------------------------------------------- checks */

/* Whether an event tells that the option was set to this value. */
static int was_logged(slabby_allocator *pool, const char *name, int64_t value) {
    slabby_event events[64];
    uint64_t count = 0, cursor = 0;
    int seen = 0;

    events[0].struct_size = sizeof *events;
    do {
        CHECK_STATUS(slabby_events_read(events, &count, NULL, &cursor, pool, 64), SLABBY_OK);
        for (uint64_t i = 0; i < count; i++)
            seen += events[i].code == SLABBY_EVENT_CODE_OPTION_CHANGED && events[i].value == value &&
                    strstr(events[i].text, name) != NULL;
    } while (count == 64);
    return seen;
}

static void check_effect(struct hot_run *run, int second) {
    set_value(run, second ? run->given->second : run->given->first);
    assert_no_thread_failed();
    if (run->given->observe != NULL)
        run->given->observe(run->pool, second);
}

static void change_under_load(const struct expected_option *option, uint64_t seed) {
    struct hot_run run = {.given = case_of(option->id), .changes = scaled(50) + 1};

    if (run.given == NULL)
        fail_msg("the contract calls %s hot, and there is no case for it", option->name);
    run.pool = make_pool(SIZE, CAPACITY, run.given->settings);
    run_threads(WORKERS + 1, serve, &run, seed);
    if (threads_failed())
        print_error("while option %s changed\n", option->name);
    assert_no_thread_failed();
    assert_true(atomic_load(&run.served) > 0);
    assert_int_equal(stats_of(run.pool).total_allocations, atomic_load(&run.served));
    assert_int_equal(stats_of(run.pool).total_deallocations, atomic_load(&run.served));
    check_sound(run.pool, 0);
    assert_true(was_logged(run.pool, option->name, run.given->second));
    for (int turn = 0; turn < 4; turn++)
        check_effect(&run, turn % 2);
    check_effect(&run, 0);
    finish(run.pool);
}

/* Guards: every hot option, under load. */
static void hot_options_change_under_load(void **state) {
    uint64_t seed = test_seed();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(expected_options); i++)
        if (expected_options[i].hot)
            change_under_load(&expected_options[i], random_next(&seed));
}

/* Guards: every case here is about an option that the contract calls hot. */
static void cases_are_hot(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int hot = 0;

        for (size_t k = 0; k < COUNT_OF(expected_options); k++)
            hot += expected_options[k].id == cases[i].option && expected_options[k].hot;
        assert_int_equal(hot, 1);
    }
}

/* Guards: every cold option is refused with its reason, and stays as it is. */
static void cold_options_are_refused(void **state) {
    slabby_allocator *pool = make_pool(SIZE, CAPACITY, NULL);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(expected_options); i++) {
        const struct expected_option *option = &expected_options[i];
        slabby_error error = fresh_error();
        int64_t before = -1, after = -1;

        if (option->hot)
            continue;
        if (!option->is_text)
            CHECK_STATUS(slabby_get_option(&before, pool, option->id), SLABBY_OK);
        CHECK_STATUS(slabby_set_option(pool, option->id, option->maximum, &error), SLABBY_COLD_OPTION);
        assert_int_equal(error.option, option->id);
        assert_non_null(strstr(error.text, option->name));
        assert_non_null(strstr(error.text, "fixed when the pool is made"));
        if (!option->is_text)
            CHECK_STATUS(slabby_get_option(&after, pool, option->id), SLABBY_OK);
        assert_true(before == after);
        assert_false(was_logged(pool, option->name, option->maximum));
    }
    finish(pool);
}

/* ------------------------------------------------------------------------------- settings of several threads */

/* What one thread sets again and again, while another sets and reads a second option. */
struct rival {
    slabby_allocator *pool;
    int32_t rivals, option;
    int64_t values[2], first;
    _Atomic int over;
};

static void set_and_read(struct worker *worker) {
    struct rival *rival = worker->shared;

    for (uint64_t i = 0; worker->index == 0 ? i < scaled(3000) && !threads_failed() : !rival->over; i++) {
        int64_t value = rival->first + (int64_t)(i % 3), found = -1;
        if (worker->index != 0) {
            (void)slabby_set_option(rival->pool, rival->rivals, rival->values[i % 2], NULL);
            continue;
        }
        (void)slabby_set_option(rival->pool, rival->option, value, NULL);
        for (int k = 0; k < 3; k++)
            sched_yield();
        (void)slabby_get_option(&found, rival->pool, rival->option);
        if (found != value)
            complain("option %d was set to %lld and is %lld", rival->option, (long long)value,
                     (long long)found);
    }
    if (worker->index == 0)
        rival->over = 1;
}

/* Guards: who sets one option undoes no setting of another. */
static void settings_undo_no_others(void **state) {
    struct rival rivals[] = {
        {.rivals = SLABBY_OPTION_CIRCUIT_BREAKER_THRESHOLD,
         .values = {10, 11},
         .option = SLABBY_OPTION_CIRCUIT_BREAKER_TIMEOUT,
         .first = 1000000},
        {.rivals = SLABBY_OPTION_CIRCUIT_BREAKER_THRESHOLD,
         .values = {10, 11},
         .option = SLABBY_OPTION_CIRCUIT_BREAKER_PROBES,
         .first = 1},
        {.rivals = SLABBY_OPTION_GUARD_SAMPLE_RATE,
         .values = {1000, 1001},
         .option = SLABBY_OPTION_LATENCY_TRACKING,
         .first = SLABBY_LATENCY_TRACKING_OFF},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rivals); i++) {
        rivals[i].pool = make_pool(SIZE, CAPACITY, NULL);
        run_threads(2, set_and_read, &rivals[i], 0);
        assert_no_thread_failed();
        finish(rivals[i].pool);
    }
}

static void set_limits(struct worker *worker) {
    struct rival *rival = worker->shared;

    for (uint64_t i = 0; worker->index != 0 && !rival->over; i++)
        (void)slabby_set_option(rival->pool, SLABBY_OPTION_MAX_ALLOC_LATENCY, rival->values[i % 2], NULL);
    for (uint64_t i = 0; worker->index == 0 && i < scaled(20000); i++) {
        slb_gate_lock(rival->pool);
        double ns = (double)atomic_load(&rival->pool->timing.limit_ns);
        double ticks = (double)atomic_load(&rival->pool->timing.limit_ticks);
        slb_gate_unlock(rival->pool);
        if (ns != 0 && (ticks * slb_os_ns_per_tick() < ns / 2 || ticks * slb_os_ns_per_tick() > ns * 2))
            complain("a limit of %g ns has %g ticks", ns, ticks);
    }
    rival->over = 1;
}

/* Guards: the limit that is read is the one that is in force, of several threads that set it. */
static void limits_are_of_one_thread(void **state) {
    struct rival rival = {.pool = make_pool(SIZE, CAPACITY, NULL), .values = {10000, 10000000}};

    (void)state;
    run_threads(3, set_limits, &rival, 0);
    assert_no_thread_failed();
    finish(rival.pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hot_options_change_under_load), cmocka_unit_test(cases_are_hot),
        cmocka_unit_test(cold_options_are_refused),      cmocka_unit_test(settings_undo_no_others),
        cmocka_unit_test(limits_are_of_one_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
