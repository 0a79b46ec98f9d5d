/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Everything that disturbs a pool at once, in rounds of random plans.
 *
 *   workers      allocate, release, pin, defer, pass slabs on, wait, and move from CPU to CPU; threads end with slabs
 *                in hand, and the next one in their place inherits them
 *   handlers     interrupt the workers by timers and use the same pool (law 10)
 *   disturbance  one thread that drains, trims, verifies, reads, switches options and resets
 *
 * At the end of a round every slab is accounted for: counters equal to what the threads counted, verify clean, and
 * every slab allocatable.
 *
 * The demand of a round is by credit, by greed or with resets. By credit, each slab is asked for with a credit of which
 * there are as many as slabs, so that any refusal is a lie (law 1). By greed, threads take until the pool is empty.
 * With resets, references turn stale in their owners' hands.
 */
#ifndef SLABBY_ROUND_H
#define SLABBY_ROUND_H

#include "support.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    ROUND_WORKERS = 6,
    ROUND_HAND = 12,    /* slabs that one worker keeps at most */
    ROUND_MAILBOX = 16, /* slabs on their way from one worker to another */
    ROUND_BATCH = 8
};

enum round_demand { ROUND_CREDIT, ROUND_GREED, ROUND_RESETS, ROUND_DEMANDS };

struct round_plan {
    uint64_t seed;
    enum round_demand demand;
    int64_t cache; /* per_cpu_cache */
    int64_t backend;
    uint64_t capacity;
    uint64_t slab_size;
    int64_t secure, bit_guard, reuse_delay, tracking;
    int signals, disturbed;
    uint64_t duration_ns;
};

/* What happened, as the threads themselves counted it. */
struct round_counts {
    _Atomic uint64_t allocated, fast, released, refused, stale;
    _Atomic uint64_t handled, handler_served;
    _Atomic uint64_t deaths, moves, drains, resets;
};

/* One worker's place: its slabs outlive the threads that hold them. */
struct round_entry {
    struct round *round;
    pthread_t keeper; /* makes one thread after the other */
    slabby_ref hand[ROUND_HAND];
    uint64_t random;
};

struct round {
    struct round_plan plan;
    slabby_allocator *pool;
    _Atomic int64_t credits;
    atomic_int over;
    struct round_counts counts;
    _Atomic uint64_t mailbox[ROUND_MAILBOX]; /* live references */
    _Atomic uint64_t dying[ROUND_MAILBOX];   /* references whose release waits for one unpin */
    struct round_entry entries[ROUND_WORKERS];
    char trouble[256]; /* the first */
    atomic_int troubles;
};

/* worker.c */
void *round_keep_entry(void *entry);
void round_hand_in(struct round *round);
/* By greed nobody needs credits. */
int round_take_credits(struct round *round, int64_t count);
void round_give_credits(struct round *round, int64_t count);

/* disturbance.c */
void *round_make_disturbance(void *round);
void round_catch_signals(struct round *round);
int round_start_timer(struct round *round, uint64_t random);
void round_stop_timer(struct round *round);
void round_disturb(int enabled);

/* Notes what went wrong; the first is kept, and the round ends. */
void round_complain(struct round *round, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
