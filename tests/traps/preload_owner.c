/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Preloaded, with libc's own registration switched off: somebody else who owns the restartable sequences of every
 * thread, as allocators do that register an area of their own and mark its first word. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/rseq.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OWNER_SIGNATURE 0x53053053u

enum { MOST_AREAS = 4096 };

static struct rseq areas[MOST_AREAS];
static atomic_uint areas_used;
static atomic_uint refused;

/* A thread that ends takes its registration with it; areas are not used again. */
static void register_thread(void) {
    unsigned mine = atomic_fetch_add(&areas_used, 1);

    if (mine >= MOST_AREAS || syscall(SYS_rseq, &areas[mine], sizeof areas[mine], 0, OWNER_SIGNATURE) != 0)
        atomic_fetch_add(&refused, 1);
}

struct start {
    void *(*function)(void *);
    void *argument;
};

static void *begin(void *argument) {
    struct start start = *(struct start *)argument;

    free(argument);
    register_thread();
    return start.function(start.argument);
}

__attribute__((visibility("default"))) int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                                                          void *(*function)(void *), void *argument) {
    typedef int creator(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    creator *next = (creator *)(intptr_t)dlsym(RTLD_NEXT, "pthread_create");
    struct start *start = malloc(sizeof *start);

    if (start == NULL)
        return EAGAIN;
    *start = (struct start){function, argument};
    return next(thread, attributes, begin, start);
}

/* 1 when every thread could register and nobody but the kernel wrote to an area. */
__attribute__((visibility("default"))) int trap_owner_holds(void) {
    if (atomic_load(&refused) != 0)
        return 0;
    for (unsigned i = 0; i < atomic_load(&areas_used); i++) {
        uint64_t sequence;

        memcpy(&sequence, (const char *)&areas[i] + offsetof(struct rseq, rseq_cs), sizeof sequence);
        if (sequence != 0 || (int32_t)areas[i].cpu_id < 0)
            return 0;
    }
    return 1;
}

__attribute__((constructor)) static void start_owning(void) {
    register_thread();
}
