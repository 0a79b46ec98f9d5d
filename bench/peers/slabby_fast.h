/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Slabby by bare ids. */
#ifndef BENCH_PEERS_SLABBY_FAST_H
#define BENCH_PEERS_SLABBY_FAST_H

#include "slabby_pool.h"

typedef uint32_t peer_object;

static inline int peer_take(peer_pool *pool, peer_object *object, void **data) {
    slabby_status status;
    do
        status = slabby_allocate_fast(data, object, pool->handle);
    while (peer_was_late(status));
    return status;
}

static inline int peer_give(peer_pool *pool, peer_object object) {
    return slabby_deallocate_fast(pool->handle, object);
}

#endif
