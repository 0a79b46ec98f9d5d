/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The tickets of one listener, each found by its number in constant time.
 *
 *   ticket   | 0 (12 bits) | generation (28 bits) | slot (24 bits) |      never 0; each ticket raises its slot's
 *                                                                         generation. A slot whose generation is spent
 *                                                                         is used no more
 *
 * The upper 12 bits are where a reference has its pool's tag, which is never 0: neither number passes for the other.
 *
 *   chunks   [0]: slots 0 .. 15   [1]: 16 .. 47   [2]: 48 .. 111   ...     each twice as long as the one before
 *
 * A chunk is allocated when every slot before it is in use, and stays until the listener ends: a slot never moves, so
 * the pool's queue and the listener's lists link the slots themselves. All of it is guarded by the gate lock of the
 * listener's pool; chunks are allocated outside it.
 */
#ifndef SLB_RESILIENCE_TICKETS_H
#define SLB_RESILIENCE_TICKETS_H

#include "resilience/waiters.h"

#define SLB_TICKET_SLOT_BITS 24u
#define SLB_TICKET_FIRST_CHUNK 16u
#define SLB_TICKET_CHUNKS 20u /* 2^24 slots, less the 16 that a chunk before the first would have */

struct slb_tickets {
    struct slb_waiter *chunks[SLB_TICKET_CHUNKS];
    struct slb_waiter *unused; /* slots that had a ticket and are free again, linked by next */
    uint32_t slots, drawn;     /* in all chunks; of those, how many ever had a ticket */
};

/* A slot under a fresh number, in state DRAWN; NULL where the chunks are full. Needs the lock. */
SLB_PRIVATE struct slb_waiter *slb_tickets_draw(struct slb_tickets *tickets);

/* How many slots the next chunk has; 0: there may be no more. Needs the lock. */
SLB_PRIVATE uint32_t slb_tickets_next_chunk(const struct slb_tickets *tickets);

/* Adds a zeroed chunk of so many slots; false where another thread was quicker. Needs the lock. */
SLB_PRIVATE bool slb_tickets_grow(struct slb_tickets *tickets, struct slb_waiter *chunk, uint32_t slots);

/* Whether a number was ever a ticket here. Needs the lock. */
SLB_PRIVATE bool slb_tickets_issued(struct slb_tickets *tickets, uint64_t number);

/* The slot of a ticket that is out, or NULL. Needs the lock. */
SLB_PRIVATE struct slb_waiter *slb_tickets_find(struct slb_tickets *tickets, uint64_t ticket);

/* The ticket is over, and its slot free. The waiter is in no list. Needs the lock. */
SLB_PRIVATE void slb_tickets_end(struct slb_tickets *tickets, struct slb_waiter *waiter);

/* One slot after the other: 0 <= slot < tickets->drawn. */
SLB_PRIVATE struct slb_waiter *slb_tickets_slot(struct slb_tickets *tickets, uint32_t slot);

/* Sorts waiters that are linked by next: the oldest grant comes first. */
SLB_PRIVATE struct slb_waiter *slb_tickets_by_age(struct slb_waiter *chain);

/* Frees the chunks. */
SLB_PRIVATE void slb_tickets_free(struct slb_tickets *tickets);

#endif
