/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "pool/memory_report.h"

#include "observe/labels.h"
#include "os/os.h"
#include "protect/guard_slots.h"
#include "tiers/heap.h"
#include "tiers/lease.h"

#include <string.h>

SLB_PRIVATE void slb_memory_fill(struct slabby_allocator *pool, slabby_memory *out) {
    memset(out, 0, sizeof *out);
    out->slab_bytes = slb_capacity(pool) * pool->slab_size;
    out->stride = pool->stride;
    out->capacity = slb_capacity(pool);
    memcpy(out->name, pool->options.name, sizeof pool->options.name);
    out->reserved_bytes = pool->slab_mapping_size;
    out->guard_bytes =
        pool->slab_mapping_size - pool->slab_range + pool->guard_bytes + slb_guards_bytes(pool);
    out->word_bytes = pool->reserved * sizeof(uint64_t);
    out->list_bytes = pool->list_bytes;
    out->cache_bytes = pool->cache_bytes + slb_leases_bytes(pool);
    out->record_bytes = pool->record_bytes;
    if (slb_option(&pool->options, SLABBY_OPTION_HUGE_PAGES))
        out->huge_page_bytes = slb_os_huge_bytes(pool->slab_base, pool->slab_range);
    out->label_bytes = slb_labels_bytes(pool);
    out->heap_table_bytes = slb_heap_table_bytes(pool);
    out->heap_bytes = atomic_load_explicit(&pool->heap.live, memory_order_relaxed) * pool->slab_size;
}
