/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tiers/regroup.h"

#include "os/os.h"
#include "tiers/id_order.h"
#include "tiers/stack.h"

#include <string.h>

/* A thousandth of the time. */
#define PAUSE_LOG2 10

#ifndef SLB_AMALGAMATION
struct slb_id_set slb_id_set;
#endif

/* acquire: pairs with the release of the thread that had it before */
static bool take_set(void) {
    uint32_t taken = 0;
    if (!atomic_compare_exchange_strong_explicit(&slb_id_set.taken, &taken, 1, memory_order_acquire,
                                                 memory_order_relaxed))
        return false;
    slb_id_set.lowest = 0;
    memset(slb_id_set.bits, 0, sizeof slb_id_set.bits);
    return true;
}

static void give_set(void) {
    atomic_store_explicit(&slb_id_set.taken, 0, memory_order_release);
}

SLB_PRIVATE void slb_regroup_after_fork(void) {
    give_set();
}

static void add_ids(uint32_t *ids, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        slb_id_set.bits[ids[i] / 64] |= 1ull << ids[i] % 64;
}

/* The set has at least as many. */
static void take_lowest(uint32_t *out_ids, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        while (slb_id_set.bits[slb_id_set.lowest] == 0)
            slb_id_set.lowest++;
        uint64_t bits = slb_id_set.bits[slb_id_set.lowest];
        out_ids[i] = slb_id_set.lowest * 64 + (uint32_t)__builtin_ctzll(bits);
        slb_id_set.bits[slb_id_set.lowest] = bits & (bits - 1);
    }
}

/* Batches that were popped together, from `top` down; their nodes stay linked. */
struct batch_chain {
    uint32_t top, last, length;
};

static struct batch_chain pop_chain(struct slabby_allocator *pool, uint32_t most) {
    struct batch_chain chain = {0, 0, 0};
    chain.length =
        slb_stack_pop_chain(&pool->depot.heads->full, pool->depot.next, most, &chain.top, &chain.last);
    return chain;
}

static void push_chain(struct slabby_allocator *pool, const struct batch_chain *chain) {
    if (chain->length != 0)
        slb_stack_push_chain(&pool->depot.heads->full, pool->depot.next, chain->top, chain->last);
}

/* relaxed: this thread has acquired the chain, and nobody else changes its links */
static void for_each_batch(struct slabby_allocator *pool, const struct batch_chain *chain,
                           void (*act)(uint32_t *ids, uint32_t count)) {
    uint32_t node = chain->top;
    for (uint32_t i = 0; i < chain->length; i++) {
        act(&pool->depot.ids[(uint64_t)node * pool->batch], pool->batch);
        node = atomic_load_explicit(&pool->depot.next[node], memory_order_relaxed) - 1;
    }
}

/* With the set. False if the depot has too few batches. */
static bool regroup(struct slabby_allocator *pool, uint32_t *ids, uint32_t count) {
    uint32_t length =
        slb_stack_length(&pool->depot.heads->full, pool->depot.next, SLB_REGROUP_BATCHES * 4 / 3);
    uint32_t least = slb_used_cpus(pool);
    struct batch_chain spare = pop_chain(pool, length / 4 > least ? length / 4 : least);
    struct batch_chain chain = pop_chain(pool, SLB_REGROUP_BATCHES);
    push_chain(pool, &spare);
    if (chain.length == 0)
        return false;
    SLB_POINT(SLB_POINT_REFILL);
    add_ids(ids, count);
    for_each_batch(pool, &chain, add_ids);
    take_lowest(ids, count);
    for_each_batch(pool, &chain, take_lowest);
    push_chain(pool, &chain);
    return true;
}

/* relaxed: a hint */
SLB_PRIVATE void slb_regroup_if_due(struct slabby_allocator *pool, uint32_t *ids, uint32_t count) {
    if (pool->reserved > SLB_REGROUP_IDS || !slb_ids_are_scattered(ids, count))
        return;
    uint64_t now = slb_os_ticks();
    if (now < atomic_load_explicit(&pool->regroup_after, memory_order_relaxed) || !take_set())
        return;
    (void)regroup(pool, ids, count);
    give_set();
    uint64_t ended = slb_os_ticks();
    atomic_store_explicit(&pool->regroup_after, ended + ((ended - now) << PAUSE_LOG2), memory_order_relaxed);
}
