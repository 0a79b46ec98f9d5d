/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The sequence of a release: which words it does not even look at, and threads that the kernel does not know. */
#define _GNU_SOURCE
#include "backend.h"
#include "support.h"
#include "threads.h"

#include <sched.h>

#include "tiers/cpu_cache.h"

#if SLB_HAVE_RSEQ

enum { ID_BITS = 7, ID = 2, GENERATION = 10, LAST = 63 };

#define FREE_WORD slb_word_make(ID_BITS, GENERATION, SLABBY_SLAB_STATE_FREE)
#define LIVE_ON(cpu) (FREE_WORD + (SLABBY_SLAB_STATE_LIVE | slb_word_mark(cpu)))

static struct slabby_allocator pool;
static _Atomic uint64_t words[1 << ID_BITS];

static int lay_out(void **state) {
    int cpu = sched_getcpu();

    (void)state;
    if (cpu >= 0 && cpu < CPU_SETSIZE)
        (void)run_on((unsigned)cpu); /* a test writes the number of its CPU, which the kernel would change */
    pool.words = words;
    pool.generation_step = 1u << ID_BITS;
    atomic_store(&pool.ref_limit, (uint64_t)LAST << ID_BITS);
    return 0;
}

static enum slb_rseq_result release_once(uint64_t free_word) {
    return slb_rseq_release(slb_rseq_finder(), &pool, &pool.ref_limit, ID, free_word);
}

/* A release that does not look at the word, which would be its own. */
static void expect_release_aside(uint64_t free_word) {
    for (int tries = 0; tries < 1000; tries++) {
        uint64_t live = LIVE_ON(slb_rseq_cpu());
        atomic_store(&words[ID], live);
        assert_int_equal(release_once(free_word), SLB_RSEQ_RESTARTED);
        assert_int_equal(atomic_load(&words[ID]), live);
    }
}

/* The kernel may interrupt any try, or move the thread; one in a row that it leaves alone is enough. */
static void expect_released(void) {
    for (int tries = 0; tries < 1000; tries++) {
        atomic_store(&words[ID], LIVE_ON(slb_rseq_cpu()));
        if (release_once(FREE_WORD) != SLB_RSEQ_DONE)
            continue;
        assert_int_equal(atomic_load(&words[ID]), FREE_WORD + pool.generation_step);
        return;
    }
    fail_msg("a release was never done");
}

/* Guards: the hot path leaves words alone where protections act, in the last generation, and with another pool's
 * references: under each other tag, the sum of tag and CPU may be what a word says. */
static void releases_at_the_limit_step_aside(void **state) {
    (void)state;
    need_sequences(slb_os_has_rseq());
    atomic_store(&pool.ref_limit, 0);
    expect_release_aside(FREE_WORD);
    atomic_store(&pool.ref_limit, FREE_WORD);
    expect_release_aside(FREE_WORD);
    atomic_store(&pool.ref_limit, FREE_WORD + pool.generation_step);
    expect_released();
    (void)lay_out(NULL);
    expect_released();
    expect_release_aside(FREE_WORD + SLB_WORD_PIN);
    atomic_store(&words[ID], LIVE_ON(slb_rseq_cpu() + 1));
    assert_int_equal(release_once(FREE_WORD + SLB_WORD_PIN), SLB_RSEQ_RESTARTED);
}

/* Guards: a thread that runs no sequences releases no slab, not even one whose word is being revoked. It reads -1 or -2
 * as the number of its CPU; here the test writes it, and the kernel may write the true one at any time. */
static void a_thread_without_a_cpu_releases_nothing(void **state) {
    volatile uint32_t *cpu = (volatile uint32_t *)(void *)(slb_os_rseq_area() + SLB_OS_RSEQ_CPU);
    const uint64_t revoking = LIVE_ON(SLB_WORD_REVOKING);

    (void)state;
    need_sequences(slb_os_has_rseq());
    atomic_store(&words[ID], revoking);
    for (uint32_t tries = 0; tries < 100; tries++) {
        uint32_t real = *cpu;
        *cpu = UINT32_MAX - tries % 2;
        enum slb_rseq_result result = release_once(FREE_WORD);
        *cpu = real;
        assert_int_not_equal(result, SLB_RSEQ_DONE);
        assert_int_equal(atomic_load(&words[ID]), revoking);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(releases_at_the_limit_step_aside),
        cmocka_unit_test(a_thread_without_a_cpu_releases_nothing),
    };

    return cmocka_run_group_tests(tests, lay_out, NULL);
}

#else

int main(void) {
    puts("skipped: this build has no restartable sequences");
    return 77;
}

#endif
