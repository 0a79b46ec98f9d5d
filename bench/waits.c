/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What waiting costs: many tickets cancelled while another thread needs the pool's lock, and a timed wait that finds a
 * slab at once beside a plain allocate. Prints one JSON object.
 *
 *     waits [TICKETS]
 */
#define _GNU_SOURCE
#include "clock.h"
#include "cpus.h"

#include <slabby/slabby.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define ROUNDS 9
#define PAIRS 200000u
#define MOST_TICKETS 10000000u
#define MOST_WAITS 4000000u

static size_t cpus[2];
static double tick_ns;

static void require(slabby_status status, const char *what) {
    if (status == SLABBY_OK)
        return;
    fprintf(stderr, "waits: %s: %s\n", what, slabby_status_message(status));
    exit(2);
}

static int by_value(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* --------------------------------------------------------------------------------------------------- cancels */

/* Takes the pool's lock again and again, and notes how long each time took. */
static struct {
    slabby_allocator *pool;
    double *waits_us;
    size_t count;
    _Atomic bool ready, over;
} neighbour;

static void *need_the_lock(void *unused) {
    (void)unused;
    cpus_bind(cpus[0], cpus[0]);
    atomic_store(&neighbour.ready, true);
    while (!atomic_load_explicit(&neighbour.over, memory_order_relaxed) && neighbour.count < MOST_WAITS) {
        uint64_t begun = clock_ticks();
        require(slabby_retain(neighbour.pool), "slabby_retain");
        neighbour.waits_us[neighbour.count++] = (double)(clock_ticks() - begun) * tick_ns / 1e3;
        require(slabby_destroy(neighbour.pool), "slabby_destroy");
    }
    return NULL;
}

static void print_neighbour(void) {
    qsort(neighbour.waits_us, neighbour.count, sizeof *neighbour.waits_us, by_value);
    printf("\"neighbour\": {\"locks\": %zu, \"median_us\": %.3g, \"p999_us\": %.3g, \"longest_us\": %.4g}",
           neighbour.count, neighbour.waits_us[neighbour.count / 2],
           neighbour.waits_us[neighbour.count - 1 - neighbour.count / 1000],
           neighbour.waits_us[neighbour.count - 1]);
}

static void cancels(uint32_t count) {
    uint64_t *tickets = calloc(count, sizeof *tickets);
    slabby_listener *listener;
    slabby_ref held, ref;
    int32_t notifier;
    pthread_t thread;
    neighbour.waits_us = calloc(MOST_WAITS, sizeof *neighbour.waits_us);
    require(slabby_create(&neighbour.pool, 64, 1, NULL, NULL), "slabby_create");
    if (tickets == NULL || neighbour.waits_us == NULL)
        exit(2);
    require(slabby_allocate(&held, NULL, neighbour.pool), "slabby_allocate");
    require(slabby_listener_create(&listener, &notifier, neighbour.pool, NULL), "slabby_listener_create");
    double began = clock_ns(CLOCK_MONOTONIC);
    for (uint32_t i = 0; i < count; i++)
        require(slabby_wait_begin(&tickets[i], listener, 0), "slabby_wait_begin");
    double drawn = clock_ns(CLOCK_MONOTONIC);
    if (pthread_create(&thread, NULL, need_the_lock, NULL) != 0)
        exit(2);
    while (!atomic_load(&neighbour.ready))
        continue;
    double started = clock_ns(CLOCK_MONOTONIC);
    for (uint32_t i = count; i-- > 0;)
        require(slabby_wait_cancel(&ref, listener, tickets[i]), "slabby_wait_cancel");
    double ended = clock_ns(CLOCK_MONOTONIC);
    atomic_store(&neighbour.over, true);
    pthread_join(thread, NULL);
    printf("\"cancels\": {\"tickets\": %u, \"begin_s\": %.4f, \"cancel_s\": %.4f, ", count,
           (drawn - began) / 1e9, (ended - started) / 1e9);
    print_neighbour();
    printf("}");
    require(slabby_listener_destroy(listener), "slabby_listener_destroy");
    require(slabby_release(neighbour.pool, held), "slabby_release");
    require(slabby_destroy(neighbour.pool), "slabby_destroy");
    free(tickets);
    free(neighbour.waits_us);
}

/* -------------------------------------------------------------------------------------------------- free paths */

static double pair_ns(slabby_allocator *pool, uint64_t timeout_ns, bool timed) {
    double started = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    for (uint32_t i = 0; i < PAIRS; i++) {
        slabby_ref ref;
        void *data;
        require(timed ? slabby_allocate_timeout(&ref, &data, pool, timeout_ns)
                      : slabby_allocate(&ref, &data, pool),
                "an allocation");
        require(slabby_release(pool, ref), "slabby_release");
    }
    return (clock_ns(CLOCK_THREAD_CPUTIME_ID) - started) / PAIRS;
}

static void free_paths(void) {
    double plain[ROUNDS], timed[ROUNDS];
    slabby_allocator *pool;
    require(slabby_create(&pool, 4096, 1000, NULL, NULL), "slabby_create");
    for (int round = 0; round < ROUNDS; round++) {
        plain[round] = pair_ns(pool, 0, false);
        timed[round] = pair_ns(pool, 1000000000, true);
    }
    qsort(plain, ROUNDS, sizeof *plain, by_value);
    qsort(timed, ROUNDS, sizeof *timed, by_value);
    printf("\"pair_ns\": {\"plain\": %.3g, \"timed\": %.3g}", plain[ROUNDS / 2], timed[ROUNDS / 2]);
    require(slabby_destroy(pool), "slabby_destroy");
}

int main(int count, char **arguments) {
    long tickets = count > 1 ? atol(arguments[1]) : 100000;
    if (tickets < 1 || tickets > (long)MOST_TICKETS) {
        fprintf(stderr, "usage: waits [TICKETS], 1 to %u\n", MOST_TICKETS);
        return 2;
    }
    cpus_find(cpus);
    cpus_bind(cpus[1], cpus[1]);
    tick_ns = clock_tick_ns();
    printf("{");
    cancels((uint32_t)tickets);
    printf(", ");
    free_paths();
    printf("}\n");
    return 0;
}
