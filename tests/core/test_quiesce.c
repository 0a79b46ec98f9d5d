/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Work on the whole pool beside a call that does not go on. */
#define _GNU_SOURCE
#include "support.h"
#include "threads.h"

#include "test_hooks.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

/* A busy machine: a yield takes as long as others have the CPU. The core calls this one. */
static _Thread_local bool counts_yields;
static _Atomic uint64_t yields;

int sched_yield(void) {
    if (counts_yields)
        atomic_fetch_add(&yields, 1);
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
    CHECK_STATUS(slabby_trim(NULL, pool), SLABBY_OK);
    finish(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_busy_machine_keeps_no_pool_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
