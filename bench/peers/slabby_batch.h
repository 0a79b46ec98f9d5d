/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Slabby by batches: an object of the patterns is 64 slabs. */
#ifndef BENCH_PEERS_SLABBY_BATCH_H
#define BENCH_PEERS_SLABBY_BATCH_H

#include "slabby_pool.h"

#define PEER_UNITS 64

typedef struct {
    slabby_ref refs[PEER_UNITS];
} peer_object;

/* Writes the first byte of all slabs but the first, which is the pattern's to write. */
static inline int peer_take(peer_pool *pool, peer_object *object, void **data) {
    void *datas[PEER_UNITS];
    slabby_status status;
    do
        status = slabby_allocate_batch(object->refs, datas, pool->handle, PEER_UNITS);
    while (peer_was_late(status));
    if (status != SLABBY_OK)
        return status;
    for (int i = 1; i < PEER_UNITS; i++)
        *(volatile char *)datas[i] = 1;
    *data = datas[0];
    return SLABBY_OK;
}

static inline int peer_give(peer_pool *pool, peer_object object) {
    uint64_t released = 0;
    slabby_status status = slabby_release_batch(&released, pool->handle, object.refs, PEER_UNITS);
    return status != SLABBY_OK ? status : released != PEER_UNITS;
}

#endif
