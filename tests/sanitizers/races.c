/* SPDX-License-Identifier: GPL-3.0-or-later */
/* races WHAT: two threads hand slabs over through a queue under a lock. "clean" is sound, with pins, heap slabs and
 * sampled guards; "pools" is the same without the heap. "race" writes a slab that another thread reads, which a tool
 * must report. */
#define _GNU_SOURCE
#include <slabby/slabby.h>

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLAB_SIZE = 64, CAPACITY = 4, ROUNDS = 60, QUEUE = 2 };

static slabby_allocator *pool;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static slabby_ref queue[QUEUE];
static int queued;
static volatile unsigned sum; /* of the consumer alone */

static void require(slabby_status status, const char *what) {
    if (status == SLABBY_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, slabby_status_name(status));
    exit(2);
}

static void put(slabby_ref ref) {
    pthread_mutex_lock(&lock);
    while (queued == QUEUE)
        pthread_cond_wait(&changed, &lock);
    queue[queued++] = ref;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

static slabby_ref get(void) {
    pthread_mutex_lock(&lock);
    while (queued == 0)
        pthread_cond_wait(&changed, &lock);
    slabby_ref ref = queue[--queued];
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
    return ref;
}

static __attribute__((noinline)) void fill_slab(unsigned *data, unsigned round) {
    for (unsigned i = 0; i < SLAB_SIZE / sizeof *data; i++)
        data[i] = round + i;
}

static __attribute__((noinline)) void read_slab(const unsigned *data) {
    for (unsigned i = 0; i < SLAB_SIZE / sizeof *data; i++)
        sum = sum + data[i];
}

/* The consumer reads, in every third round under a pin while the slab's release is deferred already. */
static void *consume(void *unused) {
    void *data;

    (void)unused;
    for (int round = 0; round < ROUNDS; round++) {
        slabby_ref ref = get();
        require(slabby_data(&data, pool, ref), "slabby_data");
        if (round % 3 != 0) {
            read_slab(data);
            require(slabby_release(pool, ref), "slabby_release");
            continue;
        }
        require(slabby_pin(pool, ref), "slabby_pin");
        require(slabby_release_deferred(pool, ref), "slabby_release_deferred");
        read_slab(data);
        require(slabby_unpin(pool, ref), "slabby_unpin");
    }
    return NULL;
}

static void produce(void) {
    for (unsigned round = 0; round < ROUNDS; round++) {
        slabby_ref ref;
        void *data;
        require(slabby_allocate_timeout(&ref, &data, pool, 60000000000u), "slabby_allocate_timeout");
        fill_slab(data, round);
        put(ref);
    }
}

static void run(int32_t option, int64_t value) {
    slabby_options *options;
    pthread_t consumer;

    require(slabby_options_create(&options), "slabby_options_create");
    if (option != 0)
        require(slabby_options_set(options, option, value, NULL), "slabby_options_set");
    require(slabby_create(&pool, SLAB_SIZE, CAPACITY, options, NULL), "slabby_create");
    slabby_options_destroy(options);
    if (pthread_create(&consumer, NULL, consume, NULL) != 0)
        exit(2);
    produce();
    pthread_join(consumer, NULL);
    require(slabby_destroy(pool), "slabby_destroy");
}

static void *read_shared(void *data) {
    read_slab(data);
    return NULL;
}

/* The thread that gave the slab to another goes on to write. */
static void race(void) {
    pthread_t reader;
    slabby_ref ref;
    void *data;

    require(slabby_create(&pool, SLAB_SIZE, CAPACITY, NULL, NULL), "slabby_create");
    require(slabby_allocate(&ref, &data, pool), "slabby_allocate");
    fill_slab(data, 0);
    if (pthread_create(&reader, NULL, read_shared, data) != 0)
        exit(2);
    fill_slab(data, 1);
    pthread_join(reader, NULL);
    require(slabby_release(pool, ref), "slabby_release");
    require(slabby_destroy(pool), "slabby_destroy");
}

int main(int count, char **arguments) {
    const char *what = count > 1 ? arguments[1] : "";
    if (strcmp(what, "race") == 0) {
        race();
    } else {
        run(0, 0);
        run(SLABBY_OPTION_SECURE, 1);
        run(SLABBY_OPTION_GUARD_SAMPLE_RATE, 2);
        if (strcmp(what, "clean") == 0) /* helgrind and drd see the core's own table of the heap */
            run(SLABBY_OPTION_HEAP_FALLBACK, 1);
        run(SLABBY_OPTION_REUSE_DELAY, 2);
    }
    puts("end");
    return 0;
}
