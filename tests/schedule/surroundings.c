/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the core asks of the operating system, as the scheduler answers it. The linker puts __wrap_NAME in the place of
 * NAME; what is not here is Linux's as ever. */
#include "scheduler.h"

#include "observe/event_watch.h"
#include "os/os.h"

#include <stdlib.h>
#include <string.h>

uint32_t __wrap_slb_os_cpu(void);
uint32_t __wrap_slb_os_cpu(void) {
    return schedule_cpu();
}

uint32_t __wrap_slb_os_cpu_count(void);
uint32_t __wrap_slb_os_cpu_count(void) {
    return 2;
}

uint32_t __wrap_slb_os_usable_cpus(void);
uint32_t __wrap_slb_os_usable_cpus(void) {
    return 2;
}

void __wrap_slb_os_wait_a_little(uint32_t attempt);
void __wrap_slb_os_wait_a_little(uint32_t attempt) {
    (void)attempt;
    schedule_rest();
}

uint64_t __wrap_slb_os_thread_mark(void);
uint64_t __wrap_slb_os_thread_mark(void) {
    return schedule_is_running() ? schedule_task() + 1 : 1;
}

/* No signal comes. */
void __wrap_slb_os_without_signals(void (*work)(void *), void *argument);
void __wrap_slb_os_without_signals(void (*work)(void *), void *argument) {
    work(argument);
}

/* Before the runs: from now on the pools are those of a child that was forked. */
static void (*before_fork)(void), (*in_child)(void);

bool __wrap_slb_os_at_fork(void (*before)(void), void (*parent)(void), void (*child)(void));
bool __wrap_slb_os_at_fork(void (*before)(void), void (*parent)(void), void (*child)(void)) {
    (void)parent;
    before_fork = before;
    in_child = child;
    return true;
}

void schedule_fork(void) {
    before_fork();
    in_child();
}

/* The events of the process outlive a run, so that a run would depend on those before it; test_watch
 * tests them. */
void __wrap_slb_watch_raise(struct slabby_allocator *pool, const slabby_event *event);
void __wrap_slb_watch_raise(struct slabby_allocator *pool, const slabby_event *event) {
    (void)pool;
    (void)event;
}

/* ------------------------------------------------------------------------------------------------- time */

/* The clock stands still: what a run does must not depend on how long it takes. */
uint64_t __wrap_slb_os_ticks(void);
uint64_t __wrap_slb_os_ticks(void) {
    return 1000000;
}

uint64_t __wrap_slb_os_coarse_ns(void);
uint64_t __wrap_slb_os_coarse_ns(void) {
    return 1000000;
}

uint64_t __wrap_slb_os_now_ns(void);
uint64_t __wrap_slb_os_now_ns(void) {
    return 1000000;
}

uint64_t __wrap_slb_os_wall_ns(void);
uint64_t __wrap_slb_os_wall_ns(void) {
    return 1000000;
}

/* The real one waits until the clock has moved. */
double __wrap_slb_os_ns_per_tick(void);
double __wrap_slb_os_ns_per_tick(void) {
    return 1.0;
}

bool __wrap_slb_os_sleep_on(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns);
bool __wrap_slb_os_sleep_on(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns) {
    schedule_access(word, ACCESS_READ, __builtin_return_address(0));
    if (*(volatile uint32_t *)word != expected)
        return true;
    return schedule_sleep((volatile void *)word, deadline_ns < INT64_MAX);
}

void __wrap_slb_os_wake_one(_Atomic uint32_t *word);
void __wrap_slb_os_wake_one(_Atomic uint32_t *word) {
    schedule_access(word, ACCESS_ALWAYS, __builtin_return_address(0));
    schedule_wake((volatile void *)word);
}

/* One notifier is enough: it is signalled or not, and a task may sleep until it is. */
volatile uint32_t schedule_notifier_signals;

int __wrap_slb_os_notifier_create(void);
int __wrap_slb_os_notifier_create(void) {
    return 0;
}

void __wrap_slb_os_notifier_signal(int notifier);
void __wrap_slb_os_notifier_signal(int notifier) {
    (void)notifier;
    schedule_access(&schedule_notifier_signals, ACCESS_WRITE, __builtin_return_address(0));
    schedule_notifier_signals = 1;
    schedule_wake(&schedule_notifier_signals);
}

void __wrap_slb_os_notifier_clear(int notifier);
void __wrap_slb_os_notifier_clear(int notifier) {
    (void)notifier;
    schedule_access(&schedule_notifier_signals, ACCESS_WRITE, __builtin_return_address(0));
    schedule_notifier_signals = 0;
}

/* ----------------------------------------------------------------------------------------------- memory */

/* What a run allocates or maps lies at the same place in every run, and is forgotten with it. */
enum { UNIT = 64, PAGE = 4096 };

static struct {
    _Alignas(PAGE) char bytes[64 * PAGE];
    size_t used;
} arena;

void schedule_forget_allocations(void) {
    memset(arena.bytes, 0, arena.used);
    arena.used = 0;
}

static void *from_arena(size_t size, size_t unit) {
    size_t start = (arena.used + unit - 1) / unit * unit;

    if (size > sizeof arena.bytes - start)
        schedule_broken("a run allocates more than %zu bytes", sizeof arena.bytes);
    arena.used = start + size;
    return arena.bytes + start;
}

void *schedule_calloc(size_t count, size_t size);
void *schedule_calloc(size_t count, size_t size) {
    return schedule_is_running() ? from_arena(count * size, UNIT) : calloc(count, size);
}

static bool is_in_arena(const void *memory) {
    return (const char *)memory >= arena.bytes && (const char *)memory < arena.bytes + sizeof arena.bytes;
}

void schedule_free(void *memory);
/* What was made before the runs is needed again by the next one. */
void schedule_free(void *memory) {
    if (!is_in_arena(memory) && !schedule_is_running())
        free(memory);
}

void *__real_slb_os_map(size_t size);
void *__wrap_slb_os_map(size_t size);
void *__wrap_slb_os_map(size_t size) {
    return schedule_is_running() ? from_arena(size, PAGE) : __real_slb_os_map(size);
}

/* The next run needs the mappings again. */
void __real_slb_os_unmap(void *address, size_t size);
void __wrap_slb_os_unmap(void *address, size_t size);
void __wrap_slb_os_unmap(void *address, size_t size) {
    if (!schedule_is_running())
        __real_slb_os_unmap(address, size);
    else if (address != NULL)
        schedule_unmap(address, size, __builtin_return_address(0));
}

bool __real_slb_os_discard(void *address, size_t size);
bool __wrap_slb_os_discard(void *address, size_t size);
bool __wrap_slb_os_discard(void *address, size_t size) {
    if (!schedule_is_running())
        return __real_slb_os_discard(address, size);
    schedule_access_slabs(address, size, __builtin_return_address(0));
    memset(address, 0, size);
    return true;
}

/* ------------------------------------------------------------------------------------------- sequences */

bool __wrap_slb_os_has_rseq(void);
bool __wrap_slb_os_has_rseq(void) {
    return true;
}

void __wrap_slb_os_fence_rseq(void);
void __wrap_slb_os_fence_rseq(void) {
    schedule_fence();
}

/* Orders are sequentially consistent: there is nothing for this fence to do. */
void __wrap_slb_os_fence_threads(void);
void __wrap_slb_os_fence_threads(void) {
}

bool __wrap_slb_os_fences_threads(void);
bool __wrap_slb_os_fences_threads(void) {
    return true;
}
