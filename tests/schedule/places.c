/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "places.h"

#include <string.h>

enum { TABLE = 1 << 14 };

static struct place table[TABLE];
static uint32_t known, shared_count;

void places_forget(void) {
    memset(table, 0, sizeof table);
    known = shared_count = 0;
}

static struct place *find(const volatile void *address) {
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

struct place *places_note(const volatile void *address, enum access access, uint32_t task) {
    struct place *place = find(address);
    uint8_t bit = (uint8_t)(1u << task);

    if (access == ACCESS_READ)
        place->readers |= bit;
    else if (access == ACCESS_ADD)
        place->adders |= bit;
    else
        place->writers |= bit;
    if (!place->shared) {
        uint8_t all = place->readers | place->writers | place->adders;
        bool conflict =
            is_several(all) && (place->writers != 0 || (place->adders != 0 && place->readers != 0));

        place->shared = conflict || access == ACCESS_ALWAYS;
        shared_count += place->shared;
    }
    return place;
}

bool places_is_shared(const volatile void *address) {
    return find(address)->shared;
}

uint32_t places_shared(void) {
    return shared_count;
}
