/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A program outside the tree, as C11 and as C++17: prints OK when a pool does what its header says. */
#include <slabby/slabby.h>

#include <stdio.h>
#include <string.h>

static int fail(const char *what, slabby_status status) {
    printf("%s: %s: %s\n", what, slabby_status_name(status), slabby_status_message(status));
    return 1;
}

int main(void) {
    slabby_allocator *pool = NULL;
    slabby_ref ref = 0;
    void *data = NULL;
    slabby_error error;
    slabby_stats stats;
    slabby_status status;

    memset(&error, 0, sizeof error);
    error.struct_size = sizeof error;
    status = slabby_create(&pool, 0, 10, NULL, &error);
    if (status != SLABBY_INVALID_SLAB_SIZE || error.status != status || error.text[0] == '\0')
        return fail("slabby_create with a slab size of 0", status);

    status = slabby_create(&pool, 4096, 100, NULL, &error);
    if (status != SLABBY_OK)
        return fail(error.text, status);
    status = slabby_allocate(&ref, &data, pool);
    if (status != SLABBY_OK)
        return fail("slabby_allocate", status);
    memset(data, 0xA5, 4096);
    status = slabby_release(pool, ref);
    if (status != SLABBY_OK)
        return fail("slabby_release", status);
    status = slabby_release(pool, ref);
    if (status != SLABBY_DOUBLE_DEALLOCATION)
        return fail("a second slabby_release", status);

    memset(&stats, 0, sizeof stats);
    stats.struct_size = sizeof stats;
    status = slabby_get_stats(&stats, pool);
    if (status != SLABBY_OK || stats.total_allocations != 1 || stats.total_deallocations != 1)
        return fail("slabby_get_stats", status);
    status = slabby_destroy(pool);
    if (status != SLABBY_OK)
        return fail("slabby_destroy", status);
    puts("OK");
    return 0;
}
