/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The storm: everything that disturbs a pool at once, in rounds of random plans.
 *
 *   workers    allocate, release, pin, defer, pass slabs on, wait, and move from CPU to CPU; threads die with slabs in
 *              hand, and the next one in their place inherits them
 *   handlers   interrupt the workers by timers and use the same pool
 *   weather    one thread that drains, trims, verifies, reads, switches options and resets
 *
 * At the end of a round every slab is accounted for: counters equal to what the threads counted, verify clean, and
 * every slab allocatable.
 *
 * The demand of a round is by credit, by greed or with resets. By credit, each slab is asked for with a credit of which
 * there are as many as slabs, so that any refusal is a lie (law 1). By greed, threads take until the pool is empty.
 * With resets, references turn stale in their owners' hands.
 */
#ifndef SLABBY_STORM_H
#define SLABBY_STORM_H

#include "workout.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    STORM_WORKERS = 6,
    STORM_HAND = 12,    /* slabs that one worker keeps at most */
    STORM_MAILBOX = 16, /* slabs on their way from one worker to another */
    STORM_BATCH = 8
};

enum storm_demand { STORM_CREDIT, STORM_GREED, STORM_RESETS, STORM_DEMANDS };

struct storm_plan {
    uint64_t seed;
    enum storm_demand demand;
    int64_t cache; /* per_cpu_cache */
    int64_t backend;
    uint64_t capacity;
    uint64_t slab_size;
    int64_t secure, bit_guard, reuse_delay, tracking;
    int signals, disturbed;
    uint64_t duration_ns;
};

/* What happened, as the threads themselves counted it. */
struct storm_counts {
    _Atomic uint64_t allocated, fast, released, refused, stale;
    _Atomic uint64_t handled, handler_served;
    _Atomic uint64_t deaths, moves, drains, resets;
};

/* One worker's place: its slabs outlive the threads that hold them. */
struct storm_entry {
    struct storm *storm;
    pthread_t keeper; /* makes one thread after the other */
    slabby_ref hand[STORM_HAND];
    uint64_t random;
};

struct storm {
    struct storm_plan plan;
    slabby_allocator *pool;
    _Atomic int64_t credits;
    atomic_int over;
    struct storm_counts counts;
    _Atomic uint64_t mailbox[STORM_MAILBOX]; /* live references */
    _Atomic uint64_t dying[STORM_MAILBOX];   /* references whose release waits for one unpin */
    struct storm_entry entries[STORM_WORKERS];
    char trouble[256]; /* the first */
    atomic_int troubles;
};

/* storm_worker.c */
void *storm_keep_entry(void *entry);
void storm_hand_in(struct storm *storm);
int storm_take_credits(struct storm *storm, int64_t count);
void storm_give_credits(struct storm *storm, int64_t count);

/* storm_disturbance.c */
void *storm_make_disturbance(void *storm);
void storm_catch_signals(struct storm *storm);
int storm_start_timer(struct storm *storm, uint64_t random);
void storm_stop_timer(struct storm *storm);
void storm_disturb(int enabled);
uint64_t storm_now_ns(void);

/* Notes what went wrong; the first is kept, and the round ends. */
void storm_complain(struct storm *storm, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
