/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The thread "slabby-health": one for all pools. It runs while a pool needs it, and a pool may end beside it. */
#define _GNU_SOURCE
#include "manual_clock.h"
#include "support.h"
#include "threads.h"

#include "pool.h"
#include "test_hooks.h"

#include <dirent.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICKING                                                                                              \
    {SLABBY_OPTION_HEALTH_CHECKS, 1}, {                                                                      \
        SLABBY_OPTION_HEALTH_INTERVAL, MILLISECOND                                                           \
    }

/* ------------------------------------------------------------------------------------------ threads, by name */

static void read_line(const char *path, const char *start, char *out, size_t size) {
    FILE *file = fopen(path, "r");
    out[0] = '\0';
    while (file != NULL && fgets(out, (int)size, file) != NULL && strncmp(out, start, strlen(start)) != 0)
        out[0] = '\0';
    if (file != NULL)
        fclose(file);
}

/* How many threads of this name there are, and the signals that the last of them blocks. */
static int health_threads(unsigned long long *out_blocked) {
    char path[300], line[200];
    int found = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *task; tasks != NULL && (task = readdir(tasks)) != NULL;) {
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        read_line(path, "slabby-health", line, sizeof line);
        if (line[0] == '\0')
            continue;
        found++;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
        read_line(path, "SigBlk:", line, sizeof line);
        *out_blocked = line[0] == '\0' ? 0 : strtoull(line + 7, NULL, 16);
    }
    if (tasks != NULL)
        closedir(tasks);
    return found;
}

/* Threads start and end a moment after they are told to: wait, for as long as the test runner does. */
static void wait_for_threads(int expected) {
    unsigned long long blocked;
    WAIT_UNTIL(health_threads(&blocked) == expected);
}

/* --------------------------------------------------------------------------------------- is a pool ticked? */

static bool degradation_is_reported(slabby_allocator *pool, uint64_t *cursor, int64_t value) {
    slabby_event event = {.struct_size = sizeof event};
    uint64_t count = 1;
    while (count != 0) {
        if (slabby_events_read(&event, &count, NULL, cursor, pool, 1) != SLABBY_OK)
            return false;
        if (count != 0 && event.code == SLABBY_EVENT_CODE_DEGRADATION && event.value == value)
            return true;
    }
    return false;
}

/* The way back to healthy takes a tick after the last release, and another a second later: to read events is no
 * look. */
static void wait_for_recovery(slabby_allocator *pool) {
    uint64_t cursor = 0;
    while (!degradation_is_reported(pool, &cursor, SLABBY_DEGRADATION_STATE_HEALTHY)) {
        clock_ns += SECOND;
        sleep_ns(MILLISECOND);
    }
}

static void degrade_once(slabby_allocator *pool) {
    slabby_ref refs[2];
    CHECK_STATUS(slabby_allocate_batch(refs, NULL, pool, 2), SLABBY_OK);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_DEGRADE_AT, 100, NULL), SLABBY_OK);
    assert_int_equal(stats_of(pool).degradation_state, SLABBY_DEGRADATION_STATE_DEGRADED);
    CHECK_STATUS(slabby_release(pool, refs[0]), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, refs[1]), SLABBY_OK);
}

/* -------------------------------------------------------------------------------------------------- tests */

/* Guards: where the system refuses the thread the option is refused in words, and nothing is on. First of all tests,
 * because libc keeps stacks of threads that have ended. */
static void a_refused_thread_is_said(void **state) {
    (void)state;
    if (TEST_UNDER_SANITIZER)
        skip(); /* sanitizers reserve more address space than the limit below */
    pid_t child = fork();
    if (child == 0) {
        slabby_error error = fresh_error();
        slabby_allocator *pool = make_pool(64, 2, NULL), *other = NULL;
        slabby_ref ref;
        int64_t value = 7;
        setrlimit(RLIMIT_AS, &(struct rlimit){.rlim_cur = 1 << 20, .rlim_max = RLIM_INFINITY});
        bool right =
            slabby_set_option(pool, SLABBY_OPTION_HEALTH_CHECKS, 1, &error) == SLABBY_NO_SYSTEM_MEMORY;
        right = right && strstr(error.text, "refused a thread") != NULL;
        right = right && slabby_get_option(&value, pool, SLABBY_OPTION_HEALTH_CHECKS) == SLABBY_OK;
        right = right && value == 0 && slabby_allocate(&ref, NULL, pool) == SLABBY_OK;
        setrlimit(RLIMIT_AS, &(struct rlimit){.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY});
        right = right && slabby_set_option(pool, SLABBY_OPTION_HEALTH_CHECKS, 1, &error) == SLABBY_OK;
        right = right && try_pool(&other, 64, 2, WITH(TICKING), &error) == SLABBY_OK;
        _exit(right ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* Guards: one thread for many pools, which blocks every signal, ticks each of them, and ends with the last. */
static void one_thread_serves_all_pools(void **state) {
    slabby_allocator *pools[50];
    unsigned long long blocked = 0;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(pools); i++)
        pools[i] = make_pool(64, 2, WITH(TICKING));
    wait_for_threads(1);
    assert_int_equal(health_threads(&blocked), 1);
    for (int number = 1; number < 32; number++)
        if (number != SIGKILL && number != SIGSTOP && (blocked >> (number - 1) & 1) == 0)
            fail_msg("signal %d is not blocked", number);
    for (size_t i = 0; i < COUNT_OF(pools); i++) {
        degrade_once(pools[i]);
        wait_for_recovery(pools[i]);
    }
    for (size_t i = 0; i < COUNT_OF(pools); i++) {
        if (i % 2 == 0)
            CHECK_STATUS(slabby_close(pools[i]), SLABBY_OK);
        CHECK_STATUS(slabby_destroy(pools[i]), SLABBY_OK);
    }
    wait_for_threads(0);
}

/* Guards: on, off and the interval change while the pool runs, and read as they are. */
static void ticks_are_hot(void **state) {
    slabby_allocator *pool = make_pool(64, 2, NULL);
    slabby_error error = fresh_error();
    int64_t value = 7;
    (void)state;
    CHECK_STATUS(slabby_get_option(&value, pool, SLABBY_OPTION_HEALTH_INTERVAL), SLABBY_OK);
    assert_int_equal(value, SECOND);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_HEALTH_INTERVAL, 3600 * (int64_t)SECOND, NULL),
                 SLABBY_OK);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_HEALTH_CHECKS, 1, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_get_option(&value, pool, SLABBY_OPTION_HEALTH_CHECKS), SLABBY_OK);
    assert_int_equal(value, 1);
    wait_for_threads(1);
    degrade_once(pool);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_HEALTH_INTERVAL, MILLISECOND, NULL), SLABBY_OK);
    wait_for_recovery(pool); /* not in an hour */
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_HEALTH_INTERVAL, 1, &error), SLABBY_INVALID_OPTION);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_HEALTH_CHECKS, 0, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_get_option(&value, pool, SLABBY_OPTION_HEALTH_CHECKS), SLABBY_OK);
    assert_int_equal(value, 0);
    wait_for_threads(0);
    CHECK_STATUS(slabby_close(pool), SLABBY_OK);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_HEALTH_CHECKS, 1, &error), SLABBY_CLOSED);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

static slabby_allocator *closing;

static void close_at_ticks(int point) {
    if (point == SLB_POINT_TICKS)
        CHECK_STATUS(slabby_close(closing), SLABBY_OK);
}

/* Guards: of a close and a switch at the same time one stops the ticks: none comes after the close. */
static void a_close_beside_the_switch(void **state) {
    slabby_error error = fresh_error();
    (void)state;
    slabby_allocator *pool = closing = make_pool(64, 2, NULL);
    slabby_ref ref = take(pool);
    slb_test_point = close_at_ticks;
    slabby_status status = slabby_set_option(pool, SLABBY_OPTION_HEALTH_CHECKS, 1, &error);
    slb_test_point = NULL;
    CHECK_STATUS(status, SLABBY_CLOSED);
    assert_int_equal(atomic_load(&pool->ticking.on), 0);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    wait_for_threads(0);
}

/* Guards: who switches ticks on again, or sets the interval again, puts no tick off; a shorter interval counts at
 * once. */
static void what_is_set_again_puts_nothing_off(void **state) {
    const int64_t hour = 3600 * (int64_t)SECOND;
    (void)state;
    slabby_allocator *pool =
        make_pool(64, 2, WITH({SLABBY_OPTION_HEALTH_CHECKS, 1}, {SLABBY_OPTION_HEALTH_INTERVAL, hour}));
    uint64_t next = atomic_load(&pool->ticking.next_ns);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_HEALTH_CHECKS, 1, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_HEALTH_INTERVAL, hour, NULL), SLABBY_OK);
    assert_int_equal(atomic_load(&pool->ticking.next_ns), next);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_HEALTH_INTERVAL, hour / 2, NULL), SLABBY_OK);
    assert_in_range(atomic_load(&pool->ticking.next_ns), 1, next - (uint64_t)hour / 4);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_HEALTH_CHECKS, 0, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_HEALTH_INTERVAL, hour, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_set_option(pool, SLABBY_OPTION_HEALTH_CHECKS, 1, NULL), SLABBY_OK);
    assert_in_range(atomic_load(&pool->ticking.next_ns), next, INT64_MAX);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
}

/* ------------------------------------------------------------------------------------- loggers and endings */

struct watched {
    slabby_allocator *_Atomic pool;
    _Atomic int ended, late, entered, reported;
    bool destroys;
};

static void watch(void *context, const slabby_event *event) {
    struct watched *watched = context;
    watched->late += watched->ended;
    if (event->code != SLABBY_EVENT_CODE_DEGRADATION)
        return;
    watched->entered++;
    sleep_ns(MILLISECOND);
    watched->late += watched->ended;
    if (watched->destroys && event->value == SLABBY_DEGRADATION_STATE_HEALTHY)
        CHECK_STATUS(slabby_destroy(watched->pool), SLABBY_OK);
    watched->reported++;
}

static void watched_pool(struct watched *watched) {
    slabby_options *options;
    slabby_allocator *pool;
    CHECK_STATUS(slabby_options_create(&options), SLABBY_OK);
    CHECK_STATUS(slabby_options_set(options, SLABBY_OPTION_HEALTH_CHECKS, 1, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_options_set(options, SLABBY_OPTION_HEALTH_INTERVAL, MILLISECOND, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_options_set_logger(options, watch, watched, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_create(&pool, 64, 2, options, NULL), SLABBY_OK);
    watched->pool = pool;
    slabby_options_destroy(options);
}

/* Guards: once close, destroy or abandon is back no logger is called from the thread. */
static void no_logger_outlives_its_pool(void **state) {
    (void)state;
    for (uint64_t round = 0; round < scaled(60); round++) {
        struct watched watched = {.pool = NULL};
        watched_pool(&watched);
        degrade_once(watched.pool);
        while (watched.entered < 2) { /* the step back, told by the thread */
            clock_ns += SECOND;
            sleep_ns(MILLISECOND);
        }
        CHECK_STATUS(round % 3 == 0 ? slabby_abandon(watched.pool) : slabby_destroy(watched.pool), SLABBY_OK);
        watched.ended = 1;
        assert_int_equal(watched.reported, 2);
        sleep_ns(MILLISECOND);
        assert_int_equal(watched.late, 0);
    }
    wait_for_threads(0);
}

/* Guards: a logger on the thread may end the very pool that is being ticked. */
static void a_logger_may_end_its_pool(void **state) {
    struct watched watched = {.destroys = true};
    (void)state;
    watched_pool(&watched);
    degrade_once(watched.pool);
    while (watched.reported < 2) {
        clock_ns += SECOND;
        sleep_ns(MILLISECOND);
    }
    CHECK_STATUS(slabby_destroy(watched.pool), SLABBY_CLOSED);
    wait_for_threads(0);
}

static void expect_ok(slabby_status status, const char *what) {
    if (status != SLABBY_OK)
        complain("%s: %s", what, slabby_status_name(status));
}

static void make_and_end(struct worker *worker) {
    (void)worker;
    for (uint64_t i = 0; i < scaled(300) && !threads_failed(); i++) {
        slabby_allocator *pool = make_pool(64, 8, WITH(TICKING, {SLABBY_OPTION_DEGRADE_AT, 50}));
        slabby_ref refs[8];
        expect_ok(slabby_allocate_batch(refs, NULL, pool, 8), "allocate");
        expect_ok(slabby_release_batch(NULL, pool, refs, 8), "release");
        if (i % 3 == 0)
            expect_ok(slabby_set_option(pool, SLABBY_OPTION_HEALTH_CHECKS, 0, NULL), "option");
        expect_ok(slabby_destroy(pool), "destroy");
    }
}

/* Guards: pools that come and go while the thread starts, ticks and ends. */
static void pools_come_and_go(void **state) {
    (void)state;
    run_threads(4, make_and_end, NULL, 0);
    assert_no_thread_failed();
    wait_for_threads(0);
}

/* --------------------------------------------------------------------------------------------------- fork */

/* Guards: the child's pool is ticked by a thread of the child's, from its first use on. */
static void the_child_has_its_own(void **state) {
    (void)state;
    if (TEST_UNDER_TSAN)
        skip(); /* ThreadSanitizer ends a child that starts threads */
    slabby_allocator *pool = make_pool(64, 2, WITH(TICKING));
    degrade_once(pool);
    wait_for_threads(1);
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(60);
            wait_for_threads(0);
            CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
            wait_for_threads(1);
            wait_for_recovery(pool);
            _exit(slabby_destroy(pool) == SLABBY_OK ? 0 : 1);
        }
        int status = -1;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    wait_for_recovery(pool);
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    wait_for_threads(0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refused_thread_is_said),
        cmocka_unit_test(one_thread_serves_all_pools),
        cmocka_unit_test(ticks_are_hot),
        cmocka_unit_test(no_logger_outlives_its_pool),
        cmocka_unit_test(a_logger_may_end_its_pool),
        cmocka_unit_test(pools_come_and_go),
        cmocka_unit_test(the_child_has_its_own),
        cmocka_unit_test(a_close_beside_the_switch),
        cmocka_unit_test(what_is_set_again_puts_nothing_off),
    };
    return cmocka_run_group_tests(tests, set_clock, NULL);
}
