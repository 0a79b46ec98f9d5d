/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Mistakes that are made again and again under one protection, to count how often somebody notices. */
#ifndef SLABBY_DETECTION_MISTAKES_H
#define SLABBY_DETECTION_MISTAKES_H

#include <stddef.h>
#include <stdint.h>

#include "slabby/slabby.h"

#define SLAB_SIZE 64
#define CAPACITY 256
#define SAMPLE_RATE 10
#define DELAY 8

enum protection { PLAIN, BIT_GUARD, GUARD_PAGES, SAMPLE_ALL, SAMPLE_SOME, REUSE_DELAY, SHUFFLE, PROTECTIONS };

struct protection_row {
    const char *name;
    int32_t option;
    int64_t value;
};

extern const struct protection_row protections[PROTECTIONS];

/* make answers whether the mistake was noticed. expected: the chance of that by the formula. */
struct mistake {
    const char *name;
    int (*make)(slabby_allocator *pool);
    double expected[PROTECTIONS];
};

extern const struct mistake mistakes[];
extern const size_t mistake_count;

slabby_allocator *protected_pool(enum protection protection);

/* The mean chance over the trials since the last call, for mistakes whose chance depends on the state of the pool;
 * -1 where there was none. */
double chance_met(void);

#endif
