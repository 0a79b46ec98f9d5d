/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A worker measures one peer, a piece at a time, as its caller asks; the caller lets the workers of all peers take
 * turns. One line in, one line of JSON out:
 *
 *   pair PATTERN SIZE MILLISECONDS      tight, fifo, burst, random, two, ring, eight
 *   tail SIZE SAMPLES calm|storm
 *   create SIZE CAPACITY
 *
 * The end of the input closes the pools, which checks them. A fault is printed as {"fault": ...} and ends the worker.
 */
#include "worker.h"

#include "../cpus.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define MAX_POOLS 4

static peer_pool pools[MAX_POOLS];
static int pool_count;
static size_t cpus[2];

#ifdef PEER_IS_SLABBY
slabby_options *peer_options;
_Atomic uint64_t peer_late;
#define LATE (unsigned long long)atomic_exchange(&peer_late, 0)
#else
#define LATE 0ull
#endif

_Noreturn void worker_fail(const char *what, const char *why) {
    printf("{\"fault\": \"%s: %s\"}\n", what, why);
    fflush(stdout);
    _exit(1);
}

int worker_cpus(void) {
    return cpus[0] == cpus[1] ? 1 : 2;
}

void worker_bind(int which) {
    cpus_bind(cpus[which == 1], cpus[which != 0]);
}

static peer_pool *pool_of(size_t size) {
    for (int i = 0; i < pool_count; i++)
        if (pools[i].size == size)
            return &pools[i];
    if (pool_count == MAX_POOLS)
        worker_fail("size", "too many sizes in one worker");
    const char *fault = peer_open(&pools[pool_count], size, WORKER_CAPACITY);
    if (fault != NULL)
        worker_fail("peer_open", fault);
    return &pools[pool_count++];
}

static void pair(const char *name, size_t size, double duration_ns) {
    struct result result;
    peer_pool *pool = pool_of(size);
    const struct pattern *pattern = pattern_named(name);
    if (pattern != NULL)
        result = measure_alone(pattern, pool, duration_ns);
    else if (strcmp(name, "two") == 0)
        result = measure_threads(pattern_named("tight"), pool, 2, true, duration_ns);
    else if (strcmp(name, "eight") == 0)
        result = measure_threads(pattern_named("tight"), pool, 8, false, duration_ns);
    else if (strcmp(name, "ring") == 0)
        result = measure_ring(pool, duration_ns);
    else
        worker_fail("pattern", "unknown");
    const char *fault = peer_quiet(pool, result.taken * PEER_UNITS);
    if (fault != NULL)
        worker_fail(name, fault);
    printf("{\"ns\": %.4f, \"pairs\": %llu, \"late\": %llu}\n", result.ns / PEER_UNITS,
           (unsigned long long)result.pairs * PEER_UNITS, LATE);
}

static double resident_bytes(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL || fscanf(file, "%*d %ld", &pages) != 1)
        worker_fail("/proc/self/statm", "cannot be read");
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void create(size_t size, uint32_t capacity) {
    peer_pool pool = {0};
    double before = resident_bytes();
    double started = clock_ns(CLOCK_MONOTONIC);
    const char *fault = peer_open(&pool, size, capacity);
    double spent_ns = clock_ns(CLOCK_MONOTONIC) - started;
    double resident = resident_bytes() - before;
    if (fault != NULL || (fault = peer_close(&pool)) != NULL)
        worker_fail("create", fault);
    printf("{\"ns\": %.0f, \"resident\": %.0f}\n", spent_ns, resident);
}

static void obey(const char *line) {
    char word[16], mode[16];
    size_t size;
    unsigned count;
    double milliseconds;
    if (sscanf(line, "pair %15s %zu %lf", word, &size, &milliseconds) == 3)
        pair(word, size, milliseconds * 1e6);
    else if (sscanf(line, "tail %zu %u %15s", &size, &count, mode) == 3)
        measure_tails(size, count, strcmp(mode, "storm") == 0);
    else if (sscanf(line, "create %zu %u", &size, &count) == 2)
        create(size, count);
    else
        worker_fail("command", "unknown");
    fflush(stdout);
}

static void *nothing(void *argument) {
    return argument;
}

/* A process that never had a second thread lets glibc skip its locks, and nobody uses a concurrent pool there. */
static void have_had_threads(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, nothing, NULL) != 0 || pthread_join(thread, NULL) != 0)
        worker_fail("pthread_create", "no more threads");
}

int main(int count, char **arguments) {
    char line[128], name[96];
    cpus_find(cpus);
    const char *fault = peer_start(count - 1, arguments + 1);
    if (fault != NULL)
        worker_fail("peer_start", fault);
    have_had_threads();
    if (peer_enter() != 0)
        worker_fail("peer_enter", "the main thread was refused");
    peer_name(name, sizeof name);
    printf("{\"library\": \"%s\", \"bounded\": %d, \"cpus\": %d}\n", name, PEER_BOUNDED, worker_cpus());
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL)
        obey(line);
    for (int i = 0; i < pool_count; i++)
        if ((fault = peer_close(&pools[i])) != NULL)
            worker_fail("peer_close", fault);
    printf("{\"closed\": %d}\n", pool_count);
    return 0;
}
