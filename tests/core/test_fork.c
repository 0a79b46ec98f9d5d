/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fork: the child's copy of a pool is whole, whatever other threads were doing, and apart from the parent's. */
#define _GNU_SOURCE
#include "manual_clock.h"
#include "pool.h"
#include "support.h"
#include "test_hooks.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define REQUIRE(law)                                                                                         \
    do {                                                                                                     \
        if (!(law)) {                                                                                        \
            fprintf(stderr, "in the child: %s does not hold (line %d)\n", #law, __LINE__);                   \
            _exit(1);                                                                                        \
        }                                                                                                    \
    } while (0)

static void expect_child_well(pid_t child) {
    int status;
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Every slab that is not out can be taken once; nothing is lost, nothing twice. */
static void child_checks_pool(slabby_allocator *pool, uint64_t capacity) {
    slabby_stats stats = {.struct_size = sizeof stats};
    uint64_t findings, taken = 0;
    slabby_ref ref;
    REQUIRE(slabby_get_stats(&stats, pool) == SLABBY_OK);
    REQUIRE(slabby_verify(NULL, &findings, pool, 0) == SLABBY_OK);
    REQUIRE(findings == 0);
    while (slabby_allocate(&ref, NULL, pool) == SLABBY_OK)
        taken++;
    REQUIRE(taken + stats.used_slabs == capacity);
    REQUIRE(stats.total_allocations - stats.total_deallocations == stats.used_slabs);
    REQUIRE(slabby_reset(pool) == SLABBY_OK);
    REQUIRE(slabby_destroy(pool) == SLABBY_OK);
}

/* Guards: references live on in both processes, apart from each other. */
static void both_sides_go_on(void **state) {
    (void)state;
    slabby_allocator *pool = make_pool(64, 100, NULL);
    slabby_ref ref;
    char *data;
    CHECK_STATUS(slabby_allocate(&ref, (void **)&data, pool), SLABBY_OK);
    strcpy(data, "parent");
    pid_t child = fork();
    if (child == 0) {
        REQUIRE(strcmp(data, "parent") == 0);
        strcpy(data, "child");
        REQUIRE(slabby_is_valid(pool, ref) == 1);
        REQUIRE(slabby_release(pool, ref) == SLABBY_OK);
        REQUIRE(slabby_release(pool, ref) == SLABBY_DOUBLE_DEALLOCATION);
        child_checks_pool(pool, 100);
        _exit(0);
    }
    expect_child_well(child);
    assert_string_equal(data, "parent");
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

struct load {
    slabby_allocator *pool;
    _Atomic bool stop;
};

static void *hammer(void *argument) {
    struct load *load = argument;
    uint64_t seed = (uint64_t)(uintptr_t)&seed;
    slabby_ref refs[40];
    while (!atomic_load(&load->stop)) {
        uint64_t count = 1 + random_next(&seed) % 40, got = 0;
        while (got < count && slabby_allocate(&refs[got], NULL, load->pool) == SLABBY_OK)
            got++;
        CHECK_STATUS(slabby_release_batch(NULL, load->pool, refs, got), SLABBY_OK);
    }
    return NULL;
}

static void fork_under_load(uint64_t capacity, const struct setting *settings, uint64_t forks) {
    struct load load = {.pool = make_pool(64, capacity, settings)};
    pthread_t threads[3];
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &load), 0);
    for (uint64_t i = 0; i < forks; i++) {
        pid_t child = fork();
        if (child == 0) {
            child_checks_pool(load.pool, capacity);
            _exit(0);
        }
        expect_child_well(child);
    }
    atomic_store(&load.stop, true);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        pthread_join(threads[i], NULL);
    finish(load.pool);
}

/* Guards: ids in the hands of vanished threads come back in the child, whatever tier they were on the way to. A
 * thousand forks. */
static void forks_under_load_lose_nothing(void **state) {
    (void)state;
    fork_under_load(1000, NULL, scaled(240));
    fork_under_load(64, NULL, scaled(240));
    fork_under_load(64, WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, SLABBY_CPU_CACHE_BACKEND_PORTABLE}),
                    scaled(240));
    fork_under_load(3, NULL, scaled(100));
    fork_under_load(200, WITH({SLABBY_OPTION_REUSE_DELAY, 20}, {SLABBY_OPTION_BIT_GUARD, 1}), scaled(90));
    fork_under_load(100, WITH({SLABBY_OPTION_SECURE, 1}, {SLABBY_OPTION_PER_CPU_CACHE, 0}), scaled(90));
}

/* ------------------------------------------------------------------------------ the first calls of a child */

enum { INHERITED = 20 };

struct first_call {
    slabby_allocator *pool;
    slabby_ref refs[INHERITED];
    uint32_t id;
    slabby_status (*release)(struct first_call *call);
    slabby_status status;
};

static slabby_status by_reference(struct first_call *call) {
    return slabby_release(call->pool, call->refs[0]);
}

static slabby_status by_deferred_release(struct first_call *call) {
    return slabby_release_deferred(call->pool, call->refs[0]);
}

/* The release was deferred before the fork. */
static slabby_status by_last_unpin(struct first_call *call) {
    return slabby_unpin(call->pool, call->refs[1]);
}

static slabby_status by_batch(struct first_call *call) {
    return slabby_release_batch(NULL, call->pool, &call->refs[2], INHERITED - 2);
}

static slabby_status by_id(struct first_call *call) {
    return slabby_deallocate_fast(call->pool, call->id);
}

static atomic_int released, goes_on;
static _Thread_local bool stops_here;

static void stop_once(int point) {
    if (point != SLB_POINT_RELEASED || !stops_here)
        return;
    stops_here = false;
    atomic_store(&released, 1);
    WAIT_UNTIL(atomic_load(&goes_on));
}

static void *call_first(void *argument) {
    struct first_call *call = argument;
    stops_here = true;
    call->status = call->release(call);
    atomic_store(&released, 1);
    return NULL;
}

/* One thread has freed a slab and not given it to a tier yet, as the other one allocates. */
static void child_calls(struct first_call *call, uint64_t capacity) {
    pthread_t thread;
    slabby_ref ref;
    alarm(120);
    slb_test_point = stop_once;
    REQUIRE(pthread_create(&thread, NULL, call_first, call) == 0);
    WAIT_UNTIL(atomic_load(&released));
    REQUIRE(slabby_allocate(&ref, NULL, call->pool) == SLABBY_OK);
    atomic_store(&goes_on, 1);
    REQUIRE(pthread_join(thread, NULL) == 0);
    REQUIRE(call->status == SLABBY_OK);
    REQUIRE(call->release == by_last_unpin || slabby_unpin(call->pool, call->refs[1]) == SLABBY_OK);
    child_checks_pool(call->pool, capacity);
    _exit(0);
}

static void fork_before_release(const struct setting *settings) {
    slabby_status (*const releases[])(struct first_call *) = {by_reference, by_deferred_release,
                                                              by_last_unpin, by_batch, by_id};
    struct first_call call = {.pool = make_pool(64, 100, settings)};
    void *data;
    for (size_t i = 0; i < INHERITED; i++)
        call.refs[i] = take(call.pool);
    CHECK_STATUS(slabby_allocate_fast(&data, &call.id, call.pool), SLABBY_OK);
    CHECK_STATUS(slabby_pin(call.pool, call.refs[1]), SLABBY_OK);
    CHECK_STATUS(slabby_release_deferred(call.pool, call.refs[1]), SLABBY_OK);
    for (size_t i = 0; i < COUNT_OF(releases); i++) {
        call.release = releases[i];
        pid_t child = fork();
        if (child == 0)
            child_calls(&call, 100);
        expect_child_well(child);
    }
    CHECK_STATUS(slabby_reset(call.pool), SLABBY_PINNED);
    CHECK_STATUS(slabby_unpin(call.pool, call.refs[1]), SLABBY_OK);
    CHECK_STATUS(slabby_reset(call.pool), SLABBY_OK);
    finish(call.pool);
}

/* Guards: a slab that a thread of the child releases, while another one rebuilds the lists, is in one place. */
static void first_calls_find_lists(void **state) {
    (void)state;
    fork_before_release(NULL);
    fork_before_release(WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, SLABBY_CPU_CACHE_BACKEND_PORTABLE}));
    fork_before_release(WITH({SLABBY_OPTION_PER_CPU_CACHE, 0}));
    fork_before_release(WITH({SLABBY_OPTION_REUSE_DELAY, 8}));
    fork_before_release(WITH({SLABBY_OPTION_SECURE, 1}, {SLABBY_OPTION_BIT_GUARD, 1}));
}

static void *allocate_first(void *pool) {
    slabby_ref ref;
    REQUIRE(slabby_allocate(&ref, NULL, pool) == SLABBY_OK);
    REQUIRE(slabby_release(pool, ref) == SLABBY_OK);
    return NULL;
}

/* Guards: an operation that another thread of the child is inside, while the lists are rebuilt, ends as others do. */
static void operations_end_once(void **state) {
    (void)state;
    slabby_allocator *pool = make_pool(64, 4000, NULL);
    for (uint64_t i = 0; i < scaled(100); i++) {
        pid_t child = fork();
        if (child == 0) {
            pthread_t threads[3];
            alarm(120);
            for (size_t t = 0; t < COUNT_OF(threads); t++)
                REQUIRE(pthread_create(&threads[t], NULL, allocate_first, pool) == 0);
            for (size_t t = 0; t < COUNT_OF(threads); t++)
                REQUIRE(pthread_join(threads[t], NULL) == 0);
            REQUIRE(slabby_destroy(pool) == SLABBY_OK);
            _exit(0);
        }
        expect_child_well(child);
    }
    finish(pool);
}

/* Guards: a fork in a child, and a pool that the child made. */
static void children_fork(void **state) {
    (void)state;
    slabby_allocator *pool = make_pool(64, 100, NULL);
    slabby_ref ref = take(pool);
    pid_t child = fork();
    if (child == 0) {
        slabby_allocator *own;
        REQUIRE(slabby_create(&own, 64, 100, NULL, NULL) == SLABBY_OK);
        slabby_ref of_own;
        REQUIRE(slabby_allocate(&of_own, NULL, own) == SLABBY_OK);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            REQUIRE(slabby_release(own, of_own) == SLABBY_OK);
            REQUIRE(slabby_release(pool, ref) == SLABBY_OK);
            child_checks_pool(own, 100);
            child_checks_pool(pool, 100);
            _exit(0);
        }
        expect_child_well(grandchild);
        REQUIRE(slabby_release(pool, ref) == SLABBY_OK);
        child_checks_pool(pool, 100);
        child_checks_pool(own, 100);
        _exit(0);
    }
    expect_child_well(child);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

enum { MANY = 100000 };

static slabby_allocator *interrupted_pool;
static slabby_ref inherited[MANY / 2];
static volatile int handed_back;

static void release_one(int number) {
    (void)number;
    REQUIRE(handed_back == MANY / 2 ||
            slabby_release(interrupted_pool, inherited[handed_back++]) == SLABBY_OK);
}

/* Guards: a signal handler that releases comes before the lists are made again or after it, not in the middle. */
static void handlers_wait_for_lists(void **state) {
    const struct itimerval often = {{0, 100}, {0, 100}}, never = {{0, 0}, {0, 0}};
    (void)state;
    interrupted_pool = make_pool(64, MANY, NULL);
    for (size_t i = 0; i < COUNT_OF(inherited); i++)
        inherited[i] = take(interrupted_pool);
    for (int i = 0; i < 5; i++) {
        pid_t child = fork();
        if (child == 0) {
            slabby_ref ref;
            signal(SIGALRM, release_one);
            setitimer(ITIMER_REAL, &often, NULL);
            REQUIRE(slabby_allocate(&ref, NULL, interrupted_pool) == SLABBY_OK);
            WAIT_UNTIL(handed_back >= 10);
            setitimer(ITIMER_REAL, &never, NULL);
            child_checks_pool(interrupted_pool, MANY);
            _exit(0);
        }
        expect_child_well(child);
    }
    CHECK_STATUS(slabby_reset(interrupted_pool), SLABBY_OK);
    finish(interrupted_pool);
}

/* Guards: slabs that wait for reuse do not wait on in the child, and what was written to them is found there too. */
static void children_find_late_writes(void **state) {
    slabby_ref ref;
    char *data;
    (void)state;
    slabby_allocator *pool = make_pool(64, 100, WITH({SLABBY_OPTION_REUSE_DELAY, 8}));
    CHECK_STATUS(slabby_allocate(&ref, (void **)&data, pool), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    data[5] = 1;
    pid_t child = fork();
    if (child == 0) {
        slabby_stats stats = {.struct_size = sizeof stats};
        uint64_t count;
        REQUIRE(slabby_get_stats(&stats, pool) == SLABBY_OK);
        REQUIRE(stats.corruptions == 1 && stats.quarantined_slabs == 1);
        REQUIRE(data[5] == 1);
        REQUIRE(slabby_reclaim(&count, pool) == SLABBY_OK && count == 1);
        child_checks_pool(pool, 100);
        _exit(0);
    }
    expect_child_well(child);
    data[5] = 0;
    finish(pool);
}

/* Guards: counts that a vanished thread was about to change follow the words. */
static void counts_follow_words(void **state) {
    (void)state;
    slabby_allocator *pool =
        make_pool(64, 4, WITH({SLABBY_OPTION_HEAP_FALLBACK, 1}, {SLABBY_OPTION_HEAP_FALLBACK_LIMIT, 2}));
    slabby_ref refs[5];
    for (size_t i = 0; i < COUNT_OF(refs); i++)
        refs[i] = take(pool);
    _Atomic uint64_t *const counts[] = {&pool->heap.live, &pool->corruption.quarantined,
                                        &pool->counts.retired, &pool->counts.heap_retired};
    for (size_t i = 0; i < COUNT_OF(counts); i++)
        atomic_fetch_add(counts[i], 1);
    pid_t child = fork();
    if (child == 0) {
        slabby_stats stats = {.struct_size = sizeof stats};
        REQUIRE(slabby_get_stats(&stats, pool) == SLABBY_OK);
        REQUIRE(stats.heap_slabs == 1 && stats.quarantined_slabs == 0 && stats.retired_slabs == 0);
        REQUIRE(slabby_release_batch(NULL, pool, refs, COUNT_OF(refs)) == SLABBY_OK);
        REQUIRE(slabby_get_stats(&stats, pool) == SLABBY_OK);
        REQUIRE(stats.heap_slabs == 0);
        _exit(0);
    }
    expect_child_well(child);
    for (size_t i = 0; i < COUNT_OF(counts); i++)
        atomic_fetch_sub(counts[i], 1);
    CHECK_STATUS(slabby_release_batch(NULL, pool, refs, COUNT_OF(refs)), SLABBY_OK);
    finish(pool);
}

/* ----------------------------------------------------------------------------------------- listeners, grants */

/* Guards: a child's listener rings for the child alone. */
static void listeners_part(void **state) {
    slabby_listener *listener;
    uint64_t ticket, count;
    slabby_ref ref;
    int32_t fd;
    (void)state;
    slabby_allocator *pool = make_pool(64, 1, NULL);
    slabby_ref held = take(pool);
    CHECK_STATUS(slabby_listener_create(&listener, &fd, pool, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_OK);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    pid_t child = fork();
    if (child == 0) {
        REQUIRE(slabby_release(pool, held) == SLABBY_OK);
        REQUIRE(slabby_wait_begin(&ticket, listener, 0) == SLABBY_OK);
        REQUIRE(poll(&ready, 1, 0) == 1);
        REQUIRE(slabby_wait_take(&ticket, &ref, NULL, &count, listener, 1) == SLABBY_OK && count == 1);
        _exit(0);
    }
    expect_child_well(child);
    assert_int_equal(poll(&ready, 1, 0), 0);
    CHECK_STATUS(slabby_release(pool, held), SLABBY_OK);
    assert_int_equal(poll(&ready, 1, 0), 1);
    CHECK_STATUS(slabby_wait_take(&ticket, &ref, NULL, &count, listener, 1), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    finish(pool);
}

/* Guards: what was granted before the fork is the ticket's in both processes, and nobody else's. */
static void grants_survive(void **state) {
    slabby_listener *listener;
    uint64_t ticket, count;
    slabby_ref ref;
    int32_t fd;
    (void)state;
    slabby_allocator *pool = make_pool(64, 8, NULL);
    CHECK_STATUS(slabby_listener_create(&listener, &fd, pool, NULL), SLABBY_OK);
    for (int i = 0; i < 3; i++)
        CHECK_STATUS(slabby_wait_begin(&ticket, listener, 0), SLABBY_OK);
    pid_t child = fork();
    if (child == 0) {
        slabby_ref refs[8];
        uint64_t tickets[8];
        REQUIRE(slabby_allocate_batch(refs, NULL, pool, 6) == SLABBY_OUT_OF_MEMORY);
        REQUIRE(slabby_allocate_batch(refs, NULL, pool, 5) == SLABBY_OK);
        REQUIRE(slabby_verify(NULL, &count, pool, 0) == SLABBY_OK && count == 0);
        REQUIRE(slabby_wait_take(tickets, refs + 5, NULL, &count, listener, 3) == SLABBY_OK && count == 3);
        REQUIRE(slabby_release_batch(&count, pool, refs, 8) == SLABBY_OK && count == 8);
        REQUIRE(slabby_listener_destroy(listener) == SLABBY_OK);
        child_checks_pool(pool, 8);
        _exit(0);
    }
    expect_child_well(child);
    CHECK_STATUS(slabby_wait_take(&ticket, &ref, NULL, &count, listener, 1), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    finish(pool);
}

/* Guards: the child takes back the grant that has waited too long, not the one whose slot comes first. */
static void old_grants_go_first(void **state) {
    enum { TIMEOUT_MS = 400 };
    slabby_listener *listener;
    uint64_t tickets[3], taken, count;
    slabby_ref ref;
    (void)state;
    slabby_allocator *pool = make_pool(64, 2, NULL);
    CHECK_STATUS(slabby_listener_create(&listener, NULL, pool, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_wait_begin(&tickets[0], listener, 0), SLABBY_OK);
    CHECK_STATUS(slabby_wait_begin(&tickets[1], listener, 1), SLABBY_OK);
    CHECK_STATUS(slabby_wait_take(&taken, &ref, NULL, &count, listener, 1), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    atomic_fetch_add(&clock_ns, (TIMEOUT_MS - 100) * 1000000ull);
    CHECK_STATUS(slabby_wait_begin(&tickets[2], listener, 2), SLABBY_OK); /* in the slot of the first */
    pid_t child = fork();
    if (child == 0) {
        uint64_t data[2];
        slabby_ref refs[2];
        REQUIRE(slabby_listener_set_timeout(listener, TIMEOUT_MS * 1000000ull) == SLABBY_OK);
        atomic_fetch_add(&clock_ns, 200 * 1000000ull);
        REQUIRE(slabby_allocate(&ref, NULL, pool) == SLABBY_OK);
        REQUIRE(slabby_wait_take(tickets, refs, data, &count, listener, 2) == SLABBY_OK && count == 2);
        REQUIRE(refs[0] == 0 && data[0] == 1 && refs[1] != 0 && data[1] == 2);
        _exit(0);
    }
    expect_child_well(child);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    finish(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sides_go_on),
        cmocka_unit_test(forks_under_load_lose_nothing),
        cmocka_unit_test(first_calls_find_lists),
        cmocka_unit_test(operations_end_once),
        cmocka_unit_test(children_fork),
        cmocka_unit_test(handlers_wait_for_lists),
        cmocka_unit_test(children_find_late_writes),
        cmocka_unit_test(counts_follow_words),
        cmocka_unit_test(listeners_part),
        cmocka_unit_test(grants_survive),
        cmocka_unit_test_setup_teardown(old_grants_go_first, set_clock, reset_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
