/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "workout.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IN_HAND = 16, MOST_THREADS = 16 };

_Noreturn void skip_all(const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    fputs("skipped: ", stdout);
    vprintf(format, arguments);
    fputc('\n', stdout);
    va_end(arguments);
    fflush(stdout);
    exit(TRAP_SKIPPED);
}

int64_t backend_of(slabby_allocator *pool) {
    int64_t backend = -1;

    CHECK_STATUS(slabby_get_option(&backend, pool, SLABBY_OPTION_CPU_CACHE_BACKEND), SLABBY_OK);
    return backend;
}

const char *backend_name(int64_t backend) {
    switch (backend) {
    case SLABBY_CPU_CACHE_BACKEND_RSEQ:
        return "rseq";
    case SLABBY_CPU_CACHE_BACKEND_PORTABLE:
        return "portable";
    default:
        return "auto";
    }
}

int backend_is_here(int64_t backend) {
    slabby_allocator *pool = NULL;

    if (try_pool(&pool, 64, 64, WITH({SLABBY_OPTION_CPU_CACHE_BACKEND, backend}), NULL) != SLABBY_OK)
        return 0;
    CHECK_STATUS(slabby_destroy(pool), SLABBY_OK);
    return 1;
}

int run_on(unsigned cpu) {
    cpu_set_t only;

    CPU_ZERO(&only);
    CPU_SET(cpu, &only);
    return sched_setaffinity(0, sizeof only, &only) == 0;
}

struct hand {
    slabby_allocator *pool;
    pthread_t thread;
    uint64_t turns;
    uint64_t allocations;
    const char *trouble;
    slabby_status status;
};

static int give_back(struct hand *hand, slabby_ref ref, const slabby_ref *stamp) {
    if (*stamp != ref) {
        hand->trouble = "a slab in two hands";
        return 0;
    }
    hand->status = slabby_release(hand->pool, ref);
    if (hand->status != SLABBY_OK)
        hand->trouble = "release";
    return hand->status == SLABBY_OK;
}

static void *work(void *argument) {
    struct hand *hand = argument;
    slabby_ref refs[IN_HAND] = {0};
    slabby_ref *stamps[IN_HAND] = {0};

    for (uint64_t turn = 0; turn < hand->turns + IN_HAND; turn++) {
        unsigned at = turn % IN_HAND;

        if (refs[at] && !give_back(hand, refs[at], stamps[at]))
            return NULL;
        refs[at] = 0;
        if (turn >= hand->turns)
            continue;
        hand->status = slabby_allocate(&refs[at], (void **)&stamps[at], hand->pool);
        if (hand->status != SLABBY_OK) {
            hand->trouble = "allocate";
            return NULL;
        }
        *stamps[at] = refs[at];
        hand->allocations++;
    }
    return NULL;
}

uint64_t work_out(slabby_allocator *pool, unsigned threads, uint64_t turns) {
    struct hand hands[MOST_THREADS];
    uint64_t allocations = 0;

    assert_true(threads <= MOST_THREADS);
    memset(hands, 0, sizeof hands);
    for (unsigned i = 0; i < threads; i++) {
        hands[i].pool = pool;
        hands[i].turns = turns;
        assert_int_equal(pthread_create(&hands[i].thread, NULL, work, &hands[i]), 0);
    }
    for (unsigned i = 0; i < threads; i++)
        assert_int_equal(pthread_join(hands[i].thread, NULL), 0);
    for (unsigned i = 0; i < threads; i++) {
        if (hands[i].trouble)
            print_error("thread %u: %s: %s\n", i, hands[i].trouble, slabby_status_name(hands[i].status));
        assert_null(hands[i].trouble);
        allocations += hands[i].allocations;
    }
    return allocations;
}
