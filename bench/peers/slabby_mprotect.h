/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What guard_sample_rate is held against: a pool without options, whose thread opens a page of its own, writes to it
 * and closes it again at every so many allocations, by two calls of mprotect. The option is pages_each=N. */
#ifndef BENCH_PEERS_SLABBY_MPROTECT_H
#define BENCH_PEERS_SLABBY_MPROTECT_H

#define peer_start slabby_start
#define peer_enter slabby_enter
#define peer_leave slabby_leave
#include "slabby_pool.h"
#undef peer_start
#undef peer_enter
#undef peer_leave

#include <stdlib.h>
#include <sys/mman.h>

#define GUARDED_BYTES 4096u

typedef slabby_ref peer_object;

struct guarded_page {
    char *page;
    unsigned long left;
};

/* weak: one for all files of the program */
__attribute__((weak)) unsigned long pages_each;
__attribute__((weak)) _Thread_local struct guarded_page guarded;

static inline const char *peer_start(int count, char **options) {
    char *end = NULL;
    if (count == 1 && strncmp(options[0], "pages_each=", 11) == 0)
        pages_each = strtoul(options[0] + 11, &end, 10);
    return end == NULL || *end != '\0' || pages_each == 0 ? "pages_each=N is missing" : slabby_start(0, NULL);
}

static inline int peer_enter(void) {
    void *page = mmap(NULL, GUARDED_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return -1;
    guarded = (struct guarded_page){page, pages_each};
    return slabby_enter();
}

static inline void peer_leave(void) {
    munmap(guarded.page, GUARDED_BYTES);
    slabby_leave();
}

static __attribute__((noinline)) int guarded_use(void) {
    guarded.left = pages_each;
    if (mprotect(guarded.page, GUARDED_BYTES, PROT_READ | PROT_WRITE) != 0)
        return -1;
    *(volatile char *)guarded.page = 1;
    return mprotect(guarded.page, GUARDED_BYTES, PROT_NONE);
}

static inline int peer_take(peer_pool *pool, peer_object *object, void **data) {
    if (__builtin_expect(--guarded.left == 0, 0) && guarded_use() != 0)
        return -1;
    return slabby_allocate(object, data, pool->handle);
}

static inline int peer_give(peer_pool *pool, peer_object object) {
    return slabby_release(pool->handle, object);
}

#endif
