/* SPDX-License-Identifier: GPL-3.0-or-later */
/* For systems without cmocka: threads that end allocate and release on each backend that the machine has. */
#include <slabby/slabby.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { THREADS = 4, ROUNDS = 50, PAIRS = 2000 };

static slabby_allocator *pool;

static void *work(void *failed) {
    for (int i = 0; i < PAIRS; i++) {
        slabby_ref ref;
        void *data;
        if (slabby_allocate(&ref, &data, pool) != SLABBY_OK || slabby_release(pool, ref) != SLABBY_OK)
            *(int *)failed = 1;
    }
    return NULL;
}

static int run(const char *backend) {
    slabby_options *options = NULL;
    uint64_t findings = 0;
    slabby_error error = {.struct_size = sizeof error};
    int failed[THREADS] = {0}, any = 0;
    if (slabby_options_create(&options) != SLABBY_OK ||
        slabby_options_set_text(options, "cpu_cache_backend", backend, &error) != SLABBY_OK ||
        slabby_create(&pool, 64, 1000, options, &error) != SLABBY_OK) {
        printf("%s: %s\n", backend, error.text);
        return 2;
    }
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++)
            pthread_create(&threads[i], NULL, work, &failed[i]);
        for (int i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
            any |= failed[i];
        }
    }
    any |= slabby_verify(NULL, &findings, pool, 0) != SLABBY_OK || findings != 0 ||
           slabby_destroy(pool) != SLABBY_OK;
    slabby_options_destroy(options);
    printf("%s: %s\n", backend, any ? "failed" : "done");
    return any;
}

/* pairs BACKEND...: each must be there. */
int main(int count, char **arguments) {
    int failed = 0;
    for (int i = 1; i < count; i++)
        failed |= run(arguments[i]);
    return failed;
}
