/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Several threads on one pool, by the clock on the wall: time in which a thread waits for another counts. */
#include "worker.h"

#include <pthread.h>
#include <stdatomic.h>

#define MAX_THREADS 8

/* Nanoseconds that every thread runs before the clock starts. */
#define WARM_UP_NS 2e6

struct member {
    _Alignas(64) pthread_t thread;
    const struct pattern *pattern;
    int which_cpu;
    _Atomic uint64_t pairs; /* in chunks that began and ended while the clock ran */
    struct actor actor;
};

static struct member members[MAX_THREADS];
static pthread_barrier_t all_ready;
static _Atomic int phase; /* 0: warming up, 1: the clock runs, 2: over */

static void *live(void *argument) {
    struct member *self = argument;
    worker_bind(self->which_cpu);
    if (peer_enter() != 0)
        worker_fail("peer_enter", "the thread was refused");
    pattern_begin(self->pattern, &self->actor, self->actor.pool, (uint64_t)(self - members) + 1);
    pthread_barrier_wait(&all_ready);
    for (int began; (began = atomic_load_explicit(&phase, memory_order_relaxed)) != 2;) {
        pattern_chunk(self->pattern, &self->actor);
        if (began == 1 && atomic_load_explicit(&phase, memory_order_relaxed) == 1)
            atomic_fetch_add_explicit(&self->pairs, self->pattern->pairs, memory_order_relaxed);
    }
    pattern_end(self->pattern, &self->actor);
    peer_leave();
    return NULL;
}

static uint64_t pairs_of(int threads) {
    uint64_t pairs = 0;
    for (int i = 0; i < threads; i++)
        pairs += atomic_load_explicit(&members[i].pairs, memory_order_relaxed);
    return pairs;
}

struct result measure_threads(const struct pattern *pattern, peer_pool *pool, int threads, bool bound,
                              double duration_ns) {
    struct result result = {0};
    worker_bind(-1);
    atomic_store(&phase, 0);
    pthread_barrier_init(&all_ready, NULL, (unsigned)threads + 1);
    for (int i = 0; i < threads; i++) {
        members[i].pattern = pattern;
        members[i].which_cpu = bound ? i % 2 : -1;
        members[i].actor.pool = pool;
        atomic_store(&members[i].pairs, 0);
        if (pthread_create(&members[i].thread, NULL, live, &members[i]) != 0)
            worker_fail("pthread_create", "no more threads");
    }
    pthread_barrier_wait(&all_ready);
    clock_pause(WARM_UP_NS);
    double started = clock_ns(CLOCK_MONOTONIC);
    atomic_store(&phase, 1);
    do /* longer where others keep the CPUs for all of it */
        clock_pause(duration_ns);
    while (pairs_of(threads) == 0);
    atomic_store(&phase, 2);
    double spent_ns = clock_ns(CLOCK_MONOTONIC) - started;
    for (int i = 0; i < threads; i++) {
        pthread_join(members[i].thread, NULL);
        result.taken += members[i].actor.taken;
    }
    pthread_barrier_destroy(&all_ready);
    result.pairs = pairs_of(threads);
    int cpus = threads < worker_cpus() ? threads : worker_cpus();
    result.ns = spent_ns * cpus / (double)result.pairs;
    return result;
}
