/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the programs of this folder share. Each makes one mistake of ../mistakes.toml and prints what it was told:
 *
 *   answer <tab> status <tab> slab, or -1 <tab> reference <tab> text
 *   count <tab> name <tab> number
 */
#ifndef SLABBY_MISUSE_H
#define SLABBY_MISUSE_H

#include <stddef.h>

#include "slabby/slabby.h"

#define SLAB_SIZE 64
#define CAPACITY 4

struct mistake {
    const char *name; /* null ends a list */
    void (*make)(void);
};

extern const struct mistake release_mistakes[], reference_mistakes[], write_mistakes[], argument_mistakes[];

/* A pool called "misuse" with one option set, or none where `option` is 0. */
slabby_allocator *pool_with(int32_t option, int64_t value);
slabby_allocator *sized_pool(uint64_t slab_size, uint64_t capacity, int32_t option, int64_t value);

/* Ends the program where a sound call was refused. */
void insist(slabby_status status);

/* One slab, and its bytes where out_data is not null. */
slabby_ref take(slabby_allocator *pool, unsigned char **out_data);

/* What a call about a reference answered, 0 where none is concerned; the text is slabby_explain's. */
void answered(slabby_allocator *pool, slabby_ref ref, slabby_status status);

/* What a cold call answered. */
void refused(slabby_status status, const slabby_error *error);

void counted(const char *name, uint64_t number);

/* How often, by MISUSE_ROUNDS or else by default. */
uint64_t rounds(uint64_t by_default);

#endif
