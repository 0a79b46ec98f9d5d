/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Short times are stored by a sequence with two stores (observe/latency_state.h): each is counted once, wherever the
 * sequence is interrupted, and no reader sees a count fall. */
#define _GNU_SOURCE
#include "backend.h"
#include "support.h"
#include "threads.h"

#include <stdio.h>
#include <string.h>

#include "observe/latency_counts.h"

#if SLB_HAVE_RSEQ && defined(SLB_HAVE_RSEQ_SHORT_TIMES)

#include "rseq_interrupt.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

static struct slb_short_times times;
static uint32_t own_cpu;
static bool has_sequences;

static int find_own_cpu(void **state) {
    int cpu = sched_getcpu();
    (void)state;
    has_sequences = slb_os_has_rseq() && cpu >= 0 && run_on((unsigned)cpu);
    own_cpu = (uint32_t)cpu;
    return 0;
}

/* One try; the kernel may interrupt it. */
static enum slb_rseq_result add(uint64_t ticks) {
    return slb_rseq_try_add_short(own_cpu, &times, slb_short_index(ticks));
}

static void add_surely(uint64_t ticks) {
    while (add(ticks) != SLB_RSEQ_DONE)
        ;
}

static uint64_t count_of(const uint64_t *counts, uint64_t ticks) {
    return counts[slb_short_index(ticks)];
}

static uint64_t sum_of(const uint64_t *counts) {
    uint64_t sum = 0;
    for (uint32_t i = 1; i < SLB_LATENCY_SHORT; i++)
        sum += counts[i];
    return sum;
}

/* Guards: the last sample counts, and so does each before it. */
static void each_time_is_counted(void **state) {
    static const uint64_t ticks[] = {3, 3, 0, 254, 3, 0, 0, 7};
    uint64_t counts[SLB_LATENCY_SHORT];

    (void)state;
    need_sequences(has_sequences);
    memset((void *)&times, 0, sizeof times);
    slb_short_times_read(&times, counts);
    assert_int_equal(sum_of(counts), 0);
    for (uint64_t i = 0; i < COUNT_OF(ticks); i++) {
        add_surely(ticks[i]);
        slb_short_times_read(&times, counts);
        assert_int_equal(sum_of(counts), i + 1);
    }
    assert_int_equal(count_of(counts, 3), 3);
    assert_int_equal(count_of(counts, 0), 3);
    assert_int_equal(count_of(counts, 254), 1);
    assert_int_equal(count_of(counts, 7), 1);
}

/* Guards: a sequence of another CPU changes nothing. */
static void each_cpu_has_its_own(void **state) {
    (void)state;
    need_sequences(has_sequences);
    memset((void *)&times, 0, sizeof times);
    assert_int_equal(slb_rseq_try_add_short(own_cpu + 1, &times, 7), SLB_RSEQ_REFUSED);
    assert_int_equal(atomic_load(&times.last), 0);
    assert_int_equal(atomic_load(&times.counted), 0);
}

/* What another thread of the CPU stores, when it has interrupted the sequence. */
static const uint64_t others[] = {5, 11};

/* Stops once, behind all. A sample that was interrupted comes again, behind that of another thread. */
static int life_of_stepped(void *context) {
    uint64_t counts[SLB_LATENCY_SHORT], other = *(const uint64_t *)context, of_other = 0;
    if (add(5) != SLB_RSEQ_DONE) {
        slb_short_times_read(&times, counts);
        if (sum_of(counts) != 3 || count_of(counts, 5) != 2)
            return 2;
        add_surely(other);
        of_other = 1;
        add_surely(5);
    }
    add_surely(7);
    raise(SIGSTOP);
    slb_short_times_read(&times, counts);
    return sum_of(counts) != 5 + of_other || count_of(counts, 7) != 2 ||
           count_of(counts, 5) != 3 + (other == 5 ? of_other : 0);
}

/* Guards: wherever a sequence is interrupted, its sample is stored once, and so is that of the thread that came
 * between, whether that took as long or not. */
static void an_interrupted_time_is_counted_once(void **state) {
    (void)state;
    need_sequences(has_sequences);
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        uint32_t at = 0;
        for (bool more = true; more; at++) {
            memset((void *)&times, 0, sizeof times);
            add_surely(5);
            add_surely(7);
            add_surely(5);
            pid_t child = begin_stepped(life_of_stepped, (void *)(uintptr_t)&others[i], own_cpu);
            more = step_to(child, at);
            if (more)
                interrupt_thread(child);
            int status = more ? end_stepped(child) : 0;
            if (status != 0)
                fail_msg("interrupted before instruction %u: %d", at, status);
        }
        assert_true(at > 20);
    }
}

static _Atomic bool stop_writing;
static _Atomic uint64_t written;

/* Each comes at any instruction of the sequence of the thread that it interrupts. */
static void write_in_handler(int number) {
    (void)number;
    if (add(9) == SLB_RSEQ_DONE)
        atomic_fetch_add(&written, 1);
}

static void *write_times(void *unused) {
    (void)run_on(own_cpu);
    uint64_t ticks = 0;
    while (!atomic_load(&stop_writing)) {
        ticks = (ticks * 5 + 3) % 16;
        if (add(ticks) == SLB_RSEQ_DONE)
            atomic_fetch_add(&written, 1);
    }
    return unused;
}

/* Guards: readings of a busy CPU never fall, never show more than was written, and miss none in the end. */
static void readings_never_fall(void **state) {
    struct sigaction action = {.sa_handler = write_in_handler, .sa_flags = SA_RESTART}, before;
    uint64_t counts[SLB_LATENCY_SHORT], earlier[SLB_LATENCY_SHORT] = {0};
    pthread_t writers[2];

    (void)state;
    need_sequences(has_sequences);
    memset((void *)&times, 0, sizeof times);
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    for (size_t i = 0; i < COUNT_OF(writers); i++)
        assert_int_equal(pthread_create(&writers[i], NULL, write_times, NULL), 0);
    (void)run_on((own_cpu + 1) % slb_os_cpu_count());
    for (uint64_t start = slb_os_now_ns(), round = 0; slb_os_now_ns() - start < 500000000; round++) {
        if (round % 16 == 0)
            pthread_kill(writers[round / 16 % 2], SIGUSR1);
        uint64_t at_least = atomic_load(&written);
        slb_short_times_read(&times, counts);
        assert_true(sum_of(counts) >= at_least);
        for (uint32_t i = 1; i < SLB_LATENCY_SHORT; i++) {
            if (counts[i] < earlier[i])
                fail_msg("the count of %u fell from %llu to %llu", SLB_LATENCY_SHORT - 1 - i,
                         (unsigned long long)earlier[i], (unsigned long long)counts[i]);
            earlier[i] = counts[i];
        }
    }
    atomic_store(&stop_writing, true);
    for (size_t i = 0; i < COUNT_OF(writers); i++)
        assert_int_equal(pthread_join(writers[i], NULL), 0);
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
    slb_short_times_read(&times, counts);
    assert_int_equal(sum_of(counts), atomic_load(&written));
    (void)run_on(own_cpu);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_time_is_counted),
        cmocka_unit_test(each_cpu_has_its_own),
        cmocka_unit_test(an_interrupted_time_is_counted_once),
        cmocka_unit_test(readings_never_fall),
    };

    return cmocka_run_group_tests(tests, find_own_cpu, NULL);
}

#else

int main(void) {
    puts("skipped: this build stores short times as others");
    return 77;
}

#endif
