/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A signal handler that comes in the middle of a release or of an allocation on the fast path, while another thread
 * works on the whole pool and waits for that very operation to end, and that then allocates itself. */
#define _GNU_SOURCE
#include "backend.h"
#include "support.h"

#include "pool.h"
#include "test_hooks.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

static slabby_allocator *pool;
static int interrupted_at;
static atomic_int interrupted, verified;
static _Atomic uint64_t findings;
static slabby_finding finding;
static slabby_status maintained;

/* As the handler would: once, as soon as the other thread has closed the gate. */
static void interrupt(int point) {
    slabby_ref ref = 0;

    if (point != interrupted_at || atomic_exchange(&interrupted, 1))
        return;
    while ((atomic_load(&pool->gate.reasons) & SLB_GATE_RESETTING) == 0 && !atomic_load(&verified))
        sched_yield();
    CHECK_STATUS(slabby_allocate(&ref, NULL, pool), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
}

static void *verify_meanwhile(void *unused) {
    uint64_t count = 0;

    while (!atomic_load(&interrupted))
        sched_yield();
    maintained = slabby_verify(&finding, &count, pool, 1);
    atomic_store(&findings, count);
    atomic_store(&verified, 1);
    return unused;
}

static void *trim_meanwhile(void *unused) {
    while (!atomic_load(&interrupted))
        sched_yield();
    maintained = slabby_trim(NULL, pool);
    atomic_store(&verified, 1);
    return unused;
}

/* False: the other thread gave up. */
static bool interrupt_once(void *(*maintain)(void *), int point, int64_t backend) {
    slabby_ref ref = 0;
    pthread_t other;

    /* with a protection no release of the portable backend is all inside a section, where a handler is told Busy */
    pool = make_pool(64, 4000,
                     WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, backend},
                          {SLABBY_OPTION_SECURE, backend == SLABBY_CPU_CACHE_BACKEND_PORTABLE}));
    memset(&finding, 0, sizeof finding);
    finding.struct_size = sizeof finding;
    atomic_store(&interrupted, 0);
    atomic_store(&verified, 0);
    atomic_store(&findings, 0);
    interrupted_at = point;
    assert_int_equal(pthread_create(&other, NULL, maintain, NULL), 0);
    __atomic_store_n(&slb_test_point, interrupt, __ATOMIC_RELAXED);
    CHECK_STATUS(slabby_allocate(&ref, NULL, pool), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    __atomic_store_n(&slb_test_point, NULL, __ATOMIC_RELAXED);
    assert_int_equal(atomic_load(&interrupted), 1);
    assert_int_equal(pthread_join(other, NULL), 0);
    finish(pool);
    if (maintained == SLABBY_BUSY)
        return false;
    CHECK_STATUS(maintained, SLABBY_OK);
    if (atomic_load(&findings))
        print_error("finding: %s\n", finding.text);
    assert_int_equal(atomic_load(&findings), 0);
    return true;
}

/* A busy machine may stop this thread in the middle for longer than the other one waits, but not each time. */
static void interrupt_during(void *(*maintain)(void *), int point, int64_t backend) {
    int tries = 0;

    if (!backend_is_here(backend))
        return;
    while (!interrupt_once(maintain, point, backend))
        assert_in_range(++tries, 1, 9);
}

static const int points[] = {SLB_POINT_RELEASED, SLB_POINT_TAKEN};

/* Guards: verify finds nothing in a sound pool, and the handler gets its slab. */
static void handlers_do_not_confuse_verify(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(all_backends) * COUNT_OF(points); i++)
        interrupt_during(verify_meanwhile, points[i % 2], all_backends[i / 2]);
}

/* Guards: trim need not give up because of them. */
static void handlers_do_not_stop_trim(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(all_backends) * COUNT_OF(points); i++)
        interrupt_during(trim_meanwhile, points[i % 2], all_backends[i / 2]);
}

static atomic_int at_rest, trimmed;

/* The release begins when trim has found its slabs, and checks its patterns when trim is done with them. */
static void release_during_trim(int point) {
    if (point == SLB_POINT_AT_REST) {
        atomic_store(&at_rest, 1);
        while (!atomic_load(&interrupted))
            sched_yield();
    } else if (point == SLB_POINT_RELEASED && !atomic_exchange(&interrupted, 1)) {
        while (!atomic_load(&trimmed))
            sched_yield();
    }
}

static void *trim_now(void *unused) {
    maintained = slabby_trim(NULL, pool);
    atomic_store(&trimmed, 1);
    return unused;
}

/* Guards: trim discards no pattern that a release has yet to check. */
static void trim_spares_what_is_being_released(void **state) {
    slabby_ref refs[8];
    pthread_t other;

    (void)state;
    pool = make_pool(4096, 8, WITH({SLABBY_OPTION_BIT_GUARD, 1}));
    for (size_t i = 0; i < COUNT_OF(refs); i++)
        refs[i] = take(pool);
    for (size_t i = 0; i < COUNT_OF(refs); i++)
        if (i != 3)
            CHECK_STATUS(slabby_release(pool, refs[i]), SLABBY_OK);
    atomic_store(&interrupted, 0);
    atomic_store(&at_rest, 0);
    atomic_store(&trimmed, 0);
    __atomic_store_n(&slb_test_point, release_during_trim, __ATOMIC_RELAXED);
    assert_int_equal(pthread_create(&other, NULL, trim_now, NULL), 0);
    while (!atomic_load(&at_rest))
        sched_yield();
    CHECK_STATUS(slabby_release(pool, refs[3]), SLABBY_OK);
    assert_int_equal(pthread_join(other, NULL), 0);
    __atomic_store_n(&slb_test_point, NULL, __ATOMIC_RELAXED);
    CHECK_STATUS(maintained, SLABBY_OK);
    assert_int_equal(stats_of(pool).corruptions, 0);
    finish(pool);
}

/* No other thread is at work, so that a handler that waits, waits for its own thread, and for ever. The linker puts
 * __wrap_NAME in the place of NAME. */
static _Thread_local bool in_handler;
void __real_slb_os_wait_a_little(uint32_t attempt);
void __wrap_slb_os_wait_a_little(uint32_t attempt);
void __wrap_slb_os_wait_a_little(uint32_t attempt) {
    assert_false(in_handler);
    __real_slb_os_wait_a_little(attempt);
}

static slabby_allocator *other_pool;
static slabby_ref other_ref;

static slabby_allocator *make_portable_pool(void) {
    return make_pool(64, 64,
                     WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, SLABBY_CPU_CACHE_BACKEND_PORTABLE},
                          {SLABBY_OPTION_CIRCUIT_BREAKER_THRESHOLD, 1}));
}

/* Runs as a handler that comes while this thread is in the section of its CPU. */
static void interrupt_section_by(void (*handler)(int point)) {
    slabby_ref ref = 0;

    pool = make_portable_pool();
    CHECK_STATUS(slabby_allocate(&ref, NULL, pool), SLABBY_OK); /* the cache has slabs from now on */
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    atomic_store(&interrupted, 0);
    __atomic_store_n(&slb_test_point, handler, __ATOMIC_RELAXED);
    CHECK_STATUS(slabby_allocate(&ref, NULL, pool), SLABBY_OK);
    __atomic_store_n(&slb_test_point, NULL, __ATOMIC_RELAXED);
    assert_int_equal(atomic_load(&interrupted), 1);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

static void release_the_last(int point) {
    if (point != SLB_POINT_CACHE_LOCKED || atomic_exchange(&interrupted, 1))
        return;
    in_handler = true;
    CHECK_STATUS(slabby_release(other_pool, other_ref), SLABBY_OK);
    in_handler = false;
}

/* Guards: a handler may end a pool while its own thread is in a section, which it does not wait for. */
static void handlers_end_pools(void **state) {
    (void)state;
    other_pool = make_portable_pool();
    other_ref = take(other_pool);
    CHECK_STATUS(slabby_abandon(other_pool), SLABBY_OK);
    interrupt_section_by(release_the_last);
    CHECK_STATUS(slabby_release(other_pool, other_ref), SLABBY_CLOSED);
}

static void allocate_slowly(int point) {
    if (point != SLB_POINT_CACHE_LOCKED || atomic_exchange(&interrupted, 1))
        return;
    in_handler = true;
    CHECK_STATUS(slabby_allocate(&other_ref, NULL, other_pool), SLABBY_OK);
    in_handler = false;
}

/* Guards: nor does one whose allocation would trip the breaker; the next failure does that. */
static void handlers_trip_no_breaker(void **state) {
    slabby_ref ref = 0;

    (void)state;
    other_pool = make_portable_pool();
    CHECK_STATUS(
        slabby_set_option(other_pool, SLABBY_OPTION_LATENCY_TRACKING, SLABBY_LATENCY_TRACKING_ALL, NULL),
        SLABBY_OK);
    CHECK_STATUS(slabby_set_option(other_pool, SLABBY_OPTION_MAX_ALLOC_LATENCY, 1, NULL), SLABBY_OK);
    interrupt_section_by(allocate_slowly);
    CHECK_STATUS(slabby_release(other_pool, other_ref), SLABBY_OK);
    CHECK_STATUS(slabby_allocate(&other_ref, NULL, other_pool), SLABBY_OK);
    CHECK_STATUS(slabby_allocate(&ref, NULL, other_pool), SLABBY_CIRCUIT_BREAKER_OPEN);
    CHECK_STATUS(slabby_release(other_pool, other_ref), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(other_pool), SLABBY_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handlers_do_not_confuse_verify),     cmocka_unit_test(handlers_do_not_stop_trim),
        cmocka_unit_test(trim_spares_what_is_being_released), cmocka_unit_test(handlers_end_pools),
        cmocka_unit_test(handlers_trip_no_breaker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
