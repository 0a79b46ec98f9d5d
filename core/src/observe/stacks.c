/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "observe/stacks.h"

#include "observe/ref_text.h"
#include "os/os.h"
#include "os/stack.h"
#include "ref.h"

#include <string.h>

static uint64_t stacks_size(struct slabby_allocator *pool) {
    uint64_t page = slb_os_page_size();
    uint64_t size = ((uint64_t)pool->reserved + pool->heap.limit) * sizeof(struct slb_stacks);
    return (size + page - 1) / page * page;
}

SLB_PRIVATE void slb_stacks_forget(struct slabby_allocator *pool) {
    slb_os_unmap(atomic_load(&pool->stacks), stacks_size(pool));
    atomic_store(&pool->stacks, NULL);
}

/* Threads may race to map the table: the first publishes it, the others unmap theirs. */
SLB_PRIVATE bool slb_stacks_prepare(struct slabby_allocator *pool) {
    struct slb_stacks *table = atomic_load_explicit(&pool->stacks, memory_order_acquire);
    slb_os_stack_prime();
    if (table != NULL)
        return true;
    struct slb_stacks *mine = slb_os_map(stacks_size(pool));
    if (mine == NULL)
        return false;
    /* release: pairs with the acquire of stacks_of */
    if (!atomic_compare_exchange_strong_explicit(&pool->stacks, &table, mine, memory_order_acq_rel,
                                                 memory_order_acquire))
        slb_os_unmap(mine, stacks_size(pool));
    return true;
}

static struct slb_stacks *stacks_of(struct slabby_allocator *pool, uint32_t id) {
    struct slb_stacks *table = atomic_load_explicit(&pool->stacks, memory_order_acquire);
    return table == NULL ? NULL : &table[id];
}

SLB_PRIVATE SLB_COLD void slb_stacks_allocated(struct slabby_allocator *pool, uint32_t id,
                                               uint64_t generation) {
    struct slb_stacks *stacks = slb_degrade_thins(&pool->degrade, id) ? NULL : stacks_of(pool, id);
    if (stacks != NULL)
        slb_stack_record(&stacks->allocated, generation);
}

SLB_PRIVATE SLB_COLD void slb_stacks_released(struct slabby_allocator *pool, uint32_t id,
                                              uint64_t generation) {
    struct slb_stacks *stacks = slb_degrade_thins(&pool->degrade, id) ? NULL : stacks_of(pool, id);
    if (stacks != NULL)
        slb_stack_record(&stacks->released, generation);
}

SLB_PRIVATE bool slb_stacks_read(struct slabby_allocator *pool, uint32_t id, uint64_t generation,
                                 bool released, struct slb_trace *out) {
    struct slb_stacks *stacks = stacks_of(pool, id);
    return (stacks != NULL && slb_stack_read(released ? &stacks->released : &stacks->allocated, out) &&
            out->generation == generation) ||
           slb_guard_trace(pool, id, generation, released, out);
}

SLB_PRIVATE bool slb_stacks_print(struct slb_text *text, struct slabby_allocator *pool, uint32_t id,
                                  uint64_t generation) {
    struct slb_trace trace;
    uint64_t now = slb_os_now_ns(); /* once: to find the names of the first stack takes milliseconds */
    bool allocated = slb_stacks_read(pool, id, generation, false, &trace);
    if (allocated)
        slb_trace_print(text, "allocated", &trace, now);
    bool released = slb_stacks_read(pool, id, generation, true, &trace);
    if (released)
        slb_trace_print(text, "released", &trace, now);
    return allocated || released;
}

SLB_PRIVATE slabby_status slb_stacks_text(struct slb_text *text, struct slabby_allocator *pool,
                                          slabby_ref ref) {
    uint64_t generation;
    uint32_t id;
    if (!slb_ref_split(pool, ref, &generation, &id) ||
        generation >
            slb_word_generation(pool->id_bits, atomic_load_explicit(&pool->words[id], memory_order_relaxed)))
        return SLABBY_INVALID_REFERENCE;
    struct slb_text stacks = {.buffer = NULL};
    if (!slb_stacks_print(&stacks, pool, id, generation))
        return SLABBY_OK;
    slabby_status status = slb_ref_text(text, pool, ref);
    (void)slb_stacks_print(text, pool, id, generation);
    return status;
}
