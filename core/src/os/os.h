/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the core needs from the operating system: memory, CPUs, clock, waiting. Only this folder knows which system
 * it is. Functions return false if the system refuses. None is a cancellation point: a thread that was cancelled
 * continues until it has left the core. */
#ifndef SLB_OS_H
#define SLB_OS_H

#include "base.h"

/* Memory. Sizes and addresses are multiples of slb_os_page_size(). Fresh memory reads as zeros. */
SLB_PRIVATE size_t slb_os_page_size(void);
SLB_PRIVATE void *slb_os_reserve(size_t size);              /* inaccessible address space; NULL if refused */
SLB_PRIVATE uint64_t slb_os_physical_memory(void);          /* of the machine, in bytes; 0: not known */
SLB_PRIVATE bool slb_os_commit(void *address, size_t size); /* makes reserved pages usable */
SLB_PRIVATE void slb_os_decommit(void *address, size_t size); /* as if they had never been committed */
SLB_PRIVATE void *slb_os_map(size_t size);                    /* reserve and commit, lazily backed */
SLB_PRIVATE void slb_os_unmap(void *address, size_t size);
SLB_PRIVATE bool slb_os_discard(void *address, size_t size); /* back to the system; zeros on next touch */
SLB_PRIVATE bool
slb_os_discard_keeps_guards(void); /* a discarded range may contain guards and pages that are reserved only */
SLB_PRIVATE bool slb_os_populate(void *address, size_t size); /* touches every page */

/* Huge pages. The size is 0 where the system has none; asking fails too where they are switched off. Counting the bytes
 * of a range that lie on huge pages takes time in proportion to the mappings of the process. */
SLB_PRIVATE size_t slb_os_huge_page_size(void);
SLB_PRIVATE bool slb_os_huge_pages(void *address, size_t size);
SLB_PRIVATE uint64_t slb_os_huge_bytes(const void *address, size_t size);

/* Memory of malloc, aligned; NULL if refused. */
SLB_PRIVATE void *slb_os_heap_allocate(size_t alignment, size_t size);
SLB_PRIVATE void slb_os_heap_free(void *memory);

/* Protection of memory. Guards: pages that fault on any access, until the range is unmapped; `probed` remembers
 * across calls which of two ways this mapping allows. slb_os_guard_limit() is how many guards fit where each costs
 * mappings. */
enum slb_guard_way { SLB_GUARD_UNKNOWN, SLB_GUARD_REGION, SLB_GUARD_PROTECT };
SLB_PRIVATE bool slb_os_guard(void *address, size_t size, enum slb_guard_way *probed);
SLB_PRIVATE uint64_t slb_os_guard_limit(void);

/* Takes a guard away again; the pages below read as zeros. */
SLB_PRIVATE bool slb_os_unguard(void *address, size_t size, enum slb_guard_way way);

/* Guards that cost mappings, counted over the whole process: false where more than slb_os_guard_limit() would be in
 * use, and then nothing is claimed. */
SLB_PRIVATE bool slb_os_claim_guards(uint64_t count);
SLB_PRIVATE void slb_os_return_guards(uint64_t count);
SLB_PRIVATE bool slb_os_lock_memory(void *address, size_t size);
SLB_PRIVATE uint64_t
slb_os_lock_limit(void); /* bytes that one without privileges may lock; UINT64_MAX: no limit */
SLB_PRIVATE bool slb_os_no_dump(void *address, size_t size);

#define SLB_OS_MOST_CPUS 4096u

/* CPUs. slb_os_cpu() is where the caller runs now, or has run a moment ago; it may be any small number. */
SLB_PRIVATE uint32_t slb_os_cpu_count(void);   /* configured, not just online */
SLB_PRIVATE uint32_t slb_os_usable_cpus(void); /* how many of them this process may use at the moment */
SLB_PRIVATE uint32_t slb_os_cpu(void);
SLB_PRIVATE uint32_t slb_os_cache_line(void);

/* Clock. Ticks are the cheapest steady counter there is; slb_os_ns_per_tick() may sleep a moment when the library
 * was loaded just now. The floor is the smallest difference that two readings in a row can show. */
SLB_PRIVATE void slb_os_start_clock(void); /* ahead of the first reading; once */
SLB_PRIVATE uint64_t slb_os_ticks(void);
SLB_PRIVATE uint64_t slb_os_ticks_per_us(void); /* about, for distances that need not be exact */
SLB_PRIVATE double slb_os_ns_per_tick(void);
SLB_PRIVATE uint64_t slb_os_clock_floor_ns(void); /* the smallest difference that ticks show */
SLB_PRIVATE uint64_t slb_os_coarse_ns(void);      /* steady, exact to some milliseconds */
SLB_PRIVATE uint64_t slb_os_wall_ns(void);        /* since the Unix epoch; may be set back */

/* Restartable sequences. Each thread has an area that the kernel writes the CPU number to: libc's, or, where libc
 * registers none, one of ours (os/linux_rseq.c). A thread without a registration has a number above every limit there,
 * which makes each sequence refuse. slb_os_fence_rseq() restarts every sequence running in this process and orders
 * memory with all of its threads; slb_os_fences_well() is false once the system has refused the quick way.
 *
 * slb_os_fence_threads() is a full barrier in every thread of this process, at one moment of that thread, wherever
 * slb_os_fences_threads() has ever been true; elsewhere it is one in the caller alone. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SLABBY_NO_RSEQ 1 /* ThreadSanitizer cannot see into the assembly */
#endif
#elif defined(__SANITIZE_THREAD__)
#define SLABBY_NO_RSEQ 1
#endif
#if defined(SLB_OS_LINUX) && (defined(__x86_64__) || defined(__aarch64__)) && !defined(SLABBY_NO_RSEQ)
#define SLB_OS_RSEQ 1 /* this build can have them */
#else
#define SLB_OS_RSEQ 0
#endif
#define SLB_OS_RSEQ_CPU 4 /* offset of the CPU number in the area */
#if SLB_OS_RSEQ
struct slb_os_rseq_area {
    uint32_t unread, cpu;
    uint64_t sequence;
    uint32_t flags, rest[3];
} __attribute__((aligned(32)));
#ifdef __GLIBC__ /* one offset from the thread pointer in every thread */
#define SLB_OS_RSEQ_FIXED 1
SLB_SHARED_DATA intptr_t slb_os_rseq_offset;
SLB_INLINE char *slb_os_rseq_area(void) {
    return (char *)__builtin_thread_pointer() + slb_os_rseq_offset;
}
#else /* the variables of a library that is loaded late may be anywhere */
#define SLB_OS_RSEQ_FIXED 0
SLB_SHARED_DATA SLB_THREAD_LOCAL struct slb_os_rseq_area slb_os_own_area;
SLB_INLINE char *slb_os_rseq_area(void) {
    return (char *)&slb_os_own_area;
}
#endif
SLB_PRIVATE bool slb_os_register_rseq(void); /* this thread's own area; false where it has or gets none */
#endif
SLB_PRIVATE bool slb_os_has_rseq(void);
SLB_PRIVATE bool slb_os_rseq_at(intptr_t *out_offset); /* false where areas have no offset in common */
SLB_PRIVATE void slb_os_fence_rseq(void);
SLB_PRIVATE bool slb_os_fences_well(void);
SLB_PRIVATE bool slb_os_fences_threads(void);
SLB_PRIVATE void slb_os_fence_threads(void);

/* Sleeps until another thread wakes the word. Returns at once if it is not `expected`, and false when the deadline of
 * slb_os_now_ns() has passed; may return early. */
SLB_PRIVATE uint64_t slb_os_now_ns(void);
SLB_PRIVATE bool slb_os_sleep_on(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns);
SLB_PRIVATE void slb_os_wake_one(_Atomic uint32_t *word);

/* A descriptor that an event loop can wait for: readable from signal to clear; on Windows the number of an event's
 * HANDLE. Where the system refuses one: the errno, negated. */
SLB_PRIVATE int slb_os_notifier_create(void);
SLB_PRIVATE void slb_os_notifier_signal(int notifier);
SLB_PRIVATE void slb_os_notifier_clear(int notifier);
SLB_PRIVATE void slb_os_notifier_renew(int notifier); /* the same number, apart from the parent's */
SLB_PRIVATE void slb_os_notifier_destroy(int notifier);

/* The caller's thread by the system's number, as other tools show it. */
SLB_PRIVATE uint64_t slb_os_thread(void);
SLB_PRIVATE void slb_os_forget_thread(void); /* in a child of fork, whose thread has another number */
SLB_PRIVATE uint32_t slb_os_process(void);

/* Another number of the caller's thread, never 0, which takes no system call: no other thread that runs has it. */
SLB_PRIVATE uint64_t slb_os_thread_mark(void);

/* Functions that each fork of this process calls; registered once. False where the system has no memory for it. A
 * system without fork calls none. */
SLB_PRIVATE bool slb_os_at_fork(void (*before)(void), void (*parent)(void), void (*child)(void));

/* A detached thread with all signals blocked; false where the system refuses one. A name has at most 15 bytes. */
SLB_PRIVATE bool slb_os_start_thread(void *(*body)(void *));
SLB_PRIVATE void slb_os_name_thread(const char *name);

/* Calls a function with all signals of this thread blocked. */
SLB_PRIVATE void slb_os_without_signals(void (*work)(void *), void *argument);

/* Files. slb_os_write writes some of the bytes, waits where the descriptor does not take any at the moment, and lets
 * no SIGPIPE out. Both answer 0 or an errno. */
SLB_PRIVATE int slb_os_write(int fd, const void *data, size_t size, size_t *out_written);

/* The file behind a descriptor. size: UINT64_MAX where it is no regular file. */
struct slb_file {
    uint64_t device, inode, size;
};

SLB_PRIVATE int slb_os_file(int fd, struct slb_file *out);

/* Between these two calls there is no cancellation point, not even in user code. */
SLB_PRIVATE int slb_os_hold_cancellation(void);
SLB_PRIVATE void slb_os_allow_cancellation(int held);

SLB_PRIVATE void slb_os_sleep(uint64_t ns); /* under a second; a signal may end it early */

SLB_INLINE void slb_os_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* Waiting for another thread to move on: spins, then yields, then sleeps. Async-signal-safe. */
SLB_PRIVATE void slb_os_wait_a_little(uint32_t attempt);

/* A variable of the environment, or NULL; also NULL if the program has more rights than the user that started it. */
SLB_PRIVATE const char *slb_os_environment(const char *name);

/* A value that no other process or loaded copy has; falls back to clock and address without a random source. */
SLB_PRIVATE uint64_t slb_os_unique(void);

#endif
