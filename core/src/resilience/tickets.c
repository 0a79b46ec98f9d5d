/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "resilience/tickets.h"

#include "resilience/breaker.h"
#include "resilience/listeners.h"

#include <stdlib.h>

#define SLOT_MASK ((1u << SLB_TICKET_SLOT_BITS) - 1)
#define GENERATION_STEP (1ull << SLB_TICKET_SLOT_BITS)
#ifndef SLABBY_TICKET_BITS
#define SLABBY_TICKET_BITS 52u /* below the tag of a reference; tests build with few, to reach the end */
#endif
#define TICKET_LIMIT (1ull << SLABBY_TICKET_BITS)

/* Chunk k begins at slot 16 * 2^k - 16: the highest bit of slot + 16 tells the chunk, those below the place. */
SLB_PRIVATE struct slb_waiter *slb_tickets_slot(struct slb_tickets *tickets, uint32_t slot) {
    uint32_t number = slot + SLB_TICKET_FIRST_CHUNK;
    uint32_t highest = 31u - (uint32_t)__builtin_clz(number);
    uint32_t chunk = highest - (31u - (uint32_t)__builtin_clz(SLB_TICKET_FIRST_CHUNK));
    return &tickets->chunks[chunk][number - (1u << highest)];
}

static uint32_t count_chunks(const struct slb_tickets *tickets) {
    uint32_t chunks = 0;
    while (chunks < SLB_TICKET_CHUNKS && tickets->chunks[chunks] != NULL)
        chunks++;
    return chunks;
}

SLB_PRIVATE uint32_t slb_tickets_next_chunk(const struct slb_tickets *tickets) {
    uint32_t chunks = count_chunks(tickets);
    return chunks == SLB_TICKET_CHUNKS ? 0 : SLB_TICKET_FIRST_CHUNK << chunks;
}

SLB_PRIVATE bool slb_tickets_grow(struct slb_tickets *tickets, struct slb_waiter *chunk, uint32_t slots) {
    if (slb_tickets_next_chunk(tickets) != slots)
        return false;
    tickets->chunks[count_chunks(tickets)] = chunk;
    tickets->slots += slots;
    return true;
}

SLB_PRIVATE struct slb_waiter *slb_tickets_draw(struct slb_tickets *tickets) {
    struct slb_waiter *waiter = tickets->unused;
    if (waiter != NULL) {
        tickets->unused = waiter->next;
        waiter->ticket += GENERATION_STEP;
    } else if (tickets->drawn < tickets->slots) {
        waiter = slb_tickets_slot(tickets, tickets->drawn);
        waiter->ticket = GENERATION_STEP | tickets->drawn++;
    } else {
        return NULL;
    }
    waiter->next = waiter->previous = NULL;
    atomic_store_explicit(&waiter->state, SLB_WAITER_DRAWN, memory_order_relaxed); /* under the lock */
    return waiter;
}

SLB_PRIVATE bool slb_tickets_issued(struct slb_tickets *tickets, uint64_t number) {
    uint32_t slot = (uint32_t)number & SLOT_MASK;
    return number >= GENERATION_STEP && slot < tickets->drawn &&
           number <= slb_tickets_slot(tickets, slot)->ticket;
}

SLB_PRIVATE struct slb_waiter *slb_tickets_find(struct slb_tickets *tickets, uint64_t ticket) {
    uint32_t slot = (uint32_t)ticket & SLOT_MASK;
    if (slot >= tickets->drawn)
        return NULL;
    SLB_WAITER_STEP();
    struct slb_waiter *waiter = slb_tickets_slot(tickets, slot);
    /* relaxed: under the lock */
    uint32_t state = atomic_load_explicit(&waiter->state, memory_order_relaxed);
    return waiter->ticket == ticket && state != SLB_WAITER_UNUSED ? waiter : NULL;
}

SLB_PRIVATE void slb_tickets_end(struct slb_tickets *tickets, struct slb_waiter *waiter) {
    SLB_WAITER_STEP();
    slb_probe_return(waiter->listener->pool, waiter->probe);
    waiter->probe = 0;
    if (waiter->ticket + GENERATION_STEP < TICKET_LIMIT) {
        waiter->next = tickets->unused;
        tickets->unused = waiter;
    }
    atomic_store_explicit(&waiter->state, SLB_WAITER_UNUSED, memory_order_relaxed); /* under the lock */
}

static struct slb_waiter *merge_by_age(struct slb_waiter *one, struct slb_waiter *other) {
    struct slb_waiter *first = NULL, **end = &first;
    while (one != NULL && other != NULL) {
        struct slb_waiter **older = one->granted_ns <= other->granted_ns ? &one : &other;
        *end = *older;
        end = &(*older)->next;
        *older = (*older)->next;
    }
    *end = one != NULL ? one : other;
    return first;
}

/* sorted[i] has 2^i waiters, or none. */
SLB_PRIVATE struct slb_waiter *slb_tickets_by_age(struct slb_waiter *chain) {
    struct slb_waiter *sorted[SLB_TICKET_SLOT_BITS + 1] = {NULL}, *all = NULL;
    while (chain != NULL) {
        struct slb_waiter *run = chain;
        uint32_t i = 0;
        chain = run->next;
        run->next = NULL;
        for (; sorted[i] != NULL; sorted[i++] = NULL)
            run = merge_by_age(sorted[i], run);
        sorted[i] = run;
    }
    for (uint32_t i = 0; i <= SLB_TICKET_SLOT_BITS; i++)
        all = merge_by_age(sorted[i], all);
    return all;
}

SLB_PRIVATE void slb_tickets_free(struct slb_tickets *tickets) {
    for (uint32_t chunk = 0; chunk < SLB_TICKET_CHUNKS; chunk++)
        free(tickets->chunks[chunk]);
}
