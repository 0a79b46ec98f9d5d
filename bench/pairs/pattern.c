/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The orders in which objects come and go. */
#include "worker.h"

#include <string.h>

#define FIFO_LIVE (1000u / PEER_UNITS)
#define BURST 64u
#define CHUNK 64u

static void tight(struct actor *actor) {
    peer_pool *pool = actor->pool;
    for (uint32_t i = 0; i < CHUNK; i++)
        worker_give(pool, worker_take(pool));
}

static void fifo(struct actor *actor) {
    peer_pool *pool = actor->pool;
    for (uint32_t i = 0; i < CHUNK; i++) {
        uint32_t oldest = actor->position;
        worker_give(pool, actor->live[oldest]);
        actor->live[oldest] = worker_take(pool);
        actor->position = oldest + 1 == FIFO_LIVE ? 0 : oldest + 1;
    }
}

static void burst(struct actor *actor) {
    peer_pool *pool = actor->pool;
    for (uint32_t i = 0; i < BURST; i++)
        actor->live[i] = worker_take(pool);
    for (uint32_t i = BURST; i-- > 0;)
        worker_give(pool, actor->live[i]);
}

static void lifetimes(struct actor *actor) {
    peer_pool *pool = actor->pool;
    uint64_t random = actor->random;
    for (uint32_t i = 0; i < CHUNK; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        uint64_t chosen = (random >> 32) * WORKER_LIVE >> 32;
        worker_give(pool, actor->live[chosen]);
        actor->live[chosen] = worker_take(pool);
    }
    actor->random = random;
}

static const struct pattern patterns[] = {
    {"tight", 0, CHUNK, tight},
    {"fifo", FIFO_LIVE, CHUNK, fifo},
    {"burst", 0, BURST, burst},
    {"random", WORKER_LIVE, CHUNK, lifetimes},
};

const struct pattern *pattern_named(const char *name) {
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
        if (strcmp(patterns[i].name, name) == 0)
            return &patterns[i];
    return NULL;
}

void pattern_begin(const struct pattern *pattern, struct actor *actor, peer_pool *pool, uint64_t seed) {
    actor->pool = pool;
    actor->random = seed * 0x9e3779b97f4a7c15u | 1;
    actor->position = 0;
    for (uint32_t i = 0; i < pattern->standing; i++)
        actor->live[i] = worker_take(pool);
    actor->taken = pattern->standing;
}

void pattern_chunk(const struct pattern *pattern, struct actor *actor) {
    pattern->chunk(actor);
    actor->taken += pattern->pairs;
}

void pattern_end(const struct pattern *pattern, struct actor *actor) {
    for (uint32_t i = 0; i < pattern->standing; i++)
        worker_give(actor->pool, actor->live[i]);
}
