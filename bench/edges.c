/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Slabby where pools are at their limits: nearly full, full, drained, many. Prints one JSON object. */
#define _GNU_SOURCE
#include "clock.h"
#include "cpus.h"

#include <slabby/slabby.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLAB_SIZE 4096u
#define CAPACITY 10000u
#define REFUSALS 100000u
#define MANY_POOLS 4000u
#define MANY_CAPACITY 64u
#define MAX_ROUNDS 1001

static size_t cpus[2];
static slabby_ref refs[CAPACITY];
static double tick_ns;

static long pretended_cpus;

/* In place of the C library's, for the core as well. */
__attribute__((visibility("default"))) long sysconf(int name) {
    long (*next)(int) = (long (*)(int))(intptr_t)dlsym(RTLD_NEXT, "sysconf");
    if (pretended_cpus != 0 && (name == _SC_NPROCESSORS_CONF || name == _SC_NPROCESSORS_ONLN))
        return pretended_cpus;
    return next(name);
}

static void require(slabby_status status, const char *what) {
    if (status == SLABBY_OK)
        return;
    fprintf(stderr, "edges: %s: %s\n", what, slabby_status_message(status));
    exit(2);
}

static slabby_allocator *create(uint64_t capacity) {
    slabby_allocator *pool;
    slabby_error error = {.struct_size = sizeof error};
    if (slabby_create(&pool, SLAB_SIZE, capacity, NULL, &error) != SLABBY_OK) {
        fprintf(stderr, "edges: slabby_create: %s\n", error.text);
        exit(2);
    }
    return pool;
}

static void destroy_checked(slabby_allocator *pool) {
    uint64_t findings = 0;
    require(slabby_verify(NULL, &findings, pool, 0), "slabby_verify");
    if (findings != 0) {
        fputs("edges: slabby_verify found something\n", stderr);
        exit(2);
    }
    require(slabby_destroy(pool), "slabby_destroy");
}

static int by_value(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void print_spread(const char *name, double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, by_value);
    printf("\"%s\": {\"p10\": %.4g, \"median\": %.4g, \"p90\": %.4g}", name, values[count / 10],
           values[count / 2], values[count - 1 - count / 10]);
}

static void fill(slabby_allocator *pool, uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to; i++)
        require(slabby_allocate(&refs[i], NULL, pool), "slabby_allocate");
}

static void empty(slabby_allocator *pool, uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to; i++)
        require(slabby_release(pool, refs[i]), "slabby_release");
}

/* --------------------------------------------------------------------------------------- a neighbour */

enum { NEIGHBOUR_SPINS, NEIGHBOUR_ALLOCATES };

static struct {
    pthread_t thread;
    slabby_allocator *pool;
    int kind;
    _Atomic bool ready, over;
} neighbour;

/* Holds the other CPU. When the pool is empty it goes on trying. */
static void *be_neighbour(void *unused) {
    (void)unused;
    cpus_bind(cpus[0], cpus[0]);
    atomic_store(&neighbour.ready, true);
    while (!atomic_load_explicit(&neighbour.over, memory_order_relaxed)) {
        slabby_ref ref;
        if (neighbour.kind == NEIGHBOUR_ALLOCATES && slabby_allocate(&ref, NULL, neighbour.pool) == SLABBY_OK)
            require(slabby_release(neighbour.pool, ref), "slabby_release");
    }
    return NULL;
}

static void neighbour_start(slabby_allocator *pool, int kind) {
    neighbour.pool = pool;
    neighbour.kind = kind;
    atomic_store(&neighbour.ready, false);
    atomic_store(&neighbour.over, false);
    if (pthread_create(&neighbour.thread, NULL, be_neighbour, NULL) != 0) {
        fputs("edges: pthread_create failed\n", stderr);
        exit(2);
    }
    while (!atomic_load(&neighbour.ready))
        sched_yield();
}

static void neighbour_stop(void) {
    atomic_store(&neighbour.over, true);
    pthread_join(neighbour.thread, NULL);
}

/* ------------------------------------------------------------------------------------------- the edges */

/* Function-call interrupts, by which membarrier reaches other CPUs, that the neighbour's CPU has received; below 0
 * where the system does not tell. */
static double interrupts_of_neighbour(void) {
    char line[4096];
    double count = -1;
    FILE *file = fopen("/proc/interrupts", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        char *cursor = strstr(line, "CAL:");
        if (cursor == NULL)
            continue;
        cursor += 4;
        for (size_t column = 0; column <= cpus[0]; column++)
            count = strtod(cursor, &cursor);
    }
    if (file != NULL)
        fclose(file);
    return count;
}

static void full(void) {
    static double costs[REFUSALS];
    slabby_allocator *pool = create(CAPACITY);
    fill(pool, 0, CAPACITY);
    neighbour_start(pool, NEIGHBOUR_SPINS);
    slabby_ref ref;
    uint64_t begun = clock_ticks();
    bool refused = slabby_allocate(&ref, NULL, pool) == SLABBY_OUT_OF_MEMORY;
    double first_ns = (double)(clock_ticks() - begun) * tick_ns;
    double before = interrupts_of_neighbour();
    for (uint32_t i = 0; i < REFUSALS; i++) {
        begun = clock_ticks();
        refused &= slabby_allocate(&ref, NULL, pool) == SLABBY_OUT_OF_MEMORY;
        costs[i] = (double)(clock_ticks() - begun) * tick_ns;
    }
    double interrupts = interrupts_of_neighbour() - before;
    neighbour_stop();
    if (!refused) {
        fputs("edges: a full pool did not answer OutOfMemory\n", stderr);
        exit(2);
    }
    printf("\"full\": {\"refusals\": %u, \"first_ns\": %.0f, \"interrupts\": %.0f, ", REFUSALS, first_ns,
           before < 0 ? -1.0 : interrupts);
    print_spread("ns", costs, REFUSALS);
    printf("}");
    empty(pool, 0, CAPACITY);
    destroy_checked(pool);
}

static double tight_ns(slabby_allocator *pool) {
    const uint32_t pairs = 100000;
    double started = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    for (uint32_t i = 0; i < pairs; i++) {
        slabby_ref ref;
        void *data;
        require(slabby_allocate(&ref, &data, pool), "slabby_allocate");
        *(volatile char *)data = 1;
        require(slabby_release(pool, ref), "slabby_release");
    }
    return (clock_ns(CLOCK_THREAD_CPUTIME_ID) - started) / pairs;
}

/* Throughput with 99 of 100 slabs held, as a share of the empty pool's: reached from below, and back from full. */
static void nearly_full(int rounds) {
    static double below[MAX_ROUNDS], back[MAX_ROUNDS];
    const uint32_t held = CAPACITY / 100 * 99;
    slabby_allocator *pool = create(CAPACITY);
    for (int i = 0; i < rounds; i++) {
        slabby_ref ref;
        tight_ns(pool);
        double normal = tight_ns(pool);
        fill(pool, 0, held);
        below[i] = normal / tight_ns(pool);
        fill(pool, held, CAPACITY);
        if (slabby_allocate(&ref, NULL, pool) != SLABBY_OUT_OF_MEMORY)
            require(SLABBY_OUT_OF_MEMORY, "the full pool");
        empty(pool, held, CAPACITY);
        back[i] = normal / tight_ns(pool);
        empty(pool, 0, held);
    }
    printf("\"nearly_full\": {");
    print_spread("from_below", below, rounds);
    printf(", ");
    print_spread("back_from_full", back, rounds);
    printf("}");
    destroy_checked(pool);
}

/* The slowest allocation of each exhaustion: the one that locks and empties the CPU caches. */
static void drain(const char *name, int rounds, bool busy) {
    static double slowest[MAX_ROUNDS];
    slabby_allocator *pool = create(CAPACITY);
    if (busy)
        neighbour_start(pool, NEIGHBOUR_ALLOCATES);
    for (int round = 0; round < rounds; round++) {
        uint32_t count = 0;
        uint64_t longest = 0;
        slabby_status status;
        do {
            uint64_t begun = clock_ticks();
            status = slabby_allocate(&refs[count], NULL, pool);
            uint64_t spent = clock_ticks() - begun;
            longest = spent > longest ? spent : longest;
            count += status == SLABBY_OK;
        } while (status == SLABBY_OK && count < CAPACITY);
        slowest[round] = (double)longest * tick_ns / 1e3;
        empty(pool, 0, count);
        clock_pause(100e3);
    }
    if (busy)
        neighbour_stop();
    print_spread(name, slowest, rounds);
    destroy_checked(pool);
}

static double resident_bytes(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL || fscanf(file, "%*d %ld", &pages) != 1) {
        fputs("edges: /proc/self/statm cannot be read\n", stderr);
        exit(2);
    }
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void many_pools(void) {
    static slabby_allocator *pools[MANY_POOLS];
    double before = resident_bytes();
    double started = clock_ns(CLOCK_MONOTONIC);
    for (uint32_t i = 0; i < MANY_POOLS; i++)
        pools[i] = create(MANY_CAPACITY);
    double created_ns = clock_ns(CLOCK_MONOTONIC) - started;
    double created_bytes = resident_bytes() - before;
    for (uint32_t i = 0; i < MANY_POOLS; i++) {
        slabby_ref ref;
        require(slabby_allocate(&ref, NULL, pools[i]), "slabby_allocate");
        require(slabby_release(pools[i], ref), "slabby_release");
    }
    double used_bytes = resident_bytes() - before;
    started = clock_ns(CLOCK_MONOTONIC);
    for (uint32_t i = 0; i < MANY_POOLS; i++)
        require(slabby_destroy(pools[i]), "slabby_destroy");
    double destroyed_ns = clock_ns(CLOCK_MONOTONIC) - started;
    printf("\"many_pools\": {\"pools\": %u, \"capacity\": %u, \"create_us\": %.1f, \"destroy_us\": %.1f, "
           "\"resident\": %.0f, \"resident_once_used\": %.0f}",
           MANY_POOLS, MANY_CAPACITY, created_ns / MANY_POOLS / 1e3, destroyed_ns / MANY_POOLS / 1e3,
           created_bytes / MANY_POOLS, used_bytes / MANY_POOLS);
}

static void bookkeeping(void) {
    slabby_memory memory = {.struct_size = sizeof memory};
    slabby_allocator *pool = create(100000);
    require(slabby_get_memory(&memory, pool), "slabby_get_memory");
    require(slabby_destroy(pool), "slabby_destroy");
    printf("\"bookkeeping\": {\"slabs\": 100000, \"bytes\": %llu, \"words\": %llu, \"lists\": %llu, "
           "\"caches\": %llu, \"stride\": %llu}",
           (unsigned long long)(memory.word_bytes + memory.list_bytes + memory.cache_bytes),
           (unsigned long long)memory.word_bytes, (unsigned long long)memory.list_bytes,
           (unsigned long long)memory.cache_bytes, (unsigned long long)memory.stride);
}

/* A machine with many CPUs of which few are used: what a pool of 500 and its refusals cost. */
enum { FEW_SLABS = 500, BURST = 400, CALLS = 20000 };

struct costs {
    double pair_ns[MAX_ROUNDS], burst_ns[MAX_ROUNDS], refusal_ns[MAX_ROUNDS];
};

static double burst_ns(slabby_allocator *pool) {
    double started = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    for (uint32_t burst = 0; burst < CALLS / BURST; burst++) {
        fill(pool, 0, BURST);
        empty(pool, 0, BURST);
    }
    return (clock_ns(CLOCK_THREAD_CPUTIME_ID) - started) / CALLS;
}

static double refusal_ns(slabby_allocator *pool) {
    slabby_ref ref;
    uint32_t refused = 0;
    fill(pool, 0, FEW_SLABS);
    double started = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    for (uint32_t call = 0; call < CALLS; call++)
        refused += slabby_allocate(&ref, NULL, pool) == SLABBY_OUT_OF_MEMORY;
    double spent = clock_ns(CLOCK_THREAD_CPUTIME_ID) - started;
    if (refused != CALLS) {
        fprintf(stderr, "edges: %u of %d allocations of a full pool were refused\n", refused, CALLS);
        exit(2);
    }
    empty(pool, 0, FEW_SLABS);
    return spent / CALLS;
}

static void measure_configured(long configured, struct costs *costs, int round) {
    slabby_allocator *pool;
    pretended_cpus = configured;
    require(slabby_create(&pool, 64, FEW_SLABS, NULL, NULL), "slabby_create");
    pretended_cpus = 0;
    costs->pair_ns[round] = tight_ns(pool);
    costs->burst_ns[round] = burst_ns(pool);
    costs->refusal_ns[round] = refusal_ns(pool);
    destroy_checked(pool);
}

static void configured_cpus(int rounds) {
    static const long counts[] = {2, 64, 256, 1024};
    enum { COUNTS = sizeof counts / sizeof *counts };
    static struct costs costs[COUNTS];
    for (int round = 0; round < rounds; round++)
        for (size_t i = 0; i < COUNTS; i++)
            measure_configured(counts[i], &costs[i], round);
    printf("\"configured_cpus\": {");
    for (size_t i = 0; i < COUNTS; i++) {
        printf("%s\"%ld\": {", i == 0 ? "" : ", ", counts[i]);
        print_spread("pair_ns", costs[i].pair_ns, rounds);
        printf(", ");
        print_spread("burst_ns", costs[i].burst_ns, rounds);
        printf(", ");
        print_spread("refusal_ns", costs[i].refusal_ns, rounds);
        printf("}");
    }
    printf("}");
}

int main(int count, char **arguments) {
    int rounds = count > 1 ? atoi(arguments[1]) : 21;
    if (rounds < 3 || rounds > MAX_ROUNDS) {
        fprintf(stderr, "usage: edges [ROUNDS], 3 to %d\n", MAX_ROUNDS);
        return 2;
    }
    cpus_find(cpus);
    cpus_bind(cpus[1], cpus[1]);
    tick_ns = clock_tick_ns();
    printf("{");
    full();
    printf(", ");
    nearly_full(rounds);
    printf(", \"drain_us\": {");
    drain("idle", rounds, false);
    printf(", ");
    drain("busy", rounds, true);
    printf("}, ");
    many_pools();
    printf(", ");
    bookkeeping();
    printf(", ");
    configured_cpus(rounds);
    printf("}\n");
    return 0;
}
