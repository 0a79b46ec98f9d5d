/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sections by themselves, with real threads: who enters by which way, and that at most one is inside. */
#include "support.h"
#include "threads.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "os/os.h"
#include "tiers/section.h"

enum { SECTION = SLB_OS_MOST_CPUS - 1, THREADS = 4, BURSTS = 10, BURST = 2 * SLB_SECTION_BIAS_AFTER };

static struct slb_section *const section = &slb_sections[SECTION];

static void forget(void) {
    memset(section, 0, sizeof *section);
}

static bool enters_and_leaves(bool *out_biased) {
    struct slb_inside inside;

    if (!slb_section_enter(SECTION, &inside))
        return false;
    *out_biased = inside.turn != NULL;
    slb_section_leave(&inside);
    return true;
}

static void get_the_bias(void) {
    bool biased = false;

    forget();
    for (uint32_t i = 0; i < SLB_SECTION_BIAS_AFTER + 2; i++) {
        assert_false(biased);
        assert_true(enters_and_leaves(&biased));
    }
    assert_true(enters_and_leaves(&biased));
    assert_int_equal(biased, slb_os_fences_threads());
}

/* In a thread of its own. NULL: it was refused. */
static void *enter_elsewhere(void *biased) {
    return enters_and_leaves(biased) ? biased : NULL;
}

static bool another_enters(void) {
    bool biased = false;
    void *entered;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, enter_elsewhere, &biased), 0);
    assert_int_equal(pthread_join(thread, &entered), 0);
    assert_false(biased); /* never by the bias of this one */
    return entered != NULL;
}

/* Guards: a thread that comes back often enough needs no compare-and-swap, where the system has the fence for it. */
static void bias_is_granted(void **state) {
    (void)state;
    get_the_bias();
    assert_true(another_enters());
    assert_int_equal(section->revocations, slb_os_fences_threads());
}

/* Guards: a handler that interrupts its own thread inside is refused, and disturbs nothing. */
static void each_section_has_one_thread(void **state) {
    struct slb_inside inside;
    bool again;

    (void)state;
    for (int biased = 0; biased < 2; biased++) {
        if (biased)
            get_the_bias();
        else
            forget();
        assert_false(slb_in_flight());
        assert_true(slb_section_enter(SECTION, &inside));
        assert_true(slb_in_section() && slb_in_flight());
        assert_false(enters_and_leaves(&again));
        assert_false(another_enters());
        assert_false(another_enters()); /* the bias is revoked by now */
        slb_section_leave(&inside);
        assert_false(slb_in_section() || slb_in_flight());
        assert_true(another_enters());
        assert_true(enters_and_leaves(&again));
        assert_false(again);
    }
}

/* Plain: the section orders them. */
static struct { uint64_t inside, entries, biased; } shared;

static bool pass(void) {
    struct slb_inside inside;

    if (!slb_section_enter(SECTION, &inside))
        return false;
    if (shared.inside++ != 0)
        complain("two threads are inside");
    shared.entries++;
    shared.biased += inside.turn != NULL;
    if (inside.turn == NULL)
        section->revocations = 0; /* each makes the next bias later, but not in this test */
    shared.inside--;
    slb_section_leave(&inside);
    return true;
}

static void enter_in_bursts(struct worker *worker) {
    (void)worker;
    for (uint32_t burst = 0; burst < BURSTS && !threads_failed(); burst++) {
        for (uint32_t entered = 0; entered < BURST;)
            if (pass())
                entered++;
            else
                sched_yield();
        sched_yield();
    }
}

/* Guards: at most one thread is inside while the bias goes from one to another. */
static void one_at_a_time(void **state) {
    (void)state;
    forget();
    memset(&shared, 0, sizeof shared);
    run_threads(THREADS, enter_in_bursts, NULL, test_seed());
    assert_no_thread_failed();
    assert_int_equal(shared.entries, THREADS * BURSTS * BURST);
    assert_int_equal(shared.biased != 0, slb_os_fences_threads());
}

static atomic_int over;

/* The other thread is on another CPU, and needs some microseconds. Who yields at once waits, on a busy machine, until
 * others have had their time on this CPU. */
static void wait_for_the_other(uint32_t *waited) {
    if (++*waited % 1024 == 0)
        sched_yield();
}

/* The first has the bias again and again; the second takes it each time, and stays for a while. */
static void take_turns(struct worker *worker) {
    struct slb_inside inside;
    uint32_t waited = 0;

    (void)run_on(worker->index);
    if (worker->index == 0) {
        while (!atomic_load(&over) && !threads_failed())
            if (!pass())
                wait_for_the_other(&waited);
        return;
    }
    for (uint64_t taken = 0; taken < scaled(200) && !threads_failed();) {
        uint64_t owner = atomic_load(&section->owner);
        /* the turn's cache line is here as well, so that its thread waits for it with the store */
        if (owner <= SLB_SECTION_LOCKED || owner % 2 != 0 ||
            atomic_load(slb_section_turn_of(owner)) % 2 != 0 || !slb_section_enter(SECTION, &inside)) {
            wait_for_the_other(&waited);
            continue;
        }
        taken += section->revocations; /* 0 where the bias was just granted */
        section->revocations = 0;
        shared.inside++;
        for (int i = 0; i < 100; i++)
            if (*(volatile uint64_t *)&shared.inside != 1)
                complain("the thread of the bias is inside as well");
        shared.inside--;
        slb_section_leave(&inside);
    }
    atomic_store(&over, 1);
}

/* Guards: the fence of a revocation, on two CPUs. */
static void revoking_excludes(void **state) {
    (void)state;
    if (!slb_os_fences_threads())
        return;
    forget();
    memset(&shared, 0, sizeof shared);
    atomic_store(&over, 0);
    run_threads(2, take_turns, NULL, test_seed());
    assert_no_thread_failed();
}

static void *come_back_often(void *out_biased) {
    bool *biased = out_biased;

    for (uint32_t i = 0; i < SLB_SECTION_BIAS_AFTER + 3 && !*biased; i++)
        if (!enters_and_leaves(biased))
            return NULL;
    return out_biased;
}

/* Guards: threads beyond those that have a turn enter all the same, by a compare-and-swap. */
static void turns_run_out(void **state) {
    uint32_t given = 0;
    bool biased = false;

    (void)state;
    for (uint32_t i = 0; i < SLB_SECTION_TURNS; i++) {
        pthread_t thread;
        void *entered;

        forget();
        biased = false;
        assert_int_equal(pthread_create(&thread, NULL, come_back_often, &biased), 0);
        assert_int_equal(pthread_join(thread, &entered), 0);
        assert_non_null(entered);
        given += biased;
    }
    assert_false(biased);
    assert_int_equal(given > SLB_SECTION_TURNS / 2, slb_os_fences_threads());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bias_is_granted), cmocka_unit_test(each_section_has_one_thread),
        cmocka_unit_test(one_at_a_time),   cmocka_unit_test(revoking_excludes),
        cmocka_unit_test(turns_run_out), /* last: no thread has a bias afterwards that had none before */
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
