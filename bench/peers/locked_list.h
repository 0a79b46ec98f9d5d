/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef BENCH_PEERS_LOCKED_LIST_H
#define BENCH_PEERS_LOCKED_LIST_H

#include "lists.h"

#include <stdio.h>

#define PEER_BOUNDED 1

typedef void *peer_object;

static inline const char *peer_start(int count, char **options) {
    (void)options;
    return count == 0 ? NULL : "the locked list takes no options";
}

static inline int peer_enter(void) {
    return 0;
}

static inline void peer_leave(void) {
}

static inline const char *peer_open(peer_pool *pool, size_t size, uint32_t capacity) {
    *pool = (peer_pool){.size = size, .capacity = capacity, .handle = locked_list_create(size, capacity)};
    return pool->handle == NULL ? "no memory for the locked list" : NULL;
}

static inline int peer_take(peer_pool *pool, peer_object *object, void **data) {
    *data = *object = locked_list_take(pool->handle);
    return *data == NULL;
}

static inline int peer_give(peer_pool *pool, peer_object object) {
    locked_list_give(pool->handle, object);
    return 0;
}

static inline const char *peer_quiet(peer_pool *pool, uint64_t taken) {
    pool->taken += taken;
    return locked_list_count(pool->handle) == pool->capacity ? NULL : "objects are missing from the list";
}

static inline const char *peer_close(peer_pool *pool) {
    locked_list_destroy(pool->handle);
    return NULL;
}

static inline void peer_name(char *buffer, size_t size) {
    snprintf(buffer, size, "pthread_mutex_t and a list");
}

#endif
