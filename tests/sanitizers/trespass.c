/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One mistake with a slab, for a tool to catch: trespass clean | read | write | overflow. */
#include <slabby/slabby.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A multiple of 512, which leaves a gap behind each slab. */
#define SLAB_SIZE 1024

static slabby_allocator *pool;

static void insist(slabby_status status, const char *call) {
    if (status == SLABBY_OK)
        return;
    fprintf(stderr, "trespass: %s: %s\n", call, slabby_status_name(status));
    exit(3);
}

static volatile unsigned char *take(slabby_ref *out_ref) {
    void *data = NULL;

    insist(slabby_allocate(out_ref, &data, pool), "slabby_allocate");
    return data;
}

void read_after_release(void);
void write_after_release(void);
void overflow_into_gap(void);

void read_after_release(void) {
    slabby_ref ref;
    volatile unsigned char *data = take(&ref);

    data[5] = 1;
    insist(slabby_release(pool, ref), "slabby_release");
    if (data[5] == 1)
        puts("read a released slab");
}

void write_after_release(void) {
    slabby_ref ref;
    volatile unsigned char *data = take(&ref);

    insist(slabby_release(pool, ref), "slabby_release");
    data[SLAB_SIZE - 1] = 1;
}

void overflow_into_gap(void) {
    slabby_ref ref;
    volatile unsigned char *data = take(&ref);

    data[SLAB_SIZE] = 1;
    insist(slabby_release(pool, ref), "slabby_release");
}

/* Every byte of every slab, twice over, by reference and by id, each way a slab can go. */
static void behave(void) {
    slabby_ref refs[32];
    void *datas[32];
    uint32_t id = 0;

    for (int round = 0; round < 3; round++) {
        insist(slabby_allocate_batch(refs, datas, pool, 32), "slabby_allocate_batch");
        for (int i = 0; i < 32; i++)
            memset(datas[i], i, SLAB_SIZE);
        insist(slabby_release_batch(NULL, pool, refs, 31), "slabby_release_batch");
        insist(slabby_set_option(pool, SLABBY_OPTION_SECURE, 1, NULL), "slabby_set_option");
        insist(slabby_release(pool, refs[31]), "slabby_release");
        insist(slabby_allocate_fast(&datas[0], &id, pool), "slabby_allocate_fast");
        memset(datas[0], 1, SLAB_SIZE);
        insist(slabby_deallocate_fast(pool, id), "slabby_deallocate_fast");
        insist(slabby_trim(NULL, pool), "slabby_trim");
    }
    insist(slabby_destroy(pool), "slabby_destroy");
}

int main(int count, char **words) {
    const char *deed = count > 1 ? words[1] : "clean";

    insist(slabby_create(&pool, SLAB_SIZE, 32, NULL, NULL), "slabby_create");
    if (strcmp(deed, "read") == 0)
        read_after_release();
    else if (strcmp(deed, "write") == 0)
        write_after_release();
    else if (strcmp(deed, "overflow") == 0)
        overflow_into_gap();
    else
        behave();
    puts("end");
    return 0;
}
