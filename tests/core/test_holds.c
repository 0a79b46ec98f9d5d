/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The bookkeeping of an ended pool is unmapped once no call holds it, by the thread that sees that first. Here threads
 * stop at the moments between which that could go wrong. */
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pool.h"
#include "test_hooks.h"
#include "threads.h"

enum { ENTRIES = 4096 };

static slabby_allocator *first, *second;
static const void *second_words;
static atomic_int second_ended, may_return, stopped;

static int is_mapped(const void *at) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    return msync((void *)((uintptr_t)at / page * page), page, MS_ASYNC) == 0 || errno != ENOMEM;
}

/* The pool has ended, and the call that destroyed it still holds what is left of it. */
static void stay_in_the_call(void *context, const slabby_event *event) {
    (void)context;
    if (event->code != SLABBY_EVENT_CODE_CLOSED)
        return;
    atomic_store(&second_ended, 1);
    WAIT_UNTIL(atomic_load(&may_return));
}

static void *destroy_second(void *unused) {
    (void)unused;
    if (slabby_destroy(second) != SLABBY_OK)
        complain("the second pool was not destroyed");
    return NULL;
}

/* Until the entry of the first pool comes round again. */
static void make_second(void) {
    slabby_options *options;

    CHECK_STATUS(slabby_options_create(&options), SLABBY_OK);
    CHECK_STATUS(slabby_options_set_logger(options, stay_in_the_call, NULL, NULL), SLABBY_OK);
    for (int i = 0; i < ENTRIES && second != first; i++) {
        if (second != NULL)
            CHECK_STATUS(slabby_destroy(second), SLABBY_OK);
        atomic_store(&may_return, 1);
        CHECK_STATUS(slabby_create(&second, 64, 100, options, NULL), SLABBY_OK);
    }
    slabby_options_destroy(options);
    assert_ptr_equal(second, first);
    atomic_store(&may_return, 0);
    atomic_store(&second_ended, 0);
}

/* The thread that ends the first pool is stopped here, having seen that nothing holds it. */
static void overtake(int point) {
    static pthread_t thread;

    if (point != SLB_POINT_UNHELD || atomic_exchange(&stopped, 1) != 0)
        return;
    assert_false(slabby_is_valid(first, 1)); /* ends a hold, and unmaps */
    make_second();
    second_words = (const void *)(uintptr_t)view_of(second).words_address;
    assert_true(is_mapped(second_words));
    assert_int_equal(pthread_create(&thread, NULL, destroy_second, NULL), 0);
    assert_int_equal(pthread_detach(thread), 0);
    WAIT_UNTIL(atomic_load(&second_ended));
}

/* Guards: who was stopped before it unmapped an ended pool unmaps the entry's next one, which a call still reads. */
static void a_late_end_leaves_the_next_pool(void **state) {
    (void)state;
    first = make_pool(64, 100, NULL);
    slb_test_point = overtake;
    CHECK_STATUS(slabby_destroy(first), SLABBY_OK);
    slb_test_point = NULL;
    assert_true(atomic_load(&stopped));
    assert_true(is_mapped(second_words));
    atomic_store(&may_return, 1);
    WAIT_UNTIL(!is_mapped(second_words));
    assert_no_thread_failed();
}

static uint32_t holds_at_end;

static void count_holds(void *pool, const slabby_event *event) {
    struct slabby_allocator *ending = *(slabby_allocator **)pool;

    for (size_t i = 0; i < SLB_HOLD_COUNTS && event->code == SLABBY_EVENT_CODE_CLOSED; i++)
        holds_at_end += atomic_load(&ending->holds[i].count);
}

/* Guards: a listener that had the last share ends the pool, and may then stop before it stops the ticks of this entry:
 * no other pool gets the entry before. */
static void the_last_listener_holds_its_entry(void **state) {
    slabby_options *options;
    slabby_allocator *pool;
    slabby_listener *listener;

    (void)state;
    CHECK_STATUS(slabby_options_create(&options), SLABBY_OK);
    CHECK_STATUS(slabby_options_set_logger(options, count_holds, &pool, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_create(&pool, 64, 100, options, NULL), SLABBY_OK);
    slabby_options_destroy(options);
    CHECK_STATUS(slabby_listener_create(&listener, NULL, pool, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_abandon(pool), SLABBY_OK);
    CHECK_STATUS(slabby_listener_destroy(listener), SLABBY_OK);
    assert_int_equal(holds_at_end, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_last_listener_holds_its_entry),
                                       cmocka_unit_test(a_late_end_leaves_the_next_pool)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
