/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What single operations cost, one by one: a thread holds 64 objects, gives the oldest back and takes a new one.
 *
 * In the storm another thread, on the other CPU, takes all that the pool has, until it is refused, and gives all
 * back. With Slabby the gate closes and opens each time. The malloc libraries have no end: there the other thread
 * takes as many objects as the pools hold.
 */
#include "worker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define HELD 64u
#define STORM_CAPACITY 2048u
#define STORM_PAUSE_NS 20e3
#define MAX_SAMPLES 200000u

struct series {
    uint32_t *ticks;
    uint32_t count;
};

static struct {
    peer_pool *pool;
    _Atomic bool over;
    uint64_t storms;
    uint64_t taken;
} storm_state;

static void *make_storms(void *unused) {
    static peer_object objects[STORM_CAPACITY];
    peer_pool *pool = storm_state.pool;
    (void)unused;
    worker_bind(0);
    if (peer_enter() != 0)
        worker_fail("peer_enter", "the thread was refused");
    while (!atomic_load(&storm_state.over)) {
        uint32_t count = 0;
        void *data;
        while (count < STORM_CAPACITY && peer_take(pool, &objects[count], &data) == 0)
            count++;
        for (uint32_t i = 0; i < count; i++)
            worker_give(pool, objects[i]);
        storm_state.storms++;
        storm_state.taken += count;
        clock_pause(STORM_PAUSE_NS);
    }
    peer_leave();
    return NULL;
}

static void record(struct series *series, uint64_t begun, uint64_t ended) {
    uint64_t spent = ended - begun;
    series->ticks[series->count++] = spent > UINT32_MAX ? UINT32_MAX : (uint32_t)spent;
}

static int by_ticks(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static void print_series(const char *name, struct series *series, double tick_ns) {
    static const double parts[] = {0.5, 0.99, 0.999, 1.0};
    static const char *const names[] = {"p50", "p99", "p999", "max"};
    printf(", \"%s\": {\"count\": %u", name, series->count);
    qsort(series->ticks, series->count, sizeof series->ticks[0], by_ticks);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && series->count != 0; i++) {
        uint32_t entry = (uint32_t)(parts[i] * (series->count - 1));
        printf(", \"%s\": %.1f", names[i], series->ticks[entry] * tick_ns);
    }
    printf("}");
}

/* Answers how many objects were taken. A refusal is possible in the storm only; the place stays empty until the
 * next turn. */
static uint64_t walk(peer_pool *pool, uint32_t samples, bool storm, struct series *takes,
                     struct series *gives, struct series *refusals) {
    peer_object live[HELD];
    bool held[HELD] = {false};
    uint64_t taken = 0;
    void *data;
    for (uint32_t i = 0; i < samples; i++) {
        uint32_t entry = i % HELD;
        if (held[entry]) {
            uint64_t begun = clock_ticks();
            int status = peer_give(pool, live[entry]);
            record(gives, begun, clock_ticks());
            if (status != 0)
                worker_fail("give", "refused");
        }
        uint64_t begun = clock_ticks();
        int status = peer_take(pool, &live[entry], &data);
        record(status == 0 ? takes : refusals, begun, clock_ticks());
        held[entry] = status == 0;
        taken += held[entry];
        if (held[entry])
            worker_touch(data);
        else if (!storm)
            worker_fail("take", "refused although the pool is large enough");
    }
    for (uint32_t i = 0; i < HELD; i++)
        if (held[i])
            worker_give(pool, live[i]);
    return taken;
}

static double floor_ns(double tick_ns) {
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 10000; i++) {
        uint64_t begun = clock_ticks(), ended = clock_ticks();
        least = ended - begun < least ? ended - begun : least;
    }
    return (double)least * tick_ns;
}

void measure_tails(size_t size, uint32_t samples, bool storm) {
    /* not from the heap: large blocks that come and go would change how glibc treats the others */
    static uint32_t ticks[3][MAX_SAMPLES];
    struct series takes = {ticks[0], 0}, gives = {ticks[1], 0}, refusals = {ticks[2], 0};
    if (samples > MAX_SAMPLES)
        worker_fail("tail", "too many samples");
    peer_pool pool = {0};
    pthread_t thread;
    const char *fault = peer_open(&pool, size, STORM_CAPACITY);
    if (fault != NULL)
        worker_fail("peer_open", fault);
    storm_state.pool = &pool;
    storm_state.storms = storm_state.taken = 0;
    atomic_store(&storm_state.over, false);
    worker_bind(1);
    memset(ticks, 0, sizeof ticks); /* so that their pages are there */
    double tick_ns = clock_tick_ns();
    if (storm && pthread_create(&thread, NULL, make_storms, NULL) != 0)
        worker_fail("pthread_create", "no more threads");
    uint64_t taken = walk(&pool, samples, storm, &takes, &gives, &refusals);
    atomic_store(&storm_state.over, true);
    if (storm)
        pthread_join(thread, NULL);
    if ((fault = peer_quiet(&pool, taken + storm_state.taken)) != NULL || (fault = peer_close(&pool)) != NULL)
        worker_fail("check", fault);
    printf("{\"floor\": %.1f, \"storms\": %llu", floor_ns(tick_ns), (unsigned long long)storm_state.storms);
    print_series("take", &takes, tick_ns);
    print_series("give", &gives, tick_ns);
    print_series("refused", &refusals, tick_ns);
    printf("}\n");
}
