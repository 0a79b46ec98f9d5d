/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A sandbox that closes after the library was loaded and pools were made: the fence of the gate is refused from then
 * on, and no slab may be in two hands for all that. */
#define _GNU_SOURCE
#include "refuse.h"
#include "backend.h"
#include "exercise.h"
#include "skip.h"
#include "support.h"
#include "threads.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { THREADS = 3, CAPACITY = 4000, BIASED = 500 };

static slabby_allocator *filtered_pool;
static atomic_int over;

/* trim closes the gate and drains the CPU caches, each time with a fence. */
static void *drain_all_the_time(void *trouble) {
    while (!atomic_load(&over)) {
        slabby_status status = slabby_trim(NULL, filtered_pool);

        if (status != SLABBY_OK && status != SLABBY_BUSY)
            atomic_store((atomic_int *)trouble, status);
        sched_yield();
    }
    return NULL;
}

static void work_while_drained(void) {
    static atomic_int trouble;
    pthread_t drainer;

    atomic_store(&over, 0);
    assert_int_equal(pthread_create(&drainer, NULL, drain_all_the_time, &trouble), 0);
    uint64_t before = stats_of(filtered_pool).total_allocations;
    uint64_t allocations = exercise_pool(filtered_pool, THREADS, scaled(300000));

    atomic_store(&over, 1);
    assert_int_equal(pthread_join(drainer, NULL), 0);
    assert_int_equal(atomic_load(&trouble), 0);
    assert_int_equal(stats_of(filtered_pool).total_allocations - before, allocations);
    check_sound(filtered_pool, 0);
}

/* -------------------------------------------------------------------------------------------- owned words */

static slabby_allocator *owning_pool;
static slabby_ref biased_refs[BIASED];

/* How many words a CPU owns, core/src/slab_word.h. */
static unsigned count_biased(void) {
    slabby_view_info view = view_of(owning_pool);
    const volatile uint64_t *words = (const volatile uint64_t *)(uintptr_t)view.words_address;
    unsigned count = 0;

    for (uint64_t id = 0; id < view.capacity; id++)
        count += (words[id] & 8) != 0;
    return count;
}

static void *take_on_the_first_cpu(void *argument) {
    if (run_on(0))
        for (int i = 0; i < BIASED; i++)
            CHECK_STATUS(slabby_allocate(&biased_refs[i], NULL, owning_pool), SLABBY_OK);
    return argument;
}

static void *release_on_the_second_cpu(void *argument) {
    enum { MARK = 77 };

    if (run_on(1))
        for (int i = 0; i < BIASED; i++) {
            errno = MARK;
            CHECK_STATUS(slabby_release(owning_pool, biased_refs[i]), SLABBY_OK);
            assert_int_equal(errno, MARK);
        }
    return argument;
}

static void in_a_thread(void *(*job)(void *)) {
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, job, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* Guards: slabs that a CPU owned when the fence began to be refused come back on another one, errno untouched, and from
 * then on nobody owns anything. */
static void biased_slabs_come_back_without_the_fence(void **state) {
    (void)state;
    owning_pool =
        make_pool(64, 8 * BIASED, WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, SLABBY_CPU_CACHE_BACKEND_RSEQ}));
    in_a_thread(take_on_the_first_cpu);
    if (biased_refs[0] == 0 || sysconf(_SC_NPROCESSORS_ONLN) < 2) {
        print_message("this process has no two CPUs to move between\n");
        skip();
    }
    assert_true(count_biased() > BIASED / 2);
    assert_true(refuse_system_call(SYS_membarrier, EPERM));
    in_a_thread(release_on_the_second_cpu);
    assert_int_equal(count_biased(), 0);
    in_a_thread(take_on_the_first_cpu);
    assert_int_equal(count_biased(), 0);
    CHECK_STATUS(slabby_release_batch(NULL, owning_pool, biased_refs, BIASED), SLABBY_OK);
    finish(owning_pool);
}

/* Guards: draining stays safe when membarrier is refused to a pool that was made with it, and then sched_setaffinity
 * too, which can stand in for it. */
static void drains_stay_safe_without_the_fence(void **state) {
    (void)state;
    filtered_pool =
        make_pool(256, CAPACITY, WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, SLABBY_CPU_CACHE_BACKEND_RSEQ}));
    work_while_drained();
    assert_true(refuse_system_call(SYS_membarrier, EPERM));
    assert_int_equal(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0), -1);
    work_while_drained();
    assert_true(refuse_system_call(SYS_sched_setaffinity, EPERM));
    work_while_drained();
    finish(filtered_pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(biased_slabs_come_back_without_the_fence),
        cmocka_unit_test(drains_stay_safe_without_the_fence),
    };

    if (!backend_is_here(SLABBY_CPU_CACHE_BACKEND_RSEQ))
        skip_all("this process has no restartable sequences, so the gate uses no fence");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
