/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Statuses that print their names, pools in one call, and the checks that every sound pool passes. */
#ifndef SLABBY_TEST_CHECKS_H
#define SLABBY_TEST_CHECKS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "slabby/slabby.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* One option by number; a list of them ends with option 0. */
struct setting {
    int32_t option;
    int64_t value;
};

#define WITH(...) ((const struct setting[]){__VA_ARGS__, {0, 0}})
#define CHECK_STATUS(call, expected) check_status((call), (expected), #call, __FILE__, __LINE__)

void check_status(slabby_status found, slabby_status expected, const char *call, const char *file, int line);

/* settings may be null. try_pool hands back what slabby_create answered; make_pool insists on
 * OK. */
slabby_status try_pool(slabby_allocator **out_pool, uint64_t slab_size, uint64_t capacity,
                       const struct setting *settings, slabby_error *out_error);
slabby_allocator *make_pool(uint64_t slab_size, uint64_t capacity, const struct setting *settings);

/* Takes one slab and insists on it. */
slabby_ref take(slabby_allocator *pool);

slabby_stats stats_of(slabby_allocator *pool);
slabby_view_info view_of(slabby_allocator *pool);
slabby_error fresh_error(void);

/* Verify finds nothing, the tiers' hits add up, used slabs are `used`. The pool must be quiet. */
void check_sound(slabby_allocator *pool, uint64_t used);

/* Allocates every slab of a quiet pool, writes each of its bytes, and releases them. */
void write_every_slab(slabby_allocator *pool, uint64_t slab_size);

/* check_sound with nothing in use, then every slab can be taken once, then destroy. */
void finish(slabby_allocator *pool);

#endif
