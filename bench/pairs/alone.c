/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One thread. The clock is the thread's own CPU time, so that a neighbour on the machine costs nothing but cache. */
#include "worker.h"

#define CHUNKS_PER_CHECK 32

static uint64_t run_for(const struct pattern *pattern, struct actor *actor, double duration_ns,
                        double *out_spent_ns) {
    uint64_t chunks = 0;
    double started = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    do {
        for (int i = 0; i < CHUNKS_PER_CHECK; i++)
            pattern_chunk(pattern, actor);
        chunks += CHUNKS_PER_CHECK;
        *out_spent_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - started;
    } while (*out_spent_ns < duration_ns);
    return chunks;
}

struct result measure_alone(const struct pattern *pattern, peer_pool *pool, double duration_ns) {
    static struct actor actor;
    double spent_ns;
    worker_bind(1);
    pattern_begin(pattern, &actor, pool, 1);
    run_for(pattern, &actor, duration_ns / 5, &spent_ns);
    uint64_t chunks = run_for(pattern, &actor, duration_ns, &spent_ns);
    pattern_end(pattern, &actor);
    uint64_t pairs = chunks * pattern->pairs;
    return (struct result){.ns = spent_ns / (double)pairs, .pairs = pairs, .taken = actor.taken};
}
