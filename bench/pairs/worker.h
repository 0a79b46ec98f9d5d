/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the rooms of a worker share: its CPUs, its way to give up, and what it can measure. */
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H

#include "../peers/peer.h"

#include "../clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define WORKER_CAPACITY 20000u
#define WORKER_LIVE (10000u / PEER_UNITS)

/* Ends the process with a line that the caller of the worker shows. */
_Noreturn void worker_fail(const char *what, const char *why);

/* Binds this thread to the first (0) or second (1) of the two CPUs that are measured, or to both (-1). */
void worker_bind(int which);

/* Of those two CPUs, how many there are. */
int worker_cpus(void);

/* The first byte of an object is written, as its owner would. */
static inline void worker_touch(void *data) {
    *(volatile char *)data = 1;
}

static inline peer_object worker_take(peer_pool *pool) {
    peer_object object;
    void *data;
    if (__builtin_expect(peer_take(pool, &object, &data) != 0, 0))
        worker_fail("take", "refused although the pool is large enough");
    worker_touch(data);
    return object;
}

static inline void worker_give(peer_pool *pool, peer_object object) {
    if (__builtin_expect(peer_give(pool, object) != 0, 0))
        worker_fail("give", "refused");
}

/* One user of a pool, and what it holds at the moment. */
struct actor {
    peer_pool *pool;
    uint64_t random;
    uint32_t position;
    uint64_t taken; /* since begin, a peer_object each */
    peer_object live[WORKER_LIVE];
};

/* A way to use a pool. `chunk` takes and gives `pairs` objects; begin and end hold and return what stands. */
struct pattern {
    const char *name;
    uint32_t standing;
    uint32_t pairs;
    void (*chunk)(struct actor *actor);
};

const struct pattern *pattern_named(const char *name);
void pattern_begin(const struct pattern *pattern, struct actor *actor, peer_pool *pool, uint64_t seed);
void pattern_chunk(const struct pattern *pattern, struct actor *actor);
void pattern_end(const struct pattern *pattern, struct actor *actor);

/* All of a peer_object each; the worker's answer is for one object of the pool. */
struct result {
    double ns;      /* CPU time of one thread, or of the CPUs in use, for one taken and given back */
    uint64_t pairs; /* in that time */
    uint64_t taken; /* with those before and after */
};

struct result measure_alone(const struct pattern *pattern, peer_pool *pool, double duration_ns);
struct result measure_threads(const struct pattern *pattern, peer_pool *pool, int threads, bool bound,
                              double duration_ns);
struct result measure_ring(peer_pool *pool, double duration_ns);

/* Prints the percentiles of single operations, in nanoseconds, as one JSON object. */
void measure_tails(size_t size, uint32_t samples, bool storm);

#endif
