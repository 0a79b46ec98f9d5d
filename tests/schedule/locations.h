/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which task accessed which location, over all runs of a scenario; and which locations are therefore shared: used by
 * two tasks, and not only read, nor only added to. */
#ifndef SLABBY_SCHEDULE_LOCATIONS_H
#define SLABBY_SCHEDULE_LOCATIONS_H

#include "scheduler.h"

struct location {
    const volatile void *address;
    uint8_t readers, writers, adders; /* a bit a task */
    bool shared;
};

void locations_forget(void);

/* The entry of a location, with this access noted. */
struct location *locations_note(const volatile void *address, enum access access, uint32_t task);

/* The task did something to every location in a range that anybody ever accessed. */
void locations_note_range(const volatile void *start, size_t size, uint32_t task);

/* Whether two tasks share a location. */
bool location_is_shared(const volatile void *address);

/* How many locations are known to be shared. */
uint32_t locations_shared(void);

#endif
