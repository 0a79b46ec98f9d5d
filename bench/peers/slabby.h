/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Slabby as most use it: one call to take a slab, one to give it back. */
#ifndef BENCH_PEERS_SLABBY_H
#define BENCH_PEERS_SLABBY_H

#include "slabby_pool.h"

typedef slabby_ref peer_object;

static inline int peer_take(peer_pool *pool, peer_object *object, void **data) {
    slabby_status status;
    do
        status = slabby_allocate(object, data, pool->handle);
    while (peer_was_late(status));
    return status;
}

static inline int peer_give(peer_pool *pool, peer_object object) {
    return slabby_release(pool->handle, object);
}

#endif
