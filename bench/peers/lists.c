/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lists.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define LINE 64u

static size_t stride_of(size_t size) {
    size_t stride = (size + LINE - 1) / LINE * LINE;
    return stride % 512 == 0 ? stride + LINE : stride;
}

/* ------------------------------------------------------------------------------------------- locked list */

struct locked_list {
    pthread_mutex_t lock;
    void *head;
    char *objects;
};

struct locked_list *locked_list_create(size_t size, uint32_t capacity) {
    size_t stride = stride_of(size);
    struct locked_list *list = malloc(sizeof *list);
    char *objects = aligned_alloc(LINE, stride * capacity);
    if (list == NULL || objects == NULL) {
        free(list);
        free(objects);
        return NULL;
    }
    *list = (struct locked_list){.objects = objects};
    pthread_mutex_init(&list->lock, NULL);
    for (uint32_t i = capacity; i-- > 0;) {
        void *object = objects + i * stride;
        *(void **)object = list->head;
        list->head = object;
    }
    return list;
}

void locked_list_destroy(struct locked_list *list) {
    pthread_mutex_destroy(&list->lock);
    free(list->objects);
    free(list);
}

void *locked_list_take(struct locked_list *list) {
    pthread_mutex_lock(&list->lock);
    void *object = list->head;
    if (object != NULL)
        list->head = *(void **)object;
    pthread_mutex_unlock(&list->lock);
    return object;
}

void locked_list_give(struct locked_list *list, void *object) {
    pthread_mutex_lock(&list->lock);
    *(void **)object = list->head;
    list->head = object;
    pthread_mutex_unlock(&list->lock);
}

uint32_t locked_list_count(struct locked_list *list) {
    uint32_t count = 0;
    for (void *object = list->head; object != NULL; object = *(void **)object)
        count++;
    return count;
}

/* ------------------------------------------------------------------------------------------ tagged stack */

#define STACK_END UINT32_MAX

struct tagged_stack {
    _Alignas(LINE) _Atomic uint64_t head; /* tag:32, number of the first object:32 */
    _Alignas(LINE) _Atomic uint32_t *next;
    char *objects;
    size_t stride;
};

struct tagged_stack *tagged_stack_create(size_t size, uint32_t capacity) {
    size_t stride = stride_of(size);
    struct tagged_stack *stack = aligned_alloc(LINE, sizeof *stack);
    char *objects = aligned_alloc(LINE, stride * capacity);
    _Atomic uint32_t *next = malloc(capacity * sizeof *next);
    if (stack == NULL || objects == NULL || next == NULL) {
        free(stack);
        free(objects);
        free((void *)next);
        return NULL;
    }
    for (uint32_t i = 0; i < capacity; i++)
        atomic_init(&next[i], i + 1 < capacity ? i + 1 : STACK_END);
    atomic_init(&stack->head, 0);
    stack->next = next;
    stack->objects = objects;
    stack->stride = stride;
    return stack;
}

void tagged_stack_destroy(struct tagged_stack *stack) {
    free((void *)stack->next);
    free(stack->objects);
    free(stack);
}

int64_t tagged_stack_take(struct tagged_stack *stack, void **data) {
    /* acquire: pairs with the release in tagged_stack_give, which published the next of this object */
    uint64_t head = atomic_load_explicit(&stack->head, memory_order_acquire);
    for (;;) {
        uint32_t number = (uint32_t)head;
        if (number == STACK_END)
            return -1;
        uint64_t next = atomic_load_explicit(&stack->next[number], memory_order_relaxed);
        uint64_t tag = (head >> 32) + 1;
        if (atomic_compare_exchange_weak_explicit(&stack->head, &head, tag << 32 | next, memory_order_acquire,
                                                  memory_order_acquire)) {
            *data = stack->objects + number * stack->stride;
            return number;
        }
    }
}

void tagged_stack_give(struct tagged_stack *stack, uint32_t number) {
    uint64_t head = atomic_load_explicit(&stack->head, memory_order_relaxed);
    uint64_t changed;
    do {
        atomic_store_explicit(&stack->next[number], (uint32_t)head, memory_order_relaxed);
        changed = ((head >> 32) + 1) << 32 | number;
    } while (!atomic_compare_exchange_weak_explicit(&stack->head, &head, changed, memory_order_release,
                                                    memory_order_relaxed));
}

uint32_t tagged_stack_count(struct tagged_stack *stack) {
    uint32_t count = 0;
    for (uint32_t number = (uint32_t)atomic_load(&stack->head); number != STACK_END;
         number = atomic_load(&stack->next[number]))
        count++;
    return count;
}
