/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A release that comes when somebody waits for the slab, no sooner and no later. */
#ifndef SLABBY_TEST_WAITING_H
#define SLABBY_TEST_WAITING_H

#include "checks.h"

#include <pthread.h>

/* Until so many threads and tickets wait in the pool's queue. */
void until_waiting(slabby_allocator *pool, uint64_t count);

struct awaited_release {
    slabby_allocator *pool;
    slabby_ref ref;
    pthread_t thread;
    slabby_status status;
};

/* A thread that releases ref as soon as somebody waits. */
void begin_awaited_release(struct awaited_release *release, slabby_allocator *pool, slabby_ref ref);

/* Joins it, and insists that the release succeeded. */
void end_awaited_release(struct awaited_release *release);

#endif
