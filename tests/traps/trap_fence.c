/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The fence of the gate, alone: a sequence that began before it never commits after it. The sequence of this test waits
 * in its middle for as long as it takes. */
#define _GNU_SOURCE
#include "refuse.h"
#include "skip.h"
#include "support.h"
#include "threads.h"

#include "os/os.h"
#include "pool.h"
#include "tiers/cpu_cache_rseq.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>

enum { ROUNDS = 40 };

static atomic_uint inside, go;
static atomic_uint committed, interrupted;

#if SLB_HAVE_RSEQ

#if defined(__x86_64__)
#define SCRATCH "rax"
#define WAIT_AND_COMMIT                                                                                      \
    SLB_RSEQ_BEGIN "movl $1, (%[inside])\n\t"                                                                \
                   "5:\n\t"                                                                                  \
                   "pause\n\t"                                                                               \
                   "cmpl $0, (%[go])\n\t"                                                                    \
                   "je 5b\n\t"                                                                               \
                   "movl $1, (%[committed])\n\t" SLB_RSEQ_END
#else
#define SCRATCH "x9"
#define WAIT_AND_COMMIT                                                                                      \
    SLB_RSEQ_BEGIN "mov w9, #1\n\t"                                                                          \
                   "str w9, [%[inside]]\n\t"                                                                 \
                   "5:\n\t"                                                                                  \
                   "yield\n\t"                                                                               \
                   "ldr w9, [%[go]]\n\t"                                                                     \
                   "cbz w9, 5b\n\t"                                                                          \
                   "mov w9, #1\n\t"                                                                          \
                   "str w9, [%[committed]]\n\t" SLB_RSEQ_END
#endif

/* On the second CPU where there is one, apart from the fencing thread. One try: marks itself inside, waits for go,
 * commits. */
static void *wait_and_commit(void *unused) {
    (void)unused;
    (void)run_on(1);
    (void)slb_os_cpu(); /* registers the thread where libc does not */
    __asm__ goto(
        WAIT_AND_COMMIT
        :
        : [area] "r"(SLB_RSEQ_AREA), [inside] "r"(&inside), [go] "r"(&go), [committed] "r"(&committed)
        : SCRATCH, "memory", "cc"
        : restarted);
    return NULL;
restarted:
    atomic_fetch_add(&interrupted, 1);
    atomic_store(&inside, 1);
    return NULL;
}

static void fence_out_sequences(void) {
    atomic_store(&interrupted, 0);
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t thread;

        atomic_store(&inside, 0);
        atomic_store(&go, 0);
        atomic_store(&committed, 0);
        assert_int_equal(pthread_create(&thread, NULL, wait_and_commit, NULL), 0);
        while (!atomic_load(&inside))
            sched_yield();
        slb_os_fence_rseq();
        atomic_store(&go, 1);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(atomic_load(&committed), 0);
    }
    assert_int_equal(atomic_load(&interrupted), ROUNDS);
}

/* Guards: the fence, and its stand-in where membarrier is refused by a filter that came later. */
static void sequences_do_not_outlive_the_fence(void **state) {
    cpu_set_t before, after;

    (void)state;
    (void)run_on(0);
    fence_out_sequences();
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    if (!refuse_system_call(SYS_membarrier, EPERM))
        skip();
    fence_out_sequences();
    assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
    assert_true(CPU_EQUAL(&before, &after));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequences_do_not_outlive_the_fence),
    };

    if (!slb_os_has_rseq())
        skip_all("this process has no restartable sequences");
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void) {
    (void)inside, (void)go, (void)committed, (void)interrupted;
    skip_all("this build has no restartable sequences");
}

#endif
