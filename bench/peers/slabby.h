/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Slabby as the others are used: a shared library, one call to take an object, one to give it back. */
#ifndef BENCH_PEERS_SLABBY_H
#define BENCH_PEERS_SLABBY_H

#include <slabby/slabby.h>
#include <stdio.h>
#include <string.h>

#define PEER_BOUNDED 1

typedef slabby_ref peer_object;

extern slabby_options *peer_options;

/* options: "name=value" each, as slabby_options_set_text takes them. */
static inline const char *peer_start(int count, char **options) {
    static slabby_error error = {.struct_size = sizeof error};
    if (slabby_options_create(&peer_options) != SLABBY_OK)
        return "slabby_options_create failed";
    for (int i = 0; i < count; i++) {
        char *equals = strchr(options[i], '=');
        if (equals == NULL)
            return "an option is written name=value";
        *equals = '\0';
        if (slabby_options_set_text(peer_options, options[i], equals + 1, &error) != SLABBY_OK)
            return error.text;
    }
    return NULL;
}

static inline int peer_enter(void) {
    return 0;
}

static inline void peer_leave(void) {
}

static inline const char *peer_open(peer_pool *pool, size_t size, uint32_t capacity) {
    static slabby_error error = {.struct_size = sizeof error};
    slabby_allocator *allocator;
    if (slabby_create(&allocator, size, capacity, peer_options, &error) != SLABBY_OK)
        return error.text;
    *pool = (peer_pool){.size = size, .capacity = capacity, .handle = allocator};
    return NULL;
}

static inline int peer_take(peer_pool *pool, peer_object *object, void **data) {
    return slabby_allocate(object, data, pool->handle);
}

static inline int peer_give(peer_pool *pool, peer_object object) {
    return slabby_release(pool->handle, object);
}

static inline const char *peer_quiet(peer_pool *pool, uint64_t taken) {
    slabby_stats stats = {.struct_size = sizeof stats};
    if (slabby_get_stats(&stats, pool->handle) != SLABBY_OK)
        return "slabby_get_stats failed";
    pool->taken += taken;
    if (stats.used_slabs != 0)
        return "slabs are in use after everything was released";
    if (stats.total_allocations != pool->taken || stats.total_deallocations != pool->taken)
        return "the pool's counters differ from the objects that came and went";
    return NULL;
}

static inline const char *peer_close(peer_pool *pool) {
    uint64_t findings = 0;
    if (slabby_verify(NULL, &findings, pool->handle, 0) != SLABBY_OK || findings != 0)
        return "slabby_verify found something";
    return slabby_destroy(pool->handle) == SLABBY_OK ? NULL : "slabby_destroy refused";
}

static inline void peer_name(char *buffer, size_t size) {
    snprintf(buffer, size, "slabby %s", slabby_version());
}

#endif
