/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Credits, of which there are as many as slabs: each is taken before an allocation and given back after the release has
 * returned. The demand never exceeds the capacity, so every OutOfMemory is a lie (law 1). */
#ifndef SLABBY_TEST_CREDITS_H
#define SLABBY_TEST_CREDITS_H

#include <stdatomic.h>
#include <stdint.h>

/* All `count`, or none and false. */
static inline int take_credits(_Atomic int64_t *credits, int64_t count) {
    int64_t have = atomic_load(credits);

    while (have >= count)
        if (atomic_compare_exchange_weak(credits, &have, have - count))
            return 1;
    return 0;
}

static inline void give_credits(_Atomic int64_t *credits, int64_t count) {
    atomic_fetch_add(credits, count);
}

#endif
