/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "locations.h"

#include <string.h>

enum { TABLE = 1 << 14 };

static struct location table[TABLE];
static uint32_t known, shared_count;

void locations_forget(void) {
    memset(table, 0, sizeof table);
    known = shared_count = 0;
}

static struct location *find(const volatile void *address) {
    uint64_t hash = (uint64_t)(uintptr_t)address * UINT64_C(0x9E3779B97F4A7C15);
    uint32_t at = (uint32_t)(hash >> 50);

    while (table[at].address != NULL && table[at].address != address)
        at = (at + 1) % TABLE;
    if (table[at].address == NULL) {
        table[at].address = address;
        if (++known > TABLE / 2)
            schedule_broken("a scenario touches more than %d locations: make it smaller", TABLE / 2);
    }
    return &table[at];
}

static bool is_several(uint8_t tasks) {
    return (tasks & (tasks - 1)) != 0;
}

struct location *locations_note(const volatile void *address, enum access access, uint32_t task) {
    struct location *location = find(address);
    uint8_t bit = (uint8_t)(1u << task);

    if (access == ACCESS_READ)
        location->readers |= bit;
    else if (access == ACCESS_ADD)
        location->adders |= bit;
    else
        location->writers |= bit;
    if (!location->shared) {
        uint8_t all = location->readers | location->writers | location->adders;
        bool conflict =
            is_several(all) && (location->writers != 0 || (location->adders != 0 && location->readers != 0));

        location->shared = conflict || access == ACCESS_ALWAYS;
        shared_count += location->shared;
    }
    return location;
}

void locations_note_range(const volatile void *start, size_t size, uint32_t task) {
    for (uint32_t at = 0; at < TABLE; at++) {
        uintptr_t address = (uintptr_t)table[at].address;

        if (address >= (uintptr_t)start && address - (uintptr_t)start < size)
            (void)locations_note(table[at].address, ACCESS_WRITE, task);
    }
}

bool location_is_shared(const volatile void *address) {
    return find(address)->shared;
}

uint32_t locations_shared(void) {
    return shared_count;
}
