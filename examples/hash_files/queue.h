/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A bounded queue of blocks between reading and hashing threads. Who pops a block owns its slab. */
#ifndef HASH_FILES_QUEUE_H
#define HASH_FILES_QUEUE_H

#include "file_list.h"

#include <pthread.h>
#include <slabby/slabby.h>
#include <stdbool.h>

#define QUEUE_BLOCKS 32

/* `length` bytes of a file in a slab. The last message of a file has no slab: ref 0 and length 0. */
struct block {
    struct file *file;
    slabby_ref ref;
    void *data;
    size_t length;
};

struct queue {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct block blocks[QUEUE_BLOCKS];
    size_t first;
    size_t count;
    bool ended; /* nothing will be pushed any more */
};

void queue_init(struct queue *queue);

/* Waits while the queue is full. */
void queue_push(struct queue *queue, struct block block);

/* Waits for a block; false when the queue is empty and ended. */
bool queue_pop(struct queue *queue, struct block *out_block);

void queue_end(struct queue *queue);

#endif
