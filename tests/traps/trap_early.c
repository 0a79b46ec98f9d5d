/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A pool that a program makes before any constructor, the library's own among them, has run: what it is given is what a
 * later pool gets. */
#include <slabby/slabby.h>

#include <stdio.h>

static slabby_allocator *early;

static slabby_allocator *make(void) {
    slabby_allocator *pool = NULL;
    return slabby_create(&pool, 64, 1000, NULL, NULL) == SLABBY_OK ? pool : NULL;
}

/* musl runs no .preinit_array: there the earliest is the first of the program's constructors. */
static __attribute__((constructor(101))) void make_early(void) {
    if (early == NULL)
        early = make();
}

__attribute__((section(".preinit_array"), used)) static void (*const before_constructors)(void) = make_early;

static int64_t backend(slabby_allocator *pool) {
    int64_t value = -1;
    return slabby_get_option(&value, pool, SLABBY_OPTION_CPU_CACHE_BACKEND) == SLABBY_OK ? value : -1;
}

static int use(slabby_allocator *pool) {
    slabby_stats stats = SLABBY_STATS_INIT;
    for (int i = 0; i < 10000; i++) {
        slabby_ref ref;
        void *data;
        if (slabby_allocate(&ref, &data, pool) != SLABBY_OK || slabby_release(pool, ref) != SLABBY_OK)
            return 0;
    }
    /* A clock that had begun in another unit would show days. */
    return slabby_get_stats(&stats, pool) == SLABBY_OK && stats.max_alloc_time_ns < 600000000000;
}

int main(void) {
    slabby_allocator *late = make();
    if (early == NULL || late == NULL || !use(early) || !use(late)) {
        fprintf(stderr, "a pool does not work\n");
        return 1;
    }
    if (backend(early) != backend(late)) {
        fprintf(stderr, "the early pool has backend %d, the late one %d\n", (int)backend(early),
                (int)backend(late));
        return 1;
    }
    return slabby_destroy(early) == SLABBY_OK && slabby_destroy(late) == SLABBY_OK ? 0 : 1;
}
