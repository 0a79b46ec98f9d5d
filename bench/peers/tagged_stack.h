/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef BENCH_PEERS_TAGGED_STACK_H
#define BENCH_PEERS_TAGGED_STACK_H

#include "lists.h"

#include <stdio.h>

#define PEER_BOUNDED 1

typedef uint32_t peer_object;

static inline const char *peer_start(int count, char **options) {
    (void)options;
    return count == 0 ? NULL : "the tagged stack takes no options";
}

static inline int peer_enter(void) {
    return 0;
}

static inline void peer_leave(void) {
}

static inline const char *peer_open(peer_pool *pool, size_t size, uint32_t capacity) {
    *pool = (peer_pool){.size = size, .capacity = capacity, .handle = tagged_stack_create(size, capacity)};
    return pool->handle == NULL ? "no memory for the tagged stack" : NULL;
}

static inline int peer_take(peer_pool *pool, peer_object *object, void **data) {
    int64_t number = tagged_stack_take(pool->handle, data);
    *object = (uint32_t)number;
    return number < 0;
}

static inline int peer_give(peer_pool *pool, peer_object object) {
    tagged_stack_give(pool->handle, object);
    return 0;
}

static inline const char *peer_quiet(peer_pool *pool, uint64_t taken) {
    pool->taken += taken;
    return tagged_stack_count(pool->handle) == pool->capacity ? NULL : "objects are missing from the stack";
}

static inline const char *peer_close(peer_pool *pool) {
    tagged_stack_destroy(pool->handle);
    return NULL;
}

static inline void peer_name(char *buffer, size_t size) {
    snprintf(buffer, size, "compare-and-swap on {tag, index}");
}

#endif
