/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What reading metrics costs: the time of a scrape of 100 pools, and what 1,000 readings a second of one pool, on
 * another CPU, cost a tight pair. Pairs are counted by the CPU time of their thread, in windows with and without a
 * reader in turns, so that other load on the machine falls on both. Prints one JSON object.
 */
#define _GNU_SOURCE
#include "clock.h"
#include "cpus.h"

#include <slabby/slabby.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define POOLS 100
#define SCRAPES 101
#define WINDOWS 60
#define WINDOW_NS 20e6
#define PAIRS_AT_ONCE 10000
#define READ_PAUSE_NS 0.87e6 /* and a reading with its wake-up: a millisecond in all */
#define TEXT_BYTES (4u << 20)

static size_t cpus[2];
static char *text;
static slabby_allocator *pool_read;
static _Atomic int reading, ended;
static _Atomic uint64_t readings;

static void require(slabby_status status, const char *what) {
    if (status == SLABBY_OK)
        return;
    fprintf(stderr, "scrape: %s: %s\n", what, slabby_status_message(status));
    exit(2);
}

static slabby_allocator *create(void) {
    slabby_allocator *pool;
    require(slabby_create(&pool, 4096, 1000, NULL, NULL), "slabby_create");
    return pool;
}

static void pairs(slabby_allocator *pool, int count) {
    for (int i = 0; i < count; i++) {
        slabby_ref ref;
        void *data;
        require(slabby_allocate(&ref, &data, pool), "slabby_allocate");
        require(slabby_release(pool, ref), "slabby_release");
    }
}

static int by_value(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Sorts the values. */
static double quantile(double *values, int count, double part) {
    qsort(values, (size_t)count, sizeof *values, by_value);
    return values[(int)(part * (count - 1))];
}

/* ------------------------------------------------------------------------------------------------- scrapes */

static void measure_scrapes(void) {
    slabby_allocator *pools[POOLS];
    double times[SCRAPES];
    uint64_t length = 0;
    for (int i = 0; i < POOLS; i++) {
        pools[i] = create();
        pairs(pools[i], 10000);
    }
    for (int i = 0; i < SCRAPES; i++) {
        double started = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        require(slabby_metrics_text(text, TEXT_BYTES, &length, NULL), "slabby_metrics_text");
        times[i] = clock_ns(CLOCK_THREAD_CPUTIME_ID) - started;
    }
    double median = quantile(times, SCRAPES, 0.5);
    printf("{\"scrape_of_100_pools\": {\"bytes\": %" PRIu64 ", \"median_ms\": %.3f, \"p90_ms\": %.3f},\n",
           length, median / 1e6, quantile(times, SCRAPES, 0.9) / 1e6);
    for (int i = 0; i < POOLS; i++)
        require(slabby_destroy(pools[i]), "slabby_destroy");
}

/* ------------------------------------------------------------------------------------------------- readers */

static void *read_often(void *unused) {
    cpus_bind(cpus[1], cpus[1]);
    while (!atomic_load(&ended)) {
        if (atomic_load(&reading)) {
            require(slabby_metrics_text(text, TEXT_BYTES, NULL, pool_read), "slabby_metrics_text");
            atomic_fetch_add(&readings, 1);
        }
        clock_pause(READ_PAUSE_NS);
    }
    return unused;
}

/* CPU nanoseconds of a pair in a window. */
static double window(void) {
    double started = clock_ns(CLOCK_MONOTONIC), spent = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    uint64_t count = 0;
    while (clock_ns(CLOCK_MONOTONIC) - started < WINDOW_NS) {
        pairs(pool_read, PAIRS_AT_ONCE);
        count += PAIRS_AT_ONCE;
    }
    return (clock_ns(CLOCK_THREAD_CPUTIME_ID) - spent) / (double)count;
}

static void measure_readers(void) {
    double with[WINDOWS], ratio[WINDOWS], without[WINDOWS];
    pthread_t reader;
    pool_read = create();
    pairs(pool_read, PAIRS_AT_ONCE);
    if (pthread_create(&reader, NULL, read_often, NULL) != 0) {
        fputs("scrape: no thread\n", stderr);
        exit(2);
    }
    cpus_bind(cpus[0], cpus[0]);
    double read_ns = 0;
    for (int i = 0; i < WINDOWS; i++) {
        without[i] = window();
        double started = clock_ns(CLOCK_MONOTONIC);
        atomic_store(&reading, 1);
        with[i] = window();
        atomic_store(&reading, 0);
        read_ns += clock_ns(CLOCK_MONOTONIC) - started;
        ratio[i] = with[i] / without[i];
    }
    atomic_store(&ended, 1);
    pthread_join(reader, NULL);
    printf(" \"pair_beside_readers\": {\"readings_per_second\": %.0f, \"pair_ns\": %.2f, \"pair_ns_beside\": "
           "%.2f,\n"
           "  \"ratio_p25\": %.4f, \"ratio_median\": %.4f, \"ratio_p75\": %.4f}}\n",
           (double)atomic_load(&readings) / read_ns * 1e9, quantile(without, WINDOWS, 0.5),
           quantile(with, WINDOWS, 0.5), quantile(ratio, WINDOWS, 0.25), quantile(ratio, WINDOWS, 0.5),
           quantile(ratio, WINDOWS, 0.75));
    require(slabby_destroy(pool_read), "slabby_destroy");
}

int main(void) {
    text = malloc(TEXT_BYTES);
    if (text == NULL)
        return 2;
    cpus_find(cpus);
    measure_scrapes();
    measure_readers();
    free(text);
    return 0;
}
