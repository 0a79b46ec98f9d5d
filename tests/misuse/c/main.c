/* SPDX-License-Identifier: GPL-3.0-or-later */
/* misuse NAME: makes the mistake of that name. misuse --list: their names. */
#include "misuse.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void insist(slabby_status status) {
    if (status != SLABBY_OK) {
        (void)fprintf(stderr, "a sound call was refused: %s\n", slabby_status_name(status));
        exit(3);
    }
}

slabby_allocator *sized_pool(uint64_t slab_size, uint64_t capacity, int32_t option, int64_t value) {
    slabby_allocator *pool = NULL;
    slabby_options *options = NULL;

    insist(slabby_options_create(&options));
    insist(slabby_options_set_text(options, "name", "misuse", NULL));
    if (option)
        insist(slabby_options_set(options, option, value, NULL));
    insist(slabby_create(&pool, slab_size, capacity, options, NULL));
    slabby_options_destroy(options);
    return pool;
}

slabby_allocator *pool_with(int32_t option, int64_t value) {
    return sized_pool(SLAB_SIZE, CAPACITY, option, value);
}

slabby_ref take(slabby_allocator *pool, unsigned char **out_data) {
    slabby_ref ref = 0;
    void *data = NULL;

    insist(slabby_allocate(&ref, &data, pool));
    if (out_data)
        *out_data = data;
    return ref;
}

static void report(slabby_status status, int64_t slab, slabby_ref ref, const char *text) {
    printf("answer\t%s\t%" PRId64 "\t%016" PRIx64 "\t%s\n", slabby_status_name(status), slab, ref, text);
    (void)fflush(stdout);
}

void answered(slabby_allocator *pool, slabby_ref ref, slabby_status status) {
    char text[1024];
    uint32_t id = 0;
    int known = slabby_id(&id, pool, ref) == SLABBY_OK;

    insist(slabby_explain(text, sizeof text, NULL, pool, ref, status));
    report(status, known ? (int64_t)id : -1, ref, text);
}

void refused(slabby_status status, const slabby_error *error) {
    report(status, -1, 0, error->text);
}

void counted(const char *name, uint64_t number) {
    printf("count\t%s\t%" PRIu64 "\n", name, number);
}

uint64_t rounds(uint64_t by_default) {
    const char *text = getenv("MISUSE_ROUNDS");
    uint64_t asked = text ? strtoull(text, NULL, 10) : 0;

    return asked ? asked : by_default;
}

static const struct mistake *const lists[] = {release_mistakes, reference_mistakes, write_mistakes,
                                              argument_mistakes};

int main(int count, char **arguments) {
    int listing = count == 2 && strcmp(arguments[1], "--list") == 0;
    int found = listing;

    for (size_t i = 0; count == 2 && i < sizeof lists / sizeof *lists; i++) {
        for (const struct mistake *next = lists[i]; next->name; next++) {
            if (listing)
                puts(next->name);
            if (strcmp(next->name, arguments[1]) == 0) {
                next->make();
                found = 1;
            }
        }
    }
    if (!found)
        (void)fprintf(stderr, "usage: misuse NAME, one of those of misuse --list\n");
    return found ? 0 : 2;
}
