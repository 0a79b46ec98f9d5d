/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "inject.h"

#include "thread_state.h"
#include "timing.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>

static _Atomic bool armed;
static enum inject_kind armed_kind;
static uint64_t armed_k;
static bool armed_on;
static _Atomic uint64_t calls, fired;
static _Atomic int64_t mappings, mapped_bytes, blocks;

const char *inject_kind_name(enum inject_kind kind) {
    static const char *const names[INJECT_KINDS] = {
        "mmap",    "mprotect",       "madvise",   "mlock",      "malloc",
        "eventfd", "pthread_create", "getrandom", "membarrier", "pthread_atfork"};
    return names[kind];
}

void inject_set(enum inject_kind kind, uint64_t k, bool on) {
    armed_kind = kind;
    armed_k = k;
    armed_on = on;
    atomic_store(&calls, 0);
    atomic_store(&fired, 0);
    atomic_store(&armed, true);
}

void inject_pause(void) {
    atomic_store(&armed, false);
}

void inject_resume(void) {
    atomic_store(&armed, true);
}

uint64_t inject_fired(void) {
    return atomic_load(&fired);
}

static int64_t count_names(const char *path) {
    DIR *folder = opendir(path);
    int64_t count = 0;
    while (folder != NULL && readdir(folder) != NULL)
        count++;
    if (folder != NULL)
        closedir(folder);
    return count;
}

struct inject_balance inject_balance(void) {
    return (struct inject_balance){atomic_load(&mappings), atomic_load(&mapped_bytes), atomic_load(&blocks),
                                   count_names("/proc/self/fd")};
}

/* Whether this call of a kind is one to refuse; errno is set then. */
static bool refuse(enum inject_kind kind, int error) {
    if (!atomic_load(&armed) || kind != armed_kind)
        return false;
    uint64_t number = atomic_fetch_add(&calls, 1) + 1;
    if (number != armed_k && !(armed_on && number > armed_k))
        return false;
    atomic_fetch_add(&fired, 1);
    errno = error;
    return true;
}

/* ------------------------------------------------------------------------------------------------- memory */

void *__real_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset);
int __real_munmap(void *address, size_t size);
int __wrap_munmap(void *address, size_t size);
int __real_mprotect(void *address, size_t size, int protection);
int __wrap_mprotect(void *address, size_t size, int protection);
int __real_madvise(void *address, size_t size, int advice);
int __wrap_madvise(void *address, size_t size, int advice);

void *__wrap_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset) {
    if (refuse(INJECT_MMAP, ENOMEM))
        return MAP_FAILED;
    void *got = __real_mmap(address, size, protection, flags, file, offset);
    if (got != MAP_FAILED && (flags & MAP_FIXED) == 0) {
        atomic_fetch_add(&mappings, 1);
        atomic_fetch_add(&mapped_bytes, (int64_t)size);
    }
    return got;
}

int __wrap_munmap(void *address, size_t size) {
    int result = __real_munmap(address, size);
    if (result == 0) {
        atomic_fetch_sub(&mappings, 1);
        atomic_fetch_sub(&mapped_bytes, (int64_t)size);
    }
    return result;
}

int __wrap_mprotect(void *address, size_t size, int protection) {
    return refuse(INJECT_MPROTECT, ENOMEM) ? -1 : __real_mprotect(address, size, protection);
}

/* EINVAL would say that the kernel does not know the advice, which is no refusal. */
int __wrap_madvise(void *address, size_t size, int advice) {
    return refuse(INJECT_MADVISE, ENOMEM) ? -1 : __real_madvise(address, size, advice);
}

/* --------------------------------------------------------------------------------------------------- heap */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size);
int __real_posix_memalign(void **out, size_t alignment, size_t size);
int __wrap_posix_memalign(void **out, size_t alignment, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *block);
void __wrap_free(void *block);

static void *counted(void *block) {
    atomic_fetch_add(&blocks, block != NULL);
    return block;
}

void *__wrap_malloc(size_t size) {
    return refuse(INJECT_MALLOC, ENOMEM) ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size) {
    return refuse(INJECT_MALLOC, ENOMEM) ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *block, size_t size) {
    if (refuse(INJECT_MALLOC, ENOMEM))
        return NULL;
    void *got = __real_realloc(block, size);
    return block == NULL ? counted(got) : got;
}

int __wrap_posix_memalign(void **out, size_t alignment, size_t size) {
    if (refuse(INJECT_MALLOC, ENOMEM))
        return ENOMEM;
    int result = __real_posix_memalign(out, alignment, size);
    atomic_fetch_add(&blocks, result == 0);
    return result;
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    return refuse(INJECT_MALLOC, ENOMEM) ? NULL : counted(__real_aligned_alloc(alignment, size));
}

void __wrap_free(void *block) {
    atomic_fetch_sub(&blocks, block != NULL);
    __real_free(block);
}

/* ---------------------------------------------------------------------------------------------- the others */

int __real_eventfd(unsigned count, int flags);
int __wrap_eventfd(unsigned count, int flags);
int __real_timerfd_create(int clock, int flags);
int __wrap_timerfd_create(int clock, int flags);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);
int __real_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

int __wrap_eventfd(unsigned count, int flags) {
    return refuse(INJECT_DESCRIPTOR, EMFILE) ? -1 : __real_eventfd(count, flags);
}

int __wrap_timerfd_create(int clock, int flags) {
    return refuse(INJECT_DESCRIPTOR, EMFILE) ? -1 : __real_timerfd_create(clock, flags);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument) {
    return refuse(INJECT_THREAD, EAGAIN) ? EAGAIN : __real_pthread_create(thread, attributes, run, argument);
}

int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void)) {
    return refuse(INJECT_ATFORK, ENOMEM) ? ENOMEM : __real_pthread_atfork(prepare, parent, child);
}

/* Six words are what any system call takes; a call with fewer leaves garbage, which nobody reads but
 * AddressSanitizer would object to. */
__attribute__((no_sanitize_address)) long __wrap_syscall(long number, ...) {
    long words[6];
    va_list arguments;
    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        words[i] = va_arg(arguments, long);
    va_end(arguments);
    if ((number == SYS_mlock2 && refuse(INJECT_MLOCK, ENOMEM)) ||
        (number == SYS_getrandom && refuse(INJECT_RANDOM, EAGAIN)) ||
        (number == SYS_membarrier && refuse(INJECT_MEMBARRIER, EPERM)))
        return -1;
    return __real_syscall(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}

static void *store_number(void *number) {
    *(int *)number = thread_number();
    return number;
}

void inject_await_threads(void) {
    static int64_t before;
    pthread_t first; /* after which a sanitizer has its own thread */
    int number = 0;
    if (before == 0 && __real_pthread_create(&first, NULL, store_number, &number) == 0) {
        pthread_join(first, NULL);
        WAIT_UNTIL(thread_has_ended(number));
        before = count_names("/proc/self/task");
    }
    WAIT_UNTIL(count_names("/proc/self/task") <= before);
}
