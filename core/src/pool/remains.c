/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The last step of a pool's end: its bookkeeping is unmapped, once no call holds it. */
#include "observe/labels.h"
#include "observe/leaks.h"
#include "observe/stacks.h"
#include "os/os.h"
#include "pool.h"
#include "protect/guard_slots.h"
#include "tiers/heap.h"
#include "tiers/lease.h"

/* It is enough to read the counts one after the other and find 0 in each: a thread that begins a hold from now on sees
 * that there is no pool. */
static bool anybody_holds(struct slabby_allocator *pool) {
    for (uint32_t i = 0; i < SLB_HOLD_COUNTS; i++)
        if (atomic_load_explicit(&pool->holds[i].count, memory_order_seq_cst) != 0)
            return true;
    return false;
}

/* If several threads find that the last hold has ended, one of them unmaps. `remains` is read before the holds: the
 * swap fails if the entry has had another pool since, which may be held. After the last step the entry may be taken
 * (release, pairs with take_entry). */
SLB_PRIVATE SLB_COLD void slb_pool_unmap_remains(struct slabby_allocator *pool) {
    uint64_t unused = atomic_load_explicit(&pool->remains, memory_order_seq_cst);
    if ((unused & SLB_REMAINS_STATE) != SLB_REMAINS_UNUSED || anybody_holds(pool))
        return;
    SLB_POINT(SLB_POINT_UNHELD);
    if (!atomic_compare_exchange_strong_explicit(&pool->remains, &unused,
                                                 unused - SLB_REMAINS_UNUSED + SLB_REMAINS_USED,
                                                 memory_order_acq_rel, memory_order_relaxed))
        return;
    slb_heap_forget(pool);
    slb_labels_forget(pool);
    slb_leaks_forget(pool);
    slb_stacks_forget(pool);
    slb_guards_forget(pool);
    slb_leases_forget(pool);
    slb_os_unmap(pool->metadata_mapping, pool->metadata_mapping_size);
    pool->metadata_mapping = NULL;
    atomic_fetch_sub_explicit(&pool->remains, SLB_REMAINS_USED, memory_order_release);
}
