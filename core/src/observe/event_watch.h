/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The events of all pools of the process: a ring that holds each event a second time, with its pool, and descriptors
 * that become readable when an event comes. A cursor on the ring outlives the pools.
 *
 *   a thread that raises an event             a thread that watches
 *     writes it into the ring                   waits until the descriptor is readable
 *     pending: 0 -> 1, then signals             clears the descriptor, then pending: 1 -> 0
 *     pending: 1 -> 1, does not signal          reads the ring
 *
 * Both change `pending` by an exchange. A raiser that found 1 made its exchange before the watcher's exchange, so the
 * watcher sees what the raiser wrote before: the event. A raiser that comes after the watcher's exchange finds 0 and
 * signals a descriptor that is clear.
 */
#ifndef SLB_OBSERVE_EVENT_WATCH_H
#define SLB_OBSERVE_EVENT_WATCH_H

#include "observe/ring.h"
#include "pool.h"

#define SLB_WATCHERS 16u

/* Writes the event for all who watch, and wakes them. Async-signal-safe. */
SLB_PRIVATE void slb_watch_raise(struct slabby_allocator *pool, const slabby_event *event);

/* The cursor behind the newest event, and the event at a cursor. */
SLB_PRIVATE uint64_t slb_watch_next(void);
SLB_PRIVATE enum slb_ring_found slb_watch_read(uint64_t *cursor, uint64_t *lost, slabby_event *out);

/* A new descriptor; below 0: the errno of the system's refusal, negated, or -EBUSY where all are taken. */
SLB_PRIVATE int slb_watch_begin(void);

/* False where the descriptor is none of slb_watch_begin. */
SLB_PRIVATE bool slb_watch_clear(int descriptor);
SLB_PRIVATE bool slb_watch_end(int descriptor);

/* In a child of fork: the same numbers, apart from the parent's. */
SLB_PRIVATE void slb_watch_after_fork(void);

#endif
