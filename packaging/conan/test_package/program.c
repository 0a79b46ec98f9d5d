/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The least that shows a working package: a slab is allocated once and released once. */
#include <slabby/slabby.h>
#include <stdio.h>

int main(void) {
    slabby_allocator *pool;
    slabby_error error = SLABBY_ERROR_INIT;
    slabby_ref ref;
    void *data;

    if (slabby_create(&pool, 4096, 100, NULL, &error) != SLABBY_OK) {
        fprintf(stderr, "no pool: %s\n", error.text);
        return 1;
    }
    if (slabby_allocate(&ref, &data, pool) != SLABBY_OK || slabby_release(pool, ref) != SLABBY_OK ||
        slabby_release(pool, ref) != SLABBY_DOUBLE_DEALLOCATION)
        return 1;
    printf("slabby %s: OK\n", slabby_version());
    return slabby_destroy(pool) == SLABBY_OK ? 0 : 1;
}
