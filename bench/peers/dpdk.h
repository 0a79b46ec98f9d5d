/* SPDX-License-Identifier: GPL-3.0-or-later */
/* DPDK's mempool, whose calls are inlined here and check nothing. Without huge pages, files or devices. */
#ifndef BENCH_PEERS_DPDK_H
#define BENCH_PEERS_DPDK_H

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mempool.h>
#include <rte_version.h>
#include <sched.h>
#include <stdio.h>

#define PEER_BOUNDED 1

/* Per thread; Slabby's CPU caches hold 254 at most. */
#define DPDK_CACHE_OBJECTS 256

typedef void *peer_object;

static inline const char *peer_start(int count, char **options) {
    char lcores[32];
    char *arguments[] = {"pairs", "--no-huge",      "--no-shconf",       "--no-pci", "-m",
                         "1024",  "--no-telemetry", "--log-level=error", lcores,     NULL};
    (void)options;
    if (count != 0)
        return "DPDK's mempool takes no options";
    snprintf(lcores, sizeof lcores, "--lcores=0@%d", sched_getcpu());
    int used = (int)(sizeof arguments / sizeof arguments[0]) - 1;
    return rte_eal_init(used, arguments) < 0 ? rte_strerror(rte_errno) : NULL;
}

/* A thread has a cache of its own only once it is registered. */
static inline int peer_enter(void) {
    return rte_lcore_id() == LCORE_ID_ANY ? rte_thread_register() : 0;
}

static inline void peer_leave(void) {
    if (rte_lcore_id() != rte_get_main_lcore())
        rte_thread_unregister();
}

static inline const char *peer_open(peer_pool *pool, size_t size, uint32_t capacity) {
    char name[32];
    snprintf(name, sizeof name, "bench%p", (void *)pool);
    struct rte_mempool *made = rte_mempool_create(name, capacity, (unsigned)size, DPDK_CACHE_OBJECTS, 0, NULL,
                                                  NULL, NULL, NULL, SOCKET_ID_ANY, 0);
    if (made == NULL)
        return rte_strerror(rte_errno);
    *pool = (peer_pool){.size = size, .capacity = capacity, .handle = made};
    return NULL;
}

static inline int peer_take(peer_pool *pool, peer_object *object, void **data) {
    int status = rte_mempool_get(pool->handle, object);
    *data = *object;
    return status;
}

static inline int peer_give(peer_pool *pool, peer_object object) {
    rte_mempool_put(pool->handle, object);
    return 0;
}

static inline const char *peer_quiet(peer_pool *pool, uint64_t taken) {
    pool->taken += taken;
    return rte_mempool_in_use_count(pool->handle) == 0 ? NULL : "objects are missing from the mempool";
}

static inline const char *peer_close(peer_pool *pool) {
    rte_mempool_free(pool->handle);
    return NULL;
}

static inline void peer_name(char *buffer, size_t size) {
    snprintf(buffer, size, "%s", rte_version());
}

#endif
