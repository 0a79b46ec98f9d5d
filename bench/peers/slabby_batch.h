/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Slabby by batches: an object of the patterns is 64 slabs. */
#ifndef BENCH_PEERS_SLABBY_BATCH_H
#define BENCH_PEERS_SLABBY_BATCH_H

#include "slabby_pool.h"

#include <stdlib.h>

#define PEER_UNITS 64

/* The references of a batch stay where they were stored, as in a program: the patterns pass a pointer around. */
struct batch {
    struct batch *next;
    slabby_ref refs[PEER_UNITS];
};

typedef struct batch *peer_object;

/* Batches of this thread that hold nothing. */
static _Thread_local struct batch *spare_batches;

/* Writes the first byte of all slabs but the first, which is the pattern's to write. */
static inline int peer_take(peer_pool *pool, peer_object *object, void **data) {
    void *datas[PEER_UNITS];
    slabby_status status;
    struct batch *batch = spare_batches;
    *data = NULL; /* where the batch is refused */
    if (batch != NULL)
        spare_batches = batch->next;
    else if ((batch = malloc(sizeof *batch)) == NULL)
        return SLABBY_NO_SYSTEM_MEMORY;
    do
        status = slabby_allocate_batch(batch->refs, datas, pool->handle, PEER_UNITS);
    while (peer_was_late(status));
    if (status != SLABBY_OK)
        return status;
    for (int i = 1; i < PEER_UNITS; i++)
        *(volatile char *)datas[i] = 1;
    *data = datas[0];
    *object = batch;
    return SLABBY_OK;
}

static inline int peer_give(peer_pool *pool, peer_object batch) {
    uint64_t released = 0;
    slabby_status status = slabby_release_batch(&released, pool->handle, batch->refs, PEER_UNITS);
    batch->next = spare_batches;
    spare_batches = batch;
    return status != SLABBY_OK ? status : released != PEER_UNITS;
}

#endif
