/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a pool should be after each call, kept in the plainest way: a list of everything ever
 * handed out. */
#ifndef SLABBY_MODEL_MODEL_H
#define SLABBY_MODEL_MODEL_H

#include "support.h"
#include "program.h"

enum entry_state { ENTRY_LIVE, ENTRY_FAST, ENTRY_DYING, ENTRY_STALE };

struct entry {
    enum entry_state state;
    slabby_ref ref; /* 0 for a fast slab */
    uint32_t id;
    uint32_t pins;
    uint64_t label;
    unsigned char *data;
    unsigned char stamp;
};

enum { ENTRY_LIMIT = 8192 };

struct model {
    const struct program *program;
    slabby_allocator *pool;
    slabby_view_info view;
    int heap_enabled;
    int secure;
    int closed;
    uint64_t heap_limit;
    uint64_t capacity; /* of the moment; used slabs beyond it are awaited */
    uint64_t used;     /* slabs of the pool in use */
    uint64_t heap_used;
    uint64_t allocations, deallocations, fast_allocations, fast_deallocations, heap_fallbacks;
    uint64_t errors[64];
    uint32_t count;
    struct entry entries[ENTRY_LIMIT];
    char failure[256];
};

/* Each returns 0 when core and model agree, else notes the difference and returns 1. */
int model_differs(struct model *model, const char *format, ...) __attribute__((format(printf, 2, 3)));
int model_expect(struct model *model, const char *call, slabby_status found, slabby_status expected);

/* Slabs of the pool that can still be had. */
uint64_t model_free(const struct model *model);

/* model_check.c: the calls that only look at the whole pool. */
int model_check_stats(struct model *model);
int model_check_live(struct model *model);
int model_check_verify(struct model *model);

#endif
