/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tiers/heap.h"

#include "os/os.h"
#include "tiers/in_flight.h"
#include "tiers/stack.h"

#include <string.h>

static uint64_t heap_table_size(struct slabby_allocator *pool) {
    uint64_t page = slb_os_page_size();
    return (pool->heap.limit * sizeof(void *) + page - 1) / page * page;
}

SLB_PRIVATE uint64_t slb_heap_table_bytes(struct slabby_allocator *pool) {
    bool mapped = atomic_load_explicit(&pool->heap.table, memory_order_relaxed) != NULL;
    return mapped ? heap_table_size(pool) : 0;
}

SLB_PRIVATE void slb_heap_forget(struct slabby_allocator *pool) {
    slb_os_unmap((void *)atomic_load(&pool->heap.table), heap_table_size(pool));
    atomic_store(&pool->heap.table, NULL);
}

/* Threads may race to map the table: the first publishes it (release, pairs with slb_heap_data), the others unmap. */
static bool heap_map_table(struct slabby_allocator *pool) {
    _Atomic(void *) *table = atomic_load_explicit(&pool->heap.table, memory_order_acquire);
    if (table == NULL) {
        _Atomic(void *) *mine = slb_os_map(heap_table_size(pool));
        if (mine == NULL)
            return false;
        if (!atomic_compare_exchange_strong_explicit(&pool->heap.table, &table, mine, memory_order_acq_rel,
                                                     memory_order_acquire))
            slb_os_unmap((void *)mine, heap_table_size(pool));
    }
    /* from now on references to heap slabs are in range */
    atomic_store_explicit(&pool->id_limit, pool->reserved + pool->heap.limit, memory_order_release);
    return true;
}

static bool heap_take_id(struct slabby_allocator *pool, uint32_t *out_id) {
    if (slb_stack_pop(&pool->heap.head, pool->next, out_id))
        return true;
    uint64_t first;
    if (slb_bump(&pool->heap.used, pool->heap.limit, 1, &first) == 0)
        return false;
    *out_id = pool->reserved + (uint32_t)first;
    return true;
}

static size_t heap_alignment(const struct slabby_allocator *pool) {
    size_t alignment = (size_t)slb_option(&pool->options, SLABBY_OPTION_ALIGNMENT);
    return alignment < sizeof(void *) ? sizeof(void *) : alignment;
}

/* Room before the user's first byte: for the front pattern of bit_guard, in whole alignment units. */
static size_t heap_front(const struct slabby_allocator *pool) {
    size_t alignment = heap_alignment(pool);
    return (pool->guard_front + alignment - 1) / alignment * alignment;
}

static void *heap_memory(struct slabby_allocator *pool) {
    size_t size = heap_front(pool) + pool->slab_size + pool->guard_back;
    void *memory = slb_os_heap_allocate(heap_alignment(pool), size);
    return memory == NULL ? NULL : (char *)memory + heap_front(pool);
}

SLB_PRIVATE void slb_heap_clean(struct slabby_allocator *pool, uint32_t id) {
    if (atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_SECURE)
        memset(slb_heap_data(&pool->heap, id - pool->reserved), 0, pool->slab_size);
}

SLB_PRIVATE slabby_status slb_heap_take(struct slabby_allocator *pool, uint32_t *out_id) {
    uint32_t id;
    /* seq_cst: behind the reason that a waiter has set at the gate, see change_heap in pool/hot_options.c */
    if (atomic_load_explicit(&pool->heap.enabled, memory_order_seq_cst) == 0)
        return SLABBY_OUT_OF_MEMORY;
    if (!heap_map_table(pool))
        return SLABBY_NO_SYSTEM_MEMORY;
    if (!heap_take_id(pool, &id))
        return SLABBY_OUT_OF_MEMORY;
    void *memory = heap_memory(pool);
    if (memory == NULL) {
        slb_stack_push(&pool->heap.head, pool->next, id);
        return SLABBY_NO_SYSTEM_MEMORY;
    }
    _Atomic(void *) *table = atomic_load_explicit(&pool->heap.table, memory_order_relaxed);
    atomic_store_explicit(&table[id - pool->reserved], memory, memory_order_release);
    slb_count(&pool->heap.live, 1);
    *out_id = id;
    return SLABBY_OK;
}

/* The pointer is cleared before the memory is freed, so that a stale reader gets null and never another slab's data. */
SLB_PRIVATE void slb_heap_give(struct slabby_allocator *pool, uint32_t id, bool reusable) {
    _Atomic(void *) *table = atomic_load_explicit(&pool->heap.table, memory_order_acquire);
    char *data = atomic_exchange_explicit(&table[id - pool->reserved], NULL, memory_order_acq_rel);
    slb_os_heap_free(data - heap_front(pool));
    atomic_fetch_sub_explicit(&pool->heap.live, 1, memory_order_relaxed);
    if (reusable)
        slb_stack_push(&pool->heap.head, pool->next, id);
}

/* acquire pairs with the release store of slb_heap_take, as in slb_heap_data; relaxed: this thread has not been given
 * any id beyond the count. */
SLB_PRIVATE bool slb_heap_find(struct slabby_allocator *pool, uintptr_t address, uint64_t bytes,
                               uint32_t *out_id) {
    uint64_t used = atomic_load_explicit(&pool->heap.used, memory_order_relaxed);
    for (uint64_t i = 0; i < used && i < pool->heap.limit; i++) {
        uintptr_t data = (uintptr_t)slb_heap_data(&pool->heap, (uint32_t)i);
        if (data != 0 && address - data < bytes) {
            *out_id = pool->reserved + (uint32_t)i;
            return true;
        }
    }
    return false;
}
