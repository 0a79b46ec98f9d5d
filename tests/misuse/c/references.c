/* SPDX-License-Identifier: GPL-3.0-or-later */
/* References that are stale, of another pool, or made up. */
#include "misuse.h"

#include "random.h"

static void stale_data(void) {
    slabby_allocator *pool = pool_with(0, 0);
    slabby_ref ref = take(pool, NULL);
    void *data = NULL;

    insist(slabby_release(pool, ref));
    answered(pool, ref, slabby_data(&data, pool, ref));
}

static void stale_pin(void) {
    slabby_allocator *pool = pool_with(0, 0);
    slabby_ref ref = take(pool, NULL);

    insist(slabby_release(pool, ref));
    answered(pool, ref, slabby_pin(pool, ref));
}

static void foreign_reference(void) {
    slabby_allocator *pool = pool_with(0, 0);
    slabby_allocator *other = pool_with(0, 0);
    slabby_ref ref = take(other, NULL);

    answered(pool, ref, slabby_release(pool, ref));
    insist(slabby_release(other, ref));
}

static int accepted(slabby_allocator *pool, slabby_ref ref) {
    void *data = NULL;

    return slabby_is_valid(pool, ref) || slabby_data(&data, pool, ref) == SLABBY_OK ||
           slabby_pin(pool, ref) == SLABBY_OK || slabby_unpin(pool, ref) == SLABBY_OK ||
           slabby_release(pool, ref) == SLABBY_OK || slabby_release_deferred(pool, ref) == SLABBY_OK;
}

/* Half of them carry the pool's own tag. The seed is fixed, so that none is the live one by chance. */
static void forged_references(void) {
    slabby_allocator *pool = pool_with(0, 0);
    slabby_ref ref = take(pool, NULL);
    uint64_t times = rounds(1000000), taken = 0, seed = 1;

    for (uint64_t i = 0; i < times; i++) {
        uint64_t made_up = random_next(&seed);

        if (i % 2)
            made_up = (ref & 0xFFF0000000000000u) | (made_up >> 12);
        taken += (uint64_t)accepted(pool, made_up);
    }
    counted("forged", times);
    counted("accepted", taken);
    answered(pool, ref + (1ull << 40), slabby_release(pool, ref + (1ull << 40)));
    insist(slabby_release(pool, ref));
}

const struct mistake reference_mistakes[] = {
    {"stale_data", stale_data},
    {"stale_pin", stale_pin},
    {"foreign_reference", foreign_reference},
    {"forged_references", forged_references},
    {0},
};
