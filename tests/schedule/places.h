/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which task accessed which location, over all runs of a scenario; and which locations are therefore shared: used by
 * two tasks, and not only read, nor only added to. */
#ifndef SLABBY_SCHEDULE_PLACES_H
#define SLABBY_SCHEDULE_PLACES_H

#include "scheduler.h"

struct place {
    const volatile void *address;
    uint8_t readers, writers, adders; /* a bit a task */
    bool shared;
};

void places_forget(void);

/* The entry of a location, with this access noted. */
struct place *places_note(const volatile void *address, enum access access, uint32_t task);

/* Whether two tasks share a location. */
bool places_is_shared(const volatile void *address);

/* How many locations are known to be shared. */
uint32_t places_shared(void);

#endif
