/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tiers/depot.h"

#include "tiers/stack.h"

#include <string.h>

static bool depot_take_empty_node(struct slb_depot *depot, uint32_t *out_node) {
    if (slb_stack_pop(&depot->heads->empty, depot->next, out_node))
        return true;
    uint64_t fresh;
    if (slb_bump(&depot->heads->used, depot->nodes, 1, &fresh) == 0)
        return false;
    *out_node = (uint32_t)fresh;
    return true;
}

/* The ids are plain memory: the push of the node releases them, the pop acquires them, and no thread reads between.
 * */
SLB_PRIVATE bool slb_depot_push(struct slabby_allocator *pool, const uint32_t *ids) {
    uint32_t node;
    if (!depot_take_empty_node(&pool->depot, &node))
        return false;
    memcpy(&pool->depot.ids[(uint64_t)node * pool->batch], ids, pool->batch * sizeof *ids);
    slb_stack_push(&pool->depot.heads->full, pool->depot.next, node);
    return true;
}

SLB_PRIVATE bool slb_depot_pop(struct slabby_allocator *pool, uint32_t *out_ids) {
    uint32_t node;
    if (!slb_stack_pop(&pool->depot.heads->full, pool->depot.next, &node))
        return false;
    memcpy(out_ids, &pool->depot.ids[(uint64_t)node * pool->batch], pool->batch * sizeof *out_ids);
    slb_stack_push(&pool->depot.heads->empty, pool->depot.next, node);
    return true;
}
