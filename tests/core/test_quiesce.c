/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Work on the whole pool beside a call that does not go on. */
#define _GNU_SOURCE
#include "support.h"
#include "thread_state.h"
#include "threads.h"

#include "test_hooks.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

/* A busy machine: a yield takes as long as others have the CPU. The core calls this one. */
static atomic_int busy;
static _Thread_local bool counts_yields;
static _Atomic uint64_t yields;

int sched_yield(void) {
    if (counts_yields)
        atomic_fetch_add(&yields, 1);
    if (atomic_load(&busy))
        sleep_ns(5 * MILLISECOND);
    return 0;
}

static _Thread_local bool stops_here;
static atomic_int stopped, go_on;

static void stop(int point) {
    if (point != SLB_POINT_TAKEN || !stops_here)
        return;
    stops_here = false;
    atomic_store(&stopped, 1);
    WAIT_UNTIL(atomic_load(&go_on));
}

static void *allocate_and_stop(void *pool) {
    stops_here = true;
    CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    return NULL;
}

/* Guards: a trim waits for a stopped call by the time, not by what a busy machine makes of 4,000 yields. */
static void a_busy_machine_keeps_no_pool_closed(void **state) {
    slabby_allocator *pool = make_pool(64, 8, NULL);
    pthread_t thread;
    (void)state;
    atomic_store(&busy, 1);
    slb_test_point = stop;
    assert_int_equal(pthread_create(&thread, NULL, allocate_and_stop, pool), 0);
    WAIT_UNTIL(atomic_load(&stopped));
    counts_yields = true;
    CHECK_STATUS(slabby_trim(NULL, pool), SLABBY_BUSY);
    counts_yields = false;
    print_message("%llu yields\n", (unsigned long long)atomic_load(&yields));
    assert_in_range(atomic_load(&yields), 0, 200);
    atomic_store(&go_on, 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    slb_test_point = NULL;
    atomic_store(&busy, 0);
    CHECK_STATUS(slabby_trim(NULL, pool), SLABBY_OK);
    finish(pool);
}

/* A thread that begins to allocate while a trim is in its first step. */
static struct {
    slabby_allocator *pool;
    pthread_t thread;
    atomic_int number, served;
    int steps, served_at;
} beside;

static void *allocate_beside(void *unused) {
    (void)unused;
    atomic_store(&beside.number, thread_number());
    CHECK_STATUS(slabby_release(beside.pool, take(beside.pool)), SLABBY_OK);
    atomic_store(&beside.served, 1);
    return NULL;
}

static void note_step(int point) {
    if (point != SLB_POINT_AT_REST)
        return;
    if (beside.steps++ == 0)
        assert_int_equal(pthread_create(&beside.thread, NULL, allocate_beside, NULL), 0);
    WAIT_UNTIL(atomic_load(&beside.number) != 0);
    WAIT_UNTIL(atomic_load(&beside.served) || thread_is_asleep(atomic_load(&beside.number)));
    if (beside.served_at == 0 && atomic_load(&beside.served))
        beside.served_at = beside.steps;
}

/* Guards: an allocation beside a trim waits for some of its steps, not for all. */
static void allocations_pass_between_steps(void **state) {
    enum { SLABS = 12 * 16384 };
    static slabby_ref refs[SLABS];
    (void)state;
    beside.pool = make_pool(8, SLABS, NULL);
    CHECK_STATUS(slabby_allocate_batch(refs, NULL, beside.pool, SLABS), SLABBY_OK);
    CHECK_STATUS(slabby_release_batch(NULL, beside.pool, refs, SLABS), SLABBY_OK);
    slb_test_point = note_step;
    CHECK_STATUS(slabby_trim(NULL, beside.pool), SLABBY_OK);
    slb_test_point = NULL;
    assert_int_equal(pthread_join(beside.thread, NULL), 0);
    print_message("%d steps, served before number %d\n", beside.steps, beside.served_at);
    assert_in_range(beside.steps, 12, 100);
    assert_in_range(beside.served_at, 2, beside.steps);
    finish(beside.pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_busy_machine_keeps_no_pool_closed),
        cmocka_unit_test(allocations_pass_between_steps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
