/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the peers of this library share, whichever calls they take and give slabs by: its options, its pools, and what
 * its counters must say. PEER_TREE names the source tree that the library was built from. */
#ifndef BENCH_PEERS_SLABBY_POOL_H
#define BENCH_PEERS_SLABBY_POOL_H

#include <slabby/slabby.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#ifndef PEER_TREE
#define PEER_TREE "this tree"
#endif

#define PEER_BOUNDED 1

extern slabby_options *peer_options;

/* Allocations that were refused because their budget of time was spent, and were tried again. */
extern _Atomic uint64_t peer_late;

/* options: "name=value" each, as slabby_options_set_text takes them, or "preset=name". */
static inline const char *peer_start(int count, char **options) {
    static slabby_error error = {.struct_size = sizeof error};
    if (slabby_options_create(&peer_options) != SLABBY_OK)
        return "slabby_options_create failed";
    for (int i = 0; i < count; i++) {
        char *equals = strchr(options[i], '=');
        if (equals == NULL)
            return "an option is written name=value";
        *equals = '\0';
        slabby_status status = strcmp(options[i], "preset") == 0
                                   ? slabby_options_preset(peer_options, equals + 1, &error)
                                   : slabby_options_set_text(peer_options, options[i], equals + 1, &error);
        if (status != SLABBY_OK)
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

/* Whether to try again: on a machine that takes the CPU away for long, a budget of microseconds may be spent. */
static inline int peer_was_late(slabby_status status) {
    if (__builtin_expect(status != SLABBY_LATENCY_EXCEEDED, 1))
        return 0;
    atomic_fetch_add_explicit(&peer_late, 1, memory_order_relaxed); /* a count, which orders nothing */
    return 1;
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
    snprintf(buffer, size, "slabby %s, %s", slabby_version(), PEER_TREE);
}

#endif
