/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a pool of 100,000 slabs of 4 KiB costs before its first allocation: time to create, resident memory,
 * bookkeeping. The targets are those of the README; the exit status is 1 when one is missed. */
#define _GNU_SOURCE
#include <slabby/slabby.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define SLAB_SIZE 4096u
#define CAPACITY 100000u
#define ROUNDS 201

#define TARGET_CREATE_NS 1e6
#define TARGET_RESIDENT_BYTES 1048576.0
#define TARGET_BYTES_PER_SLAB 24.0

static void require(slabby_status status, const char *call, const slabby_error *error) {
    if (status == SLABBY_OK)
        return;
    const char *text = error != NULL ? error->text : slabby_status_message(status);
    fprintf(stderr, "footprint: %s: %s\n", call, text);
    exit(2);
}

static double now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static slabby_allocator *create(void) {
    slabby_allocator *pool;
    slabby_error error = {.struct_size = sizeof error};
    require(slabby_create(&pool, SLAB_SIZE, CAPACITY, NULL, &error), "slabby_create", &error);
    return pool;
}

/* Resident bytes of this process: exact from smaps_rollup, else from statm, which may lag by some pages. */
static double resident_bytes(void) {
    char line[256];
    long kibibytes = -1;
    FILE *file = fopen("/proc/self/smaps_rollup", "re");
    while (file != NULL && kibibytes < 0 && fgets(line, sizeof line, file) != NULL)
        sscanf(line, "Rss: %ld kB", &kibibytes);
    if (file != NULL)
        fclose(file);
    if (kibibytes >= 0)
        return (double)kibibytes * 1024;

    long pages = -1;
    file = fopen("/proc/self/statm", "re");
    if (file == NULL || fscanf(file, "%*d %ld", &pages) != 1) {
        fputs("footprint: neither /proc/self/smaps_rollup nor statm can be read\n", stderr);
        exit(2);
    }
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static int by_value(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static bool report(const char *what, double value, const char *unit, double target) {
    bool holds = value <= target;
    printf("%-44s %12.1f %-6s at most %7.0f  %s\n", what, value, unit, target, holds ? "holds" : "MISSED");
    return holds;
}

int main(void) {
    double times[ROUNDS];
    resident_bytes(); /* once in vain: its own buffers shall not count */
    double before = resident_bytes();
    double started = now_ns();
    slabby_allocator *pool = create();
    double first = now_ns() - started;
    double resident = resident_bytes() - before;

    slabby_memory memory = {.struct_size = sizeof memory};
    require(slabby_get_memory(&memory, pool), "slabby_get_memory", NULL);
    require(slabby_destroy(pool), "slabby_destroy", NULL);

    for (int i = 0; i < ROUNDS; i++) {
        started = now_ns();
        pool = create();
        times[i] = now_ns() - started;
        require(slabby_destroy(pool), "slabby_destroy", NULL);
    }
    qsort(times, ROUNDS, sizeof times[0], by_value);

    double bookkeeping = (double)(memory.word_bytes + memory.list_bytes + memory.cache_bytes);
    printf("a pool of %u slabs of %u bytes, slabby %s\n", CAPACITY, SLAB_SIZE, slabby_version());
    bool holds = report("created, median of 201", times[ROUNDS / 2] / 1e3, "us", TARGET_CREATE_NS / 1e3);
    printf("%-44s %12.1f us     (5th and 95th of 100: %.1f, %.1f)\n", "created, the first of this process",
           first / 1e3, times[ROUNDS / 20] / 1e3, times[ROUNDS - 1 - ROUNDS / 20] / 1e3);
    holds &= report("resident after creation", resident / 1024, "KiB", TARGET_RESIDENT_BYTES / 1024);
    holds &= report("bookkeeping a slab", bookkeeping / CAPACITY, "bytes", TARGET_BYTES_PER_SLAB);
    printf("    of it words %.2f, shards and depot %.2f, CPU caches and counters %.2f\n",
           (double)memory.word_bytes / CAPACITY, (double)memory.list_bytes / CAPACITY,
           (double)memory.cache_bytes / CAPACITY);
    printf("    address space: slabs %" PRIu64 " MiB at a stride of %" PRIu64 ", labels %" PRIu64
           ", heap table %" PRIu64 " bytes\n",
           memory.reserved_bytes >> 20, memory.stride, memory.label_bytes, memory.heap_table_bytes);
    return holds ? 0 : 1;
}
