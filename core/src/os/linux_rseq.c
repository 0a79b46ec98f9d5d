/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whether this process may use restartable sequences, found out once when the library is loaded: registering the
 * fence costs microseconds while the process has one thread and milliseconds later. Where libc has registered no areas
 * for threads (musl, glibc before 2.35), each thread registers one of ours when it first asks for its CPU. */
#include "os/os.h"

#if SLB_OS_RSEQ

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As linux/membarrier.h has them, which not every system with a C compiler has. */
#define MEMBARRIER_CMD_QUERY 0
#define MEMBARRIER_CMD_PRIVATE_EXPEDITED (1 << 3)
#define MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED (1 << 4)
#define MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ (1 << 7)
#define MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ (1 << 8)

/* glibc 2.35 and newer register every thread and say where; a size of 0 means that glibc was told not to register, or
 * could not. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

#if SLB_OS_RSEQ_FIXED
#ifndef SLB_AMALGAMATION
intptr_t slb_os_rseq_offset;
#endif
#define OWN_AREA static
#elif defined(SLB_AMALGAMATION)
#define OWN_AREA static
#else
#define OWN_AREA
#endif

/* The number of a thread that is not registered, and of one that will not be. */
#define NOT_REGISTERED UINT32_MAX
#define NEVER_REGISTERED (UINT32_MAX - 1)

/* A sequence writes into its thread's area before it checks whether it may run. A thread without another area uses this
 * one. */
OWN_AREA SLB_THREAD_LOCAL struct slb_os_rseq_area slb_os_own_area = {.cpu = NOT_REGISTERED};

static _Atomic uint32_t rseq_usable;
static bool rseq_is_ours; /* set before other threads exist, or before a pool can */
static int thread_fence;  /* the command that is a barrier in every thread; 0: none. As rseq_is_ours */

static long membarrier(int command) {
    return syscall(SYS_membarrier, command, 0, 0);
}

static bool register_as(int command, int registration) {
    long commands = membarrier(MEMBARRIER_CMD_QUERY);
    bool done = commands >= 0 && (commands & command) != 0 && membarrier(registration) == 0;
    thread_fence = done ? command : 0;
    return done;
}

/* The fence comes first: sequences are of no use without it. It is a barrier in every thread, too. */
static bool register_fence(void) {
    return register_as(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ);
}

/* ---------------------------------------------------------------------------------------- areas of our own */

#ifndef SYS_rseq
#ifdef __x86_64__
#define SYS_rseq 334
#else
#define SYS_rseq 293
#endif
#endif
#define RSEQ_SIZE 32u
#define RSEQ_UNREGISTER 1
#ifdef __x86_64__
#define RSEQ_SIGNATURE 0x53053053u
#else
#define RSEQ_SIGNATURE 0xd428bc00u
#endif

#ifndef __GLIBC__
/* The area is part of the thread's memory, which the thread itself gives back at its end (musl): the kernel must not
 * write to it after that. Destructors of other keys may still call the library; the thread then stays without. glibc
 * gives a thread's memory back when the kernel is done with the thread. */
static pthread_key_t end_of_thread;

static void unregister_thread(void *unused) {
    (void)unused;
    (void)syscall(SYS_rseq, &slb_os_own_area, RSEQ_SIZE, RSEQ_UNREGISTER, RSEQ_SIGNATURE);
    slb_os_own_area.cpu = NEVER_REGISTERED;
}

static bool watch_ends(void) {
    return pthread_key_create(&end_of_thread, unregister_thread) == 0;
}

static bool watch_end_of_this_thread(void) {
    return pthread_setspecific(end_of_thread, &slb_os_own_area) == 0;
}
#else
static bool watch_ends(void) {
    return true;
}

static bool watch_end_of_this_thread(void) {
    return true;
}
#endif

/* EBUSY: a signal handler has registered the area first. Any other refusal is permanent. If other code owns this
 * thread's sequences, or a filter forbids them, new pools use the portable backend. */
static SLB_COLD bool register_own_area(void) {
    int saved_errno = errno;
    bool done = watch_end_of_this_thread() &&
                (syscall(SYS_rseq, &slb_os_own_area, RSEQ_SIZE, 0, RSEQ_SIGNATURE) == 0 || errno == EBUSY);
    if (!done) {
        slb_os_own_area.cpu = NEVER_REGISTERED;
        atomic_store_explicit(&rseq_usable, 0, memory_order_relaxed);
    }
    errno = saved_errno;
    return done;
}

SLB_PRIVATE bool slb_os_register_rseq(void) {
    return rseq_is_ours && slb_os_own_area.cpu == NOT_REGISTERED && register_own_area();
}

/* --------------------------------------------------------------------------------------------- at the start */

#define MASK_BITS (8 * sizeof(unsigned long))

struct cpu_mask {
    unsigned long bits[SLB_OS_MOST_CPUS / MASK_BITS];
};

/* Whether every CPU that a thread may run on has a number below SLB_WORD_REVOKING: a biased word has 12 bits for it,
 * and a release does not check it. The kernel refuses a mask with fewer bits than its machine may have CPUs. */
static bool words_can_name_cpus(void) {
    struct cpu_mask mask;
    size_t size = sizeof mask - sizeof mask.bits[0];
    int saved_errno = errno;
    bool can = syscall(SYS_sched_getaffinity, 0, size, &mask) >= 0 ||
               (errno != EINVAL && slb_os_cpu_count() <= size * 8);
    errno = saved_errno;
    return can;
}

/* This constructor runs early, because other constructors may already make pools. If another constructor runs even
 * before this one, as in a static program, the first pool calls this function; at that time there is one thread. If
 * libc was told not to register, the core does not register either. */
static bool rseq_checked;

__attribute__((constructor(101))) static void find_rseq(void) {
    if (rseq_checked)
        return;
    rseq_checked = true;
#if SLB_OS_RSEQ_FIXED
    slb_os_rseq_offset = (intptr_t)&slb_os_own_area - (intptr_t)__builtin_thread_pointer();
#endif
    bool of_libc = SLB_OS_RSEQ_FIXED && &__rseq_size != NULL && &__rseq_offset != NULL;
    if ((of_libc && __rseq_size == 0) || !words_can_name_cpus() || !register_fence()) {
        (void)register_as(MEMBARRIER_CMD_PRIVATE_EXPEDITED, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
        return;
    }
    if (of_libc) {
#if SLB_OS_RSEQ_FIXED
        slb_os_rseq_offset = (intptr_t)__rseq_offset;
#endif
        atomic_store_explicit(&rseq_usable, 1, memory_order_relaxed);
    } else if (watch_ends()) {
        atomic_store_explicit(&rseq_usable, 1, memory_order_relaxed);
        rseq_is_ours = true;
        rseq_is_ours = register_own_area();
    }
}

SLB_PRIVATE bool slb_os_rseq_at(intptr_t *out_offset) {
#if SLB_OS_RSEQ_FIXED
    *out_offset = slb_os_rseq_offset;
#else
    (void)out_offset;
#endif
    return SLB_OS_RSEQ_FIXED;
}

SLB_PRIVATE bool slb_os_has_rseq(void) {
    find_rseq();
    return atomic_load_explicit(&rseq_usable, memory_order_relaxed) != 0;
}

/* -------------------------------------------------------------------------------------------------- the fence */

/* When this thread moves to a CPU, the kernel preempts the thread that ran there, and so restarts its sequence. A
 * CPU that this thread may never use is offline, or runs no thread of this process. False if the system does not let
 * threads move. */
static bool visit_every_cpu(void) {
    struct cpu_mask before, only;
    memset(&before, 0, sizeof before);
    if (syscall(SYS_sched_getaffinity, 0, sizeof before, &before) < 0)
        return false;
    uint32_t visited = 0, cpus = slb_os_cpu_count();
    for (uint32_t cpu = 0; cpu < cpus; cpu++) {
        memset(&only, 0, sizeof only);
        only.bits[cpu / MASK_BITS] = 1ul << cpu % MASK_BITS;
        visited += syscall(SYS_sched_setaffinity, 0, sizeof only, &only) == 0;
    }
    return visited != 0 && syscall(SYS_sched_setaffinity, 0, sizeof before, &before) == 0;
}

/* The kernel refuses the fence only to a process that never registered, but a filter that a sandbox installed later
 * may refuse the call. Then this thread visits the CPUs one by one. If that is also refused, it waits: a sequence is
 * a dozen instructions, and a thread that is preempted among them restarts. */
static _Atomic bool fence_refused;

static void fence_slowly(void) {
    atomic_store_explicit(&fence_refused, true, memory_order_relaxed);
    if (visit_every_cpu())
        return;
    uint64_t until = slb_os_now_ns() + 10000000;
    while (slb_os_now_ns() < until)
        slb_os_sleep(10000000);
}

static void fence_by(int command) {
    int saved_errno = errno;
    if (slb_unlikely(membarrier(command) != 0))
        fence_slowly();
    errno = saved_errno;
}

SLB_PRIVATE void slb_os_fence_rseq(void) {
    fence_by(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ);
}

/* A thread that is preempted or moved executes a barrier as well, so the slow way also works here. */
SLB_PRIVATE void slb_os_fence_threads(void) {
    if (thread_fence == 0)
        atomic_thread_fence(memory_order_seq_cst);
    else
        fence_by(thread_fence);
}

SLB_PRIVATE bool slb_os_fences_threads(void) {
    return thread_fence != 0 && slb_os_fences_well();
}

SLB_PRIVATE bool slb_os_fences_well(void) {
    return !atomic_load_explicit(&fence_refused, memory_order_relaxed);
}

#endif
