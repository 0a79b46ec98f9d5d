/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "locations.h"

#include <string.h>

enum { TABLE = 1 << 14, BLOCK = 64 };

static struct location table[TABLE];
static uint16_t used[TABLE / 2]; /* the entries of the known locations */
static uint32_t known, shared_count;

void locations_forget(void) {
    memset(table, 0, sizeof table);
    known = shared_count = 0;
}

/* Where the entry of an address is looked for first: words that lie side by side have their entries side by side. */
static uint32_t first_entry(uintptr_t address) {
    uint64_t block = (uint64_t)(address / BLOCK) * UINT64_C(0x9E3779B97F4A7C15);

    return (uint32_t)((block >> 50) + address % BLOCK / 4) % TABLE;
}

static struct location *find(const volatile void *address) {
    uint32_t at = first_entry((uintptr_t)address);

    while (table[at].address != NULL && table[at].address != address)
        at = (at + 1) % TABLE;
    if (table[at].address == NULL) {
        table[at].address = address;
        if (known == TABLE / 2)
            schedule_broken("a scenario touches more than %d locations: make it smaller", TABLE / 2);
        used[known++] = (uint16_t)at;
    }
    return &table[at];
}

static bool is_several(uint8_t tasks) {
    return (tasks & (tasks - 1)) != 0;
}

static void find_out_whether_shared(struct location *location, enum access access) {
    uint8_t all = location->readers | location->writers | location->adders;
    bool conflict =
        is_several(all) && (location->writers != 0 || (location->adders != 0 && location->readers != 0));

    location->shared = conflict || access == ACCESS_ALWAYS;
    shared_count += location->shared;
}

struct location *locations_note(const volatile void *address, enum access access, uint32_t task) {
    struct location *location = find(address);
    uint8_t bit = (uint8_t)(1u << task);
    uint8_t *tasks = access == ACCESS_READ  ? &location->readers
                     : access == ACCESS_ADD ? &location->adders
                                            : &location->writers;

    if ((*tasks & bit) == 0 || access == ACCESS_ALWAYS) {
        *tasks |= bit;
        if (!location->shared)
            find_out_whether_shared(location, access);
    }
    return location;
}

void locations_note_range(const volatile void *start, size_t size, uint32_t task) {
    for (uint32_t i = 0; i < known; i++) {
        const volatile void *address = table[used[i]].address;

        if ((uintptr_t)address - (uintptr_t)start < size)
            (void)locations_note(address, ACCESS_WRITE, task);
    }
}

bool location_is_shared(const volatile void *address) {
    return find(address)->shared;
}

uint32_t locations_shared(void) {
    return shared_count;
}
