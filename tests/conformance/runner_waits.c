/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The instructions about waiting. Each pool register has one listener while a wait of it is not over; `collect` takes
 * whatever was granted through it, and keeps what other waits got. */
#include "runner.h"

#include <stdlib.h>
#include <string.h>

/* Fewer than a program's waits, so that several calls are needed. */
#define TAKEN_AT_ONCE 2

static struct wait *wait_at(const struct instruction *in) {
    return &machine.waits[key(in->count > 1 ? in->words[1] : NULL, 'w', WAITS)];
}

static void note_grant(const struct waiting *waiting, uint64_t ticket, slabby_ref ref, uint64_t index) {
    struct wait *wait = &machine.waits[index < WAITS ? index : 0];
    if (!wait->set || wait->ticket != ticket || &machine.waiting[wait->pool] != waiting || ref == 0)
        give_up("a grant of a ticket that", "nobody waits for");
    wait->ref = ref;
}

/* Takes what was granted. */
static void take(struct waiting *waiting) {
    uint64_t tickets[TAKEN_AT_ONCE], indexes[TAKEN_AT_ONCE], count;
    slabby_ref refs[TAKEN_AT_ONCE];
    slabby_status status;
    do {
        status = slabby_wait_take(tickets, refs, indexes, &count, waiting->listener, TAKEN_AT_ONCE);
        for (uint64_t i = 0; i < count; i++)
            note_grant(waiting, tickets[i], refs[i], indexes[i]);
    } while (count != 0);
    waiting->closed = status == SLABBY_CLOSED;
}

static void leave(struct waiting *waiting) {
    if (waiting->count != 0)
        return;
    (void)slabby_listener_destroy(waiting->listener);
    memset(waiting, 0, sizeof *waiting);
}

static void end_wait(struct wait *wait) {
    struct waiting *waiting = &machine.waiting[wait->pool];
    memset(wait, 0, sizeof *wait);
    waiting->count--;
    leave(waiting);
}

static void begin_wait(const struct instruction *in) {
    slabby_allocator *pool = pool_at(in, 1);
    unsigned target = key(in->target, 'w', WAITS), source = key(in->words[1], 'p', POOLS);
    struct wait *wait = &machine.waits[target];
    struct waiting *waiting = &machine.waiting[source];
    slabby_status status = SLABBY_OK;
    int32_t fd;
    if (pool == NULL || wait->set) {
        print_unset();
        return;
    }
    if (waiting->listener == NULL)
        status = slabby_listener_create(&waiting->listener, &fd, pool, NULL);
    if (status == SLABBY_OK)
        status = slabby_wait_begin(&wait->ticket, waiting->listener, target);
    if (status == SLABBY_OK) {
        wait->set = true;
        wait->pool = source;
        waiting->count++;
    }
    leave(waiting);
    print_status(status);
}

static void print_granted(bool granted) {
    begin_line("OK");
    put(",\"granted\":%s", granted ? "true" : "false");
    finish_line();
}

static void collect(const struct instruction *in) {
    struct wait *wait = wait_at(in);
    struct waiting *waiting = &machine.waiting[wait->pool];
    if (!wait->set) {
        print_unset();
        return;
    }
    take(waiting);
    bool closed = waiting->closed, granted = wait->ref != 0;
    if (granted)
        machine.refs[key(in->target, 'r', REFS)] = wait->ref;
    if (granted || closed)
        end_wait(wait);
    if (granted || !closed)
        print_granted(granted);
    else
        print_status(SLABBY_CLOSED);
}

/* True: a slab had been granted, and went back. */
static bool call_off(struct wait *wait) {
    struct waiting *waiting = &machine.waiting[wait->pool];
    slabby_ref ref = wait->ref;
    if (ref == 0 && slabby_wait_cancel(&ref, waiting->listener, wait->ticket) != SLABBY_OK)
        give_up("a ticket could not be cancelled at the end of", "a wait");
    if (ref != 0 && slabby_release(machine.pools[wait->pool], ref) != SLABBY_OK)
        give_up("a granted slab could not be released at the end of", "a wait");
    end_wait(wait);
    return ref != 0;
}

static void cancel(const struct instruction *in) {
    struct wait *wait = wait_at(in);
    if (wait->set)
        print_granted(call_off(wait));
    else
        print_unset();
}

void end_waits(void) {
    for (unsigned i = 0; i < WAITS; i++)
        if (machine.waits[i].set)
            (void)call_off(&machine.waits[i]);
}

uint64_t count_waiting(const slabby_allocator *pool) {
    uint64_t count = 0;
    for (unsigned i = 0; i < POOLS; i++)
        if (machine.pools[i] == pool && machine.waiting[i].listener != NULL)
            take(&machine.waiting[i]);
    for (unsigned i = 0; i < WAITS; i++)
        count += machine.waits[i].set && machine.waits[i].ref == 0 &&
                 machine.pools[machine.waits[i].pool] == pool &&
                 !machine.waiting[machine.waits[i].pool].closed;
    return count;
}

bool run_wait_instruction(const struct instruction *in) {
    static const struct {
        const char *name;
        void (*run)(const struct instruction *);
    } table[] = {{"wait", begin_wait}, {"collect", collect}, {"cancel", cancel}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strcmp(table[i].name, in->words[0]) != 0)
            continue;
        table[i].run(in);
        return true;
    }
    return false;
}
