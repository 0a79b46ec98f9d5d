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

static bool enters_and_leaves(uint64_t *out_turn) {
    struct slb_inside inside;

    if (!slb_section_enter(SECTION, &inside))
        return false;
    *out_turn = inside.turn;
    slb_section_leave(&inside);
    return true;
}

static void get_the_bias(void) {
    uint64_t turn = 0;

    forget();
    for (uint32_t i = 0; i < SLB_SECTION_BIAS_AFTER + 2; i++) {
        assert_int_equal(turn, 0);
        assert_true(enters_and_leaves(&turn));
    }
    assert_true(enters_and_leaves(&turn));
    assert_int_equal(turn != 0, slb_os_fences_threads());
}

/* In a thread of its own. NULL: it was refused. */
static void *enter_elsewhere(void *turn) {
    return enters_and_leaves(turn) ? turn : NULL;
}

static bool another_enters(void) {
    uint64_t turn = 77;
    void *entered;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, enter_elsewhere, &turn), 0);
    assert_int_equal(pthread_join(thread, &entered), 0);
    assert_int_equal(turn, entered == NULL ? 77 : 0); /* never by the bias of this one */
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
    uint64_t turn;

    (void)state;
    for (int biased = 0; biased < 2; biased++) {
        if (biased)
            get_the_bias();
        else
            forget();
        assert_true(slb_section_enter(SECTION, &inside));
        assert_false(enters_and_leaves(&turn));
        assert_false(another_enters());
        assert_false(another_enters()); /* the bias is revoked by now */
        slb_section_leave(&inside);
        assert_int_equal(slb_in_flight_depth, 0);
        assert_true(another_enters());
        assert_true(enters_and_leaves(&turn));
        assert_int_equal(turn, 0);
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
    shared.biased += inside.turn != 0;
    if (inside.turn == 0)
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

/* The first has the bias again and again; the second takes it each time, and stays for a while. */
static void take_turns(struct worker *worker) {
    struct slb_inside inside;

    (void)run_on(worker->index);
    if (worker->index == 0) {
        while (!atomic_load(&over) && !threads_failed())
            if (!pass())
                sched_yield();
        return;
    }
    for (uint64_t taken = 0; taken < scaled(300) && !threads_failed();) {
        if (atomic_load(&section->owner) <= SLB_SECTION_REVOKED || !slb_section_enter(SECTION, &inside)) {
            sched_yield();
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bias_is_granted),
        cmocka_unit_test(each_section_has_one_thread),
        cmocka_unit_test(one_at_a_time),
        cmocka_unit_test(revoking_excludes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
