/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * soak [--seconds N]: half an hour of use, at whose end a pool must be what it was at the beginning.
 *
 *   clerk      times each allocate and release of the pool, and of a list under a mutex, in turns
 *   churners   use the pool too; the list is the clerk's alone, because what a contended mutex costs jumps about
 *   background whole lives of other pools: everything that takes from the system and must give back
 *
 * Compared are the first and the last sixth of the time: the resident memory, and the clerk's 99.9th percentile as a
 * ratio to the list's. The ratio is taken within each few seconds, which cancels what the machine does meanwhile, and
 * the medians of both sixths are compared, which leaves out what it does now and then. At the end every slab is
 * accounted for.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "peers/lists.h"
#include "soak_background.h"
#include "support.h"

enum { SLAB_SIZE = 512, CAPACITY = 4096, CHURNERS = 2, HAND = 48, TURN = 512, BUCKETS = 64 * 32 };

enum side { SIDE_POOL, SIDE_LIST, SIDES };
enum window { WINDOW_FIRST, WINDOW_LAST, WINDOW_BETWEEN, WINDOWS };

/* Shorter runs show that the program works; their figures say nothing. */
#define JUDGED_FROM_S 600.0
#define RATIO_TOLERANCE 0.10
#define SLICE_S 5.0
#define GROWTH_TOLERANCE 0.01
#define GROWTH_PAGES 128.0 /* half a MiB: what libc keeps of a thread or two */

struct soak {
    slabby_allocator *pool;
    struct locked_list *list;
    double started_ns, total_ns;
    uint64_t times[WINDOWS][SIDES][BUCKETS];
    uint64_t slice[SIDES][BUCKETS]; /* since slice_ns */
    double slice_ns;
    double *ratios[WINDOWS]; /* of the slices, of 99.9th percentiles */
    uint32_t slices[WINDOWS], slices_limit;
    uint64_t allocations[WINDOWS], slow_ones[WINDOWS]; /* of the pool; past the CPU caches */
    double *resident;                                  /* pages, a sample a second */
    uint32_t samples, samples_limit;
    _Atomic bool over;
};

static double passed(const struct soak *soak) {
    return clock_ns(CLOCK_MONOTONIC) - soak->started_ns;
}

/* ------------------------------------------------------------------------------------------- percentiles */

/* 32 buckets for each doubling: within 2.2 %. */
static uint32_t bucket_of(uint64_t ticks) {
    uint32_t doubling;
    if (ticks < 32)
        return (uint32_t)ticks;
    doubling = 63u - (uint32_t)__builtin_clzll(ticks);
    return (doubling - 4) * 32 + (uint32_t)(ticks >> (doubling - 5) & 31);
}

static double middle_of(uint32_t bucket) {
    if (bucket < 32)
        return bucket;
    return (32.5 + bucket % 32) * (double)(UINT64_C(1) << (bucket / 32 - 1));
}

/* Between the values that occur: a clock of coarse steps would make the result jump by a whole one. */
static double percentile(const uint64_t *buckets, double share) {
    double all = 0, below = 0, value = 0;
    for (uint32_t i = 0; i < BUCKETS; i++)
        all += (double)buckets[i];
    for (uint32_t i = 0; i < BUCKETS; i++) {
        double count = (double)buckets[i];
        if (count > 0 && below + count >= share * all)
            return value + (middle_of(i) - value) * (share * all - below) / count;
        below += count;
        value = count > 0 ? middle_of(i) : value;
    }
    return value;
}

/* ---------------------------------------------------------------------------------------------- the clerk */

static enum window window_now(const struct soak *soak) {
    double part = passed(soak) * 6 / soak->total_ns;
    return part < 1 ? WINDOW_FIRST : part < 5 ? WINDOW_BETWEEN : WINDOW_LAST;
}

static void time_pool(struct soak *soak, uint64_t *buckets) {
    slabby_ref ref;
    void *data;
    for (int i = 0; i < TURN; i++) {
        uint64_t before = clock_ticks();
        CHECK_STATUS(slabby_allocate(&ref, &data, soak->pool), SLABBY_OK);
        uint64_t between = clock_ticks();
        CHECK_STATUS(slabby_release(soak->pool, ref), SLABBY_OK);
        uint64_t after = clock_ticks();
        buckets[bucket_of(between - before)]++;
        buckets[bucket_of(after - between)]++;
    }
}

static void time_list(struct soak *soak, uint64_t *buckets) {
    for (int i = 0; i < TURN; i++) {
        uint64_t before = clock_ticks();
        void *data = locked_list_take(soak->list);
        uint64_t between = clock_ticks();
        locked_list_give(soak->list, data);
        uint64_t after = clock_ticks();
        buckets[bucket_of(between - before)]++;
        buckets[bucket_of(after - between)]++;
    }
}

static void sample_resident(struct soak *soak) {
    long all, resident;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%ld %ld", &all, &resident) != 2) {
        fprintf(stderr, "the resident memory cannot be read from /proc/self/statm\n");
        exit(2);
    }
    fclose(file);
    if (soak->samples < soak->samples_limit)
        soak->resident[soak->samples++] = (double)resident;
}

/* Which tiers served the pool since the last slice. */
static void note_tiers(struct soak *soak, enum window window) {
    static uint64_t allocations, cached;
    slabby_stats stats = stats_of(soak->pool);
    soak->allocations[window] += stats.total_allocations - allocations;
    soak->slow_ones[window] += (stats.total_allocations - stats.pcpu_cache_hits) - (allocations - cached);
    allocations = stats.total_allocations;
    cached = stats.pcpu_cache_hits;
}

static void end_slice(struct soak *soak, enum window window) {
    for (int side = 0; side < SIDES; side++)
        for (int i = 0; i < BUCKETS; i++)
            soak->times[window][side][i] += soak->slice[side][i];
    if (soak->slices[window] < soak->slices_limit)
        soak->ratios[window][soak->slices[window]++] =
            percentile(soak->slice[SIDE_POOL], 0.999) / percentile(soak->slice[SIDE_LIST], 0.999);
    note_tiers(soak, window);
    memset(soak->slice, 0, sizeof soak->slice);
    soak->slice_ns = passed(soak);
}

static void keep_the_books(struct soak *soak) {
    enum window window = WINDOW_FIRST;
    while (passed(soak) < soak->total_ns) {
        if (window_now(soak) != window || passed(soak) - soak->slice_ns > SLICE_S * 1e9) {
            end_slice(soak, window);
            window = window_now(soak);
        }
        time_pool(soak, soak->slice[SIDE_POOL]);
        time_list(soak, soak->slice[SIDE_LIST]);
        if (passed(soak) >= (double)(soak->samples + 1) * 1e9)
            sample_resident(soak);
    }
    end_slice(soak, window);
}

/* ------------------------------------------------------------------------------------------- the churners */

static void churn_pool(struct soak *soak, uint64_t *seed) {
    slabby_ref refs[HAND];
    uint64_t count = 1 + random_next(seed) % HAND, released = 0;
    for (uint64_t i = 0; i < count; i++) {
        void *data;
        CHECK_STATUS(slabby_allocate(&refs[i], &data, soak->pool), SLABBY_OK);
        memset(data, (int)i, 64);
    }
    CHECK_STATUS(slabby_release_batch(&released, soak->pool, refs, count), SLABBY_OK);
}

/* Half of the time at rest: the clerk is to be contended with, not starved. */
static void *churn(void *argument) {
    struct soak *soak = argument;
    uint64_t seed = (uint64_t)(uintptr_t)&seed;
    while (!atomic_load_explicit(&soak->over, memory_order_relaxed)) {
        for (int i = 0; i < 40; i++)
            churn_pool(soak, &seed);
        clock_pause(1e5 + (double)(random_next(&seed) % 200000));
    }
    return NULL;
}

static void *do_background_work(void *argument) {
    struct soak *soak = argument;
    uint64_t lives = 0;
    while (!atomic_load_explicit(&soak->over, memory_order_relaxed)) {
        soak_live(lives++);
        clock_pause(2e7);
    }
    printf("%llu other pools lived and died\n", (unsigned long long)lives);
    return NULL;
}

/* ----------------------------------------------------------------------------------------------- judgement */

static int by_size(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median_resident(const struct soak *soak, uint32_t from, uint32_t to) {
    double sorted[64];
    uint32_t count = 0, step = (to - from) / 64 + 1;
    for (uint32_t i = from; i < to && count < 64; i += step)
        sorted[count++] = soak->resident[i];
    qsort(sorted, count, sizeof *sorted, by_size);
    return count == 0 ? 0 : sorted[count / 2];
}

/* The first sixth still fills caches and touches slabs for the first time: memory is compared from the second on. */
static bool memory_stayed(const struct soak *soak) {
    double before = median_resident(soak, soak->samples / 6, soak->samples / 3);
    double after = median_resident(soak, soak->samples - soak->samples / 6, soak->samples);
    double page = (double)sysconf(_SC_PAGESIZE) / 1048576;
    double allowed = before * GROWTH_TOLERANCE > GROWTH_PAGES ? before * GROWTH_TOLERANCE : GROWTH_PAGES;
    printf("resident memory: %.2f MiB in the second sixth, %.2f MiB in the last\n", before * page,
           after * page);
    return after <= before + allowed;
}

static double print_window(const struct soak *soak, enum window window, const char *name, double tick_ns) {
    double *ratios = soak->ratios[window];
    uint32_t slices = soak->slices[window];
    for (int side = 0; side < SIDES; side++) {
        const uint64_t *buckets = soak->times[window][side];
        printf("%s sixth, %s: p50 %.0f ns, p99 %.0f ns, p99.9 %.0f ns\n", name,
               side == SIDE_POOL ? "slabby" : "list  ", percentile(buckets, 0.5) * tick_ns,
               percentile(buckets, 0.99) * tick_ns, percentile(buckets, 0.999) * tick_ns);
    }
    qsort(ratios, slices, sizeof *ratios, by_size);
    printf("%s sixth, ratios of p99.9 in %u slices: 10th of a hundred %.2f, median %.2f, 90th %.2f; "
           "%.0f of a million allocations went past the CPU caches\n",
           name, slices, ratios[slices / 10], ratios[slices / 2], ratios[slices * 9 / 10],
           1e6 * (double)soak->slow_ones[window] / (double)(soak->allocations[window] | 1));
    return ratios[slices / 2];
}

static bool tails_stayed(const struct soak *soak, double tick_ns) {
    double first = print_window(soak, WINDOW_FIRST, "first", tick_ns);
    double last = print_window(soak, WINDOW_LAST, "last", tick_ns);
    printf("p99.9 as a ratio to the list's: %.3f, then %.3f (%+.1f %%)\n", first, last,
           (last / first - 1) * 100);
    return last <= first * (1 + RATIO_TOLERANCE);
}

static int judge(const struct soak *soak, double tick_ns) {
    bool memory = memory_stayed(soak), tails = tails_stayed(soak, tick_ns);
    if (soak->total_ns < JUDGED_FROM_S * 1e9) {
        printf("every slab is accounted for; figures are judged from %.0f seconds on\n", JUDGED_FROM_S);
        return 0;
    }
    if (!memory)
        printf("FAILED: the resident memory grew by more than %.0f %%\n", GROWTH_TOLERANCE * 100);
    if (!tails)
        printf("FAILED: the ratio rose by more than %.0f %%\n", RATIO_TOLERANCE * 100);
    if (memory && tails)
        printf("every slab is accounted for, memory and tails stayed as they were\n");
    return memory && tails ? 0 : 1;
}

/* ------------------------------------------------------------------------------------------------- the run */

static void run(struct soak *soak) {
    pthread_t churners[CHURNERS], background;
    soak->started_ns = clock_ns(CLOCK_MONOTONIC);
    for (int i = 0; i < CHURNERS; i++)
        assert_int_equal(pthread_create(&churners[i], NULL, churn, soak), 0);
    assert_int_equal(pthread_create(&background, NULL, do_background_work, soak), 0);
    keep_the_books(soak);
    atomic_store(&soak->over, true);
    for (int i = 0; i < CHURNERS; i++)
        pthread_join(churners[i], NULL);
    pthread_join(background, NULL);
}

static uint32_t read_seconds(int count, char **arguments) {
    char *end = NULL;
    unsigned long seconds = 1800;
    if (count == 3 && strcmp(arguments[1], "--seconds") == 0)
        seconds = strtoul(arguments[2], &end, 10);
    if ((count != 1 && (end == NULL || *end != '\0')) || seconds < 1 || seconds > 1000000) {
        fprintf(stderr, "usage: soak [--seconds N], N from 1 to 1000000\n");
        exit(2);
    }
    return (uint32_t)seconds;
}

int main(int count, char **arguments) {
    static struct soak soak;
    uint32_t seconds = read_seconds(count, arguments);
    double tick_ns = clock_tick_ns();
    soak.total_ns = seconds * 1e9;
    soak.samples_limit = seconds;
    soak.resident = calloc(seconds, sizeof *soak.resident);
    soak.slices_limit = seconds + WINDOWS;
    for (int i = 0; i < WINDOWS; i++)
        soak.ratios[i] = calloc(soak.slices_limit, sizeof *soak.ratios[i]);
    soak.list = locked_list_create(SLAB_SIZE, CAPACITY);
    soak.pool = make_pool(SLAB_SIZE, CAPACITY, NULL);
    if (soak.resident == NULL || soak.list == NULL || soak.ratios[WINDOW_FIRST] == NULL ||
        soak.ratios[WINDOW_LAST] == NULL || soak.ratios[WINDOW_BETWEEN] == NULL) {
        fprintf(stderr, "no memory for the list\n");
        return 2;
    }
    run(&soak);
    finish(soak.pool);
    assert_int_equal(locked_list_count(soak.list), CAPACITY);
    locked_list_destroy(soak.list);
    return judge(&soak, tick_ns);
}
