/* SPDX-License-Identifier: GPL-3.0-or-later */
/* guards: slabs with guard pages are used, released and trimmed, and read as zeros where they were. guards overflow:
 * then a byte behind a slab is written, which must end the process with a report. */
#include <slabby/slabby.h>

#include <stdio.h>
#include <string.h>

enum { SLABS = 16, SIZE = 8192 };

static int use_and_trim(slabby_allocator *pool) {
    slabby_ref refs[SLABS];
    void *data[SLABS];
    uint64_t bytes = 0;
    for (int i = 0; i < SLABS; i++) {
        if (slabby_allocate(&refs[i], &data[i], pool) != SLABBY_OK)
            return 1;
        memset(data[i], 0x5A, SIZE);
    }
    for (int i = 0; i < SLABS; i++)
        if (slabby_release(pool, refs[i]) != SLABBY_OK)
            return 2;
    if (slabby_trim(&bytes, pool) != SLABBY_OK || bytes < (uint64_t)SLABS * SIZE)
        return 3;
    for (int i = 0; i < SLABS; i++)
        if (slabby_allocate(&refs[i], &data[i], pool) != SLABBY_OK || *(unsigned char *)data[i] != 0)
            return 4;
    for (int i = 0; i < SLABS; i++)
        if (slabby_release(pool, refs[i]) != SLABBY_OK)
            return 5;
    return 0;
}

int main(int count, char **arguments) {
    slabby_options *options = NULL;
    slabby_allocator *pool = NULL;
    slabby_ref ref;
    void *data;
    if (slabby_options_create(&options) != SLABBY_OK ||
        slabby_options_set_text(options, "guard_pages", "on", NULL) != SLABBY_OK ||
        slabby_install_fault_handler(NULL) != SLABBY_OK ||
        slabby_create(&pool, SIZE, SLABS, options, NULL) != SLABBY_OK)
        return 10;
    slabby_options_destroy(options);
    int failed = use_and_trim(pool);
    if (failed != 0)
        return failed;
    if (count > 1 && strcmp(arguments[1], "overflow") == 0) {
        if (slabby_allocate(&ref, &data, pool) != SLABBY_OK)
            return 11;
        ((volatile char *)data)[SIZE] = 1;
        return 12;
    }
    return slabby_destroy(pool) == SLABBY_OK ? 0 : 13;
}
