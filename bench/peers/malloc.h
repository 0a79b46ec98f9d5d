/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whichever malloc the program is linked with: glibc's, or a library in front of it. With PEER_ZEROES objects are
 * zeroed before they are given back, as a careful program does by hand. */
#ifndef BENCH_PEERS_MALLOC_H
#define BENCH_PEERS_MALLOC_H

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PEER_BOUNDED 0

typedef void *peer_object;

static inline const char *peer_start(int count, char **options) {
    (void)options;
    return count == 0 ? NULL : "malloc takes no options";
}

static inline int peer_enter(void) {
    return 0;
}

static inline void peer_leave(void) {
}

static inline const char *peer_open(peer_pool *pool, size_t size, uint32_t capacity) {
    *pool = (peer_pool){.size = size, .capacity = capacity};
    return NULL;
}

static inline int peer_take(peer_pool *pool, peer_object *object, void **data) {
    *data = *object = malloc(pool->size);
    return *data == NULL;
}

static inline int peer_give(peer_pool *pool, peer_object object) {
#ifdef PEER_ZEROES
    explicit_bzero(object, pool->size);
#else
    (void)pool;
#endif
    free(object);
    return 0;
}

static inline const char *peer_quiet(peer_pool *pool, uint64_t taken) {
    pool->taken += taken;
    return NULL;
}

static inline const char *peer_close(peer_pool *pool) {
    (void)pool;
    return NULL;
}

/* The library that answers for the symbol malloc: proof that the link did what its name says. */
static inline void peer_name(char *buffer, size_t size) {
    Dl_info found;
    void *symbol = dlsym(RTLD_DEFAULT, "malloc");
    if (symbol == NULL || dladdr(symbol, &found) == 0) {
        snprintf(buffer, size, "unknown");
        return;
    }
    const char *slash = strrchr(found.dli_fname, '/');
    snprintf(buffer, size, "%s", slash == NULL ? found.dli_fname : slash + 1);
}

#endif
