/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What bit_guard is held against: a pool without options, whose user writes 64 bytes before and behind each object and
 * compares them before it gives the object back. They are the same for all objects, so reads and writes are all that
 * this costs. */
#ifndef BENCH_PEERS_SLABBY_CANARIES_H
#define BENCH_PEERS_SLABBY_CANARIES_H

#define peer_open slabby_open /* of slabs that have room for both */
#include "slabby_pool.h"
#undef peer_open

#include <stdbool.h>

#define CANARY 64u
#define CANARY_WORDS (CANARY / sizeof(uint64_t))
#define CANARY_VALUE 0x9e3779b97f4a7c15u

typedef struct {
    slabby_ref ref;
    char *data;
} peer_object;

static inline const char *peer_open(peer_pool *pool, size_t size, uint32_t capacity) {
    const char *fault = slabby_open(pool, size + 2 * CANARY, capacity);
    pool->size = size;
    return fault;
}

static inline void canary_write(char *at) {
    const uint64_t canary[CANARY_WORDS] = {CANARY_VALUE, CANARY_VALUE, CANARY_VALUE, CANARY_VALUE,
                                           CANARY_VALUE, CANARY_VALUE, CANARY_VALUE, CANARY_VALUE};
    memcpy(at, canary, sizeof canary);
}

static inline bool canary_lives(const char *at) {
    uint64_t canary[CANARY_WORDS], differs = 0;
    memcpy(canary, at, sizeof canary);
    for (size_t i = 0; i < CANARY_WORDS; i++)
        differs |= canary[i] ^ CANARY_VALUE;
    return differs == 0;
}

static inline int peer_take(peer_pool *pool, peer_object *object, void **data) {
    slabby_status status = slabby_allocate(&object->ref, data, pool->handle);
    if (status != SLABBY_OK)
        return status;
    canary_write(*data);
    *data = object->data = (char *)*data + CANARY;
    canary_write(object->data + pool->size);
    return 0;
}

static inline int peer_give(peer_pool *pool, peer_object object) {
    if (!canary_lives(object.data - CANARY) || !canary_lives(object.data + pool->size))
        return -1;
    return slabby_release(pool->handle, object.ref);
}

#endif
