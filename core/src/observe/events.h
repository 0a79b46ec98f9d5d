/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Events: what an operator needs to know. Each event goes into a ring of the pool, which cursors read, and to the
 * pool's logger, on the thread that caused it.
 *
 * If the cause is inside the pool (slb_in_flight(): a lock may be held), the event is written to the
 * ring at once. The logger is called when the thread has left the pool, by slb_events_deliver in the function that
 * called slb_events_mark before it entered. At most slb_event_limit() events per code and second are reported; the
 * next one says how many were suppressed.
 */
#ifndef SLB_OBSERVE_EVENTS_H
#define SLB_OBSERVE_EVENTS_H

#include "observe/event_state.h"
#include "observe/ring.h"
#include "pool.h"

/* An event on its way to the logger, for causes that cannot touch the pool any more when they call it. */
struct slb_notification {
    slabby_log_function function; /* null: no logger */
    void *context;
    slabby_event event;
};

/* No event yet. The rest has 300 bytes, which slb_event_prepare fills on demand. */
SLB_INLINE void slb_notification_none(struct slb_notification *out) {
    out->function = NULL;
}

/* How texts call a pool: its name, or "pool17", as slabby_explain and its label do, if it has none. */
struct slb_shown_name {
    char text[SLB_NAME_BYTES];
};
SLB_PRIVATE SLB_COLD struct slb_shown_name slb_shown_name(const struct slabby_allocator *pool);

/* level, code: of codes.h. ref, value: 0 where they say nothing. The text names the pool by itself; it is cut at 191
 * bytes. Cold; safe anywhere, a signal handler included as far as the logger is. */
SLB_PRIVATE SLB_COLD void slb_event(struct slabby_allocator *pool, int32_t level, int32_t code,
                                    slabby_ref ref, int64_t value, const char *format, ...) SLB_PRINTF(6, 7);

/* The same in two steps: into the ring now, to the logger with slb_event_notify, which does not touch the pool. */
SLB_PRIVATE SLB_COLD void slb_event_prepare(struct slb_notification *out, struct slabby_allocator *pool,
                                            int32_t level, int32_t code, slabby_ref ref, int64_t value,
                                            const char *format, ...) SLB_PRINTF(7, 8);
SLB_PRIVATE void slb_event_notify(const struct slb_notification *notification);

/* Enclose work under the pool's lock: slb_events_deliver calls the logger with the events that this thread raised
 * between, and with earlier ones that no logger has heard of. */
SLB_PRIVATE uint64_t slb_events_mark(struct slabby_allocator *pool);
SLB_PRIVATE void slb_events_deliver(struct slabby_allocator *pool, uint64_t mark);

/* The event at the cursor; out_deferred: whether its logger call still waits. */
SLB_PRIVATE enum slb_ring_found slb_event_read(struct slabby_allocator *pool, uint64_t *cursor,
                                               uint64_t *lost, slabby_event *out, uint64_t *out_deferred);

/* Reports an allocation that found every slab in use: it was refused or waits, or the heap serves it. */
SLB_PRIVATE SLB_COLD void slb_event_exhausted(struct slabby_allocator *pool, bool refused);

/* Reports that the pool accepts no more allocations, with `live` slabs still out. */
SLB_PRIVATE void slb_event_closed(struct slb_notification *out, struct slabby_allocator *pool, uint64_t live);

#endif
