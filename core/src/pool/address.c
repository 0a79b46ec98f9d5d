/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "pool/address.h"

#include "protect/guard_slots.h"
#include "resilience/fork.h"
#include "tiers/heap.h"
#include "tiers/hold.h"

SLB_PRIVATE bool slb_address_find_elsewhere(struct slabby_allocator *pool, uintptr_t address,
                                            uint32_t *out_id) {
    struct slb_fault_info info;
    if (slb_guard_locate(pool, address, &info)) {
        *out_id = info.id;
        return info.offset == 0 && !info.released;
    }
    return slb_heap_find(pool, address, 1, out_id);
}

static bool holds(struct slabby_allocator *pool, uintptr_t address) {
    struct slb_fault_info info;
    uint32_t id;
    return address - (uintptr_t)pool->slab_mapping < pool->slab_mapping_size ||
           slb_guard_locate(pool, address, &info) || slb_heap_find(pool, address, pool->slab_size, &id);
}

static bool exists_and_holds(struct slabby_allocator *pool, uintptr_t address) {
    if (!slb_pool_exists(pool))
        return false;
    SLB_HOLD(pool);
    return slb_pool_exists(pool) && holds(pool, address);
}

SLB_PRIVATE struct slabby_allocator *slb_address_pool(uintptr_t address) {
    struct slabby_allocator *found = NULL;
    slb_pool_table_lock(); /* no entry gets another pool meanwhile */
    for (uint32_t i = 1; i < SLB_POOL_ENTRIES && found == NULL; i++)
        if (exists_and_holds(&slb_pool_table[i].pool, address))
            found = &slb_pool_table[i].pool;
    slb_pool_table_unlock();
    return found;
}
