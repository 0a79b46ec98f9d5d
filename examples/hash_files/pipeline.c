/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE
#include "pipeline.h"

#include "queue.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct pipeline {
    slabby_allocator *pool;
    struct file_list *list;
    uint64_t slab_size;
    unsigned hashers;
    struct queue queues[MAX_THREADS]; /* one a hasher */
    atomic_size_t next_file;
    atomic_size_t hashed_files;
    atomic_uint_fast64_t hashed_bytes;
    atomic_uint_fast64_t waits;
    pthread_mutex_t mutex;
    pthread_cond_t finished; /* hashed_files has reached the end */
};

struct hasher {
    struct pipeline *pipeline;
    struct queue *queue;
};

static void die(struct pipeline *pipeline, const char *call, slabby_ref ref, slabby_status status) {
    char scenario[512];
    uint64_t length;
    if (slabby_explain(scenario, sizeof scenario, &length, pipeline->pool, ref, status) != SLABBY_OK)
        snprintf(scenario, sizeof scenario, "%s", slabby_status_message(status));
    fprintf(stderr, "hash_files: %s: %s: %s\n", call, slabby_status_name(status), scenario);
    exit(1);
}

/* ------------------------------------------------------------------------------------------------ reading */

/* Waits for a slab where none is free. The try in advance only serves to count the waits. */
static struct block take_slab(struct pipeline *pipeline, struct file *file) {
    struct block block = {.file = file};
    slabby_status status = slabby_try_allocate(&block.ref, &block.data, pipeline->pool);
    if (status == SLABBY_OUT_OF_MEMORY) {
        atomic_fetch_add(&pipeline->waits, 1);
        status = slabby_allocate_timeout(&block.ref, &block.data, pipeline->pool, UINT64_MAX);
    }
    if (status != SLABBY_OK)
        die(pipeline, "slabby_allocate_timeout", 0, status);
    return block;
}

static void release(struct pipeline *pipeline, slabby_ref ref) {
    slabby_status status = slabby_release(pipeline->pool, ref);
    if (status != SLABBY_OK)
        die(pipeline, "slabby_release", ref, status);
}

/* Fills the slab as far as the file goes; -1 with errno on an error. */
static ssize_t read_block(int fd, void *data, size_t size) {
    size_t length = 0;
    while (length < size) {
        ssize_t got = read(fd, (char *)data + length, size - length);
        if (got < 0 && errno != EINTR)
            return -1;
        if (got == 0)
            break;
        if (got > 0)
            length += (size_t)got;
    }
    return (ssize_t)length;
}

static void read_file(struct pipeline *pipeline, struct file *file, struct queue *queue) {
    /* Not blocking: a pipe that took the file's place since the walk must not stop us. */
    int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        file->error = errno;
    while (file->error == 0) {
        struct block block = take_slab(pipeline, file);
        ssize_t length = read_block(fd, block.data, pipeline->slab_size);
        if (length < 0)
            file->error = errno;
        if (length <= 0) {
            release(pipeline, block.ref);
            break;
        }
        block.length = (size_t)length;
        queue_push(queue, block);
    }
    if (fd >= 0)
        close(fd);
    queue_push(queue, (struct block){.file = file});
}

static void *reader_main(void *argument) {
    struct pipeline *pipeline = argument;
    for (;;) {
        size_t index = atomic_fetch_add(&pipeline->next_file, 1);
        if (index >= pipeline->list->count)
            return NULL;
        read_file(pipeline, &pipeline->list->files[index], &pipeline->queues[index % pipeline->hashers]);
    }
}

/* ------------------------------------------------------------------------------------------------ hashing */

static void openssl_failed(void) {
    fprintf(stderr, "hash_files: libcrypto could not compute a SHA-256 digest\n");
    exit(1);
}

/* The digests under way in one hasher: at most one a reader. */
struct open_digests {
    struct file *files[MAX_THREADS];
    EVP_MD_CTX *contexts[MAX_THREADS];
};

static EVP_MD_CTX *digest_of(struct open_digests *open, struct file *file, unsigned *out_entry) {
    unsigned entry = 0;
    while (entry < MAX_THREADS && open->files[entry] != file)
        entry++;
    if (entry == MAX_THREADS) {
        for (entry = 0; open->files[entry] != NULL; entry++) {
        }
        if (open->contexts[entry] == NULL)
            open->contexts[entry] = EVP_MD_CTX_new();
        if (open->contexts[entry] == NULL ||
            EVP_DigestInit_ex(open->contexts[entry], EVP_sha256(), NULL) != 1)
            openssl_failed();
        open->files[entry] = file;
    }
    *out_entry = entry;
    return open->contexts[entry];
}

static void hash_block(struct pipeline *pipeline, struct open_digests *open, const struct block *block) {
    unsigned entry;
    EVP_MD_CTX *context = digest_of(open, block->file, &entry);
    if (block->ref != 0) {
        if (EVP_DigestUpdate(context, block->data, block->length) != 1)
            openssl_failed();
        release(pipeline, block->ref);
        block->file->bytes += block->length;
        atomic_fetch_add(&pipeline->hashed_bytes, block->length);
        return;
    }
    if (EVP_DigestFinal_ex(context, block->file->digest, NULL) != 1)
        openssl_failed();
    open->files[entry] = NULL;
    if (atomic_fetch_add(&pipeline->hashed_files, 1) + 1 == pipeline->list->count) {
        pthread_mutex_lock(&pipeline->mutex);
        pthread_cond_signal(&pipeline->finished);
        pthread_mutex_unlock(&pipeline->mutex);
    }
}

static void *hasher_main(void *argument) {
    struct hasher *hasher = argument;
    struct pipeline *pipeline = hasher->pipeline;
    struct open_digests open = {0};
    struct block block;
    while (queue_pop(hasher->queue, &block))
        hash_block(pipeline, &open, &block);
    for (unsigned i = 0; i < MAX_THREADS; i++)
        EVP_MD_CTX_free(open.contexts[i]);
    return NULL;
}

/* --------------------------------------------------------------------------------------------- the whole */

static double now_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void show_progress(struct pipeline *pipeline) {
    fprintf(stderr, "\r%zu of %zu files, %.1f MB ", atomic_load(&pipeline->hashed_files),
            pipeline->list->count, (double)atomic_load(&pipeline->hashed_bytes) / 1e6);
    fflush(stderr);
}

/* Returns when the last file is hashed or given up. */
static void wait_for_last_file(struct pipeline *pipeline) {
    bool terminal = isatty(STDERR_FILENO);
    pthread_mutex_lock(&pipeline->mutex);
    while (atomic_load(&pipeline->hashed_files) < pipeline->list->count) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 100000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&pipeline->finished, &pipeline->mutex, &until);
        if (terminal)
            show_progress(pipeline);
    }
    pthread_mutex_unlock(&pipeline->mutex);
    if (terminal)
        fputc('\n', stderr);
}

static void start(pthread_t *thread, void *(*function)(void *), void *argument) {
    int error = pthread_create(thread, NULL, function, argument);
    if (error != 0) {
        fprintf(stderr, "hash_files: no thread: %s\n", strerror(error));
        exit(1);
    }
}

struct pipeline_result pipeline_run(slabby_allocator *pool, struct file_list *list, unsigned readers,
                                    unsigned hashers) {
    static struct pipeline pipeline;
    struct hasher hasher_arguments[MAX_THREADS];
    pthread_t reader_threads[MAX_THREADS];
    pthread_t hasher_threads[MAX_THREADS];

    pipeline = (struct pipeline){.pool = pool, .list = list, .hashers = hashers};
    pthread_mutex_init(&pipeline.mutex, NULL);
    pthread_cond_init(&pipeline.finished, NULL);
    slabby_status status = slabby_size(&pipeline.slab_size, pool);
    if (status != SLABBY_OK)
        die(&pipeline, "slabby_size", 0, status);

    double started = now_seconds();
    for (unsigned i = 0; i < hashers; i++) {
        queue_init(&pipeline.queues[i]);
        hasher_arguments[i] = (struct hasher){&pipeline, &pipeline.queues[i]};
        start(&hasher_threads[i], hasher_main, &hasher_arguments[i]);
    }
    for (unsigned i = 0; i < readers; i++)
        start(&reader_threads[i], reader_main, &pipeline);
    wait_for_last_file(&pipeline);
    for (unsigned i = 0; i < readers; i++)
        pthread_join(reader_threads[i], NULL);
    for (unsigned i = 0; i < hashers; i++) {
        queue_end(&pipeline.queues[i]);
        pthread_join(hasher_threads[i], NULL);
    }
    return (struct pipeline_result){
        .seconds = now_seconds() - started,
        .bytes = atomic_load(&pipeline.hashed_bytes),
        .waits = atomic_load(&pipeline.waits),
    };
}
