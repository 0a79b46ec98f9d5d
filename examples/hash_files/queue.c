/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "queue.h"

void queue_init(struct queue *queue) {
    *queue = (struct queue){.count = 0};
    pthread_mutex_init(&queue->mutex, NULL);
    pthread_cond_init(&queue->changed, NULL);
}

void queue_push(struct queue *queue, struct block block) {
    pthread_mutex_lock(&queue->mutex);
    while (queue->count == QUEUE_BLOCKS)
        pthread_cond_wait(&queue->changed, &queue->mutex);
    queue->blocks[(queue->first + queue->count++) % QUEUE_BLOCKS] = block;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->mutex);
}

bool queue_pop(struct queue *queue, struct block *out_block) {
    pthread_mutex_lock(&queue->mutex);
    while (queue->count == 0 && !queue->ended)
        pthread_cond_wait(&queue->changed, &queue->mutex);
    bool found = queue->count > 0;
    if (found) {
        *out_block = queue->blocks[queue->first];
        queue->first = (queue->first + 1) % QUEUE_BLOCKS;
        queue->count--;
        pthread_cond_broadcast(&queue->changed);
    }
    pthread_mutex_unlock(&queue->mutex);
    return found;
}

void queue_end(struct queue *queue) {
    pthread_mutex_lock(&queue->mutex);
    queue->ended = true;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->mutex);
}
