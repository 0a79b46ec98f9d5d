/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "observe/labels.h"

#include "os/os.h"
#include "ref.h"

#define LABEL_WRITING (1ull << 63)

static uint64_t labels_size(struct slabby_allocator *pool) {
    uint64_t page = slb_os_page_size();
    uint64_t size = ((uint64_t)pool->reserved + pool->heap.limit) * sizeof(struct slb_label);
    return (size + page - 1) / page * page;
}

SLB_PRIVATE uint64_t slb_labels_bytes(struct slabby_allocator *pool) {
    return atomic_load_explicit(&pool->labels, memory_order_relaxed) == NULL ? 0 : labels_size(pool);
}

SLB_PRIVATE void slb_labels_forget(struct slabby_allocator *pool) {
    slb_os_unmap(atomic_load(&pool->labels), labels_size(pool));
    atomic_store(&pool->labels, NULL);
}

/* Threads may race to map the table: the first publishes it, the others unmap theirs. */
static struct slb_label *labels_table(struct slabby_allocator *pool) {
    struct slb_label *table = atomic_load_explicit(&pool->labels, memory_order_acquire);
    if (table != NULL)
        return table;
    struct slb_label *mine = slb_os_map(labels_size(pool));
    if (mine == NULL)
        return NULL;
    if (atomic_compare_exchange_strong_explicit(&pool->labels, &table, mine, memory_order_acq_rel,
                                                memory_order_acquire))
        return mine;
    slb_os_unmap(mine, labels_size(pool));
    return table;
}

/* The writer marks the entry as being written, checks again that the reference is live, writes, and clears the mark.
 * If a release overtakes the writer, the entry carries an old generation, and no reader uses it. */
SLB_PRIVATE slabby_status slb_label_set(struct slabby_allocator *pool, slabby_ref ref, uint64_t label) {
    uint64_t word;
    uint32_t id;
    struct slb_label *table = NULL;
    if (slb_pool_exists(pool) && slb_ref_live_word(pool, ref, &id, &word)) {
        table = labels_table(pool);
        if (table == NULL)
            return SLABBY_NO_SYSTEM_MEMORY;
    }
    for (uint32_t attempt = 0; table != NULL && slb_ref_live_word(pool, ref, &id, &word); attempt++) {
        struct slb_label *entry = &table[id];
        uint64_t owner = slb_word_generation(pool->id_bits, word) + 1;
        uint64_t before = atomic_load_explicit(&entry->owner, memory_order_relaxed);
        if ((before & LABEL_WRITING) == 0 &&
            atomic_compare_exchange_strong_explicit(&entry->owner, &before, owner | LABEL_WRITING,
                                                    memory_order_acquire, memory_order_relaxed)) {
            atomic_store_explicit(&entry->label, label, memory_order_relaxed);
            /* release: a reader who sees the owner sees the label */
            atomic_store_explicit(&entry->owner, owner, memory_order_release);
            return SLABBY_OK;
        }
        slb_os_wait_a_little(attempt);
    }
    return slb_ref_refusal(pool, ref, SLABBY_USE_AFTER_FREE);
}

SLB_PRIVATE uint64_t slb_label_of(struct slabby_allocator *pool, uint32_t id, uint64_t generation) {
    struct slb_label *table = atomic_load_explicit(&pool->labels, memory_order_acquire);
    if (table == NULL)
        return 0;
    for (uint32_t attempt = 0;; attempt++) {
        uint64_t owner = atomic_load_explicit(&table[id].owner, memory_order_acquire);
        uint64_t label = atomic_load_explicit(&table[id].label, memory_order_acquire);
        bool steady = (owner & LABEL_WRITING) == 0 &&
                      atomic_load_explicit(&table[id].owner, memory_order_relaxed) == owner;
        if (steady)
            return owner == generation + 1 ? label : 0;
        slb_os_wait_a_little(attempt);
    }
}

SLB_PRIVATE slabby_status slb_label_get(struct slabby_allocator *pool, slabby_ref ref, uint64_t *out_label) {
    uint64_t word;
    uint32_t id;
    if (!slb_pool_exists(pool) || !slb_ref_live_word(pool, ref, &id, &word))
        return slb_ref_refusal(pool, ref, SLABBY_USE_AFTER_FREE);
    *out_label = slb_label_of(pool, id, slb_word_generation(pool->id_bits, word));
    return SLABBY_OK;
}
