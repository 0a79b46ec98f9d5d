/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tiers/lease.h"

#include "os/os.h"
#include "tiers/cpu_cache.h"
#include "tiers/depot.h"
#include "tiers/gate.h"
#include "tiers/in_flight.h"
#include "tiers/shards.h"

/* Turns are folded long before their 48 bits are full. */
#define FOLD_BY (1ull << 40)

/* In front of a block's first lease: its description. */
#define DESCRIPTION_LINES 1u

/* First leases of the blocks of many pools spread over so many cache lines. */
#define FIRST_LINES 32u

_Static_assert(sizeof(struct slb_lease_block) <= DESCRIPTION_LINES * SLB_CACHE_LINE, "or more lines");

/* acquire pairs with the release of slb_leases_attach: a thread that finds a block sees all of it */
static struct slb_lease_block *first_block(struct slabby_allocator *pool) {
    return atomic_load_explicit(&pool->leases, memory_order_acquire);
}

/* relaxed: the thread that attached or detached did so under the gate lock, or is the caller */
static bool is_attached(struct slb_lease_block *block) {
    return atomic_load_explicit(&block->attached, memory_order_relaxed) != 0;
}

/* --------------------------------------------------------------------------------------------- one magazine */

static uint64_t turn_of(uint64_t header) {
    return header >> 16;
}

/* acquire: the ids below the length were stored before the header that the user, or the last unlock, released */
static bool lock_magazine(struct slb_magazine *magazine, uint64_t *out_header) {
    uint64_t header = atomic_load_explicit(&magazine->header, memory_order_relaxed);
    slb_in_flight_enter();
    while (slb_header_length(header) != SLB_CACHE_LOCKED) {
        if (atomic_compare_exchange_weak_explicit(&magazine->header, &header, header | SLB_CACHE_LOCKED,
                                                  memory_order_acquire, memory_order_relaxed)) {
            SLB_POINT(SLB_POINT_CACHE_LOCKED);
            *out_header = header;
            return true;
        }
    }
    slb_in_flight_leave();
    return false;
}

/* release: pairs with the user's compare-and-swap, and with the acquire of the next lock */
static void unlock_magazine(struct slb_magazine *magazine, uint64_t turn, uint32_t length) {
    atomic_store_explicit(&magazine->header, turn << 16 | length, memory_order_release);
    slb_in_flight_leave();
}

/* A change by the core is a turn that served nothing. It is counted before the header shows it, so that a reader, which
 * loads the header first, never counts too many. A sampling point at that turn moves to the next turn. */
static uint64_t next_turn(struct slb_magazine *magazine, uint64_t turn) {
    uint32_t at = (uint32_t)turn;
    slb_portable_count(&magazine->turned, 1);
    (void)atomic_compare_exchange_strong_explicit(&magazine->sample_at, &at, at + 1, memory_order_relaxed,
                                                  memory_order_relaxed);
    return turn + 1;
}

static uint64_t served_by(struct slb_magazine *magazine, uint64_t header) {
    return turn_of(header) - atomic_load_explicit(&magazine->turned, memory_order_seq_cst);
}

SLB_PRIVATE uint64_t slb_lease_served(struct slb_lease *lease) {
    uint64_t given = atomic_load_explicit(&lease->given.header, memory_order_seq_cst);
    uint64_t refilled = atomic_load_explicit(&lease->refilled.header, memory_order_seq_cst);
    return served_by(&lease->given, given) + served_by(&lease->refilled, refilled);
}

static bool take_from(struct slb_magazine *magazine, uint32_t *out_id, _Atomic uint64_t *by_id) {
    uint64_t header;
    if (!lock_magazine(magazine, &header))
        return false;
    uint32_t length = slb_header_length(header);
    if (length == 0) {
        unlock_magazine(magazine, turn_of(header), 0);
        return false;
    }
    *out_id = atomic_load_explicit(&magazine->ids[length - 1], memory_order_relaxed);
    if (by_id != NULL)
        slb_count_ahead(by_id, 1);
    unlock_magazine(magazine, turn_of(header) + 1, length - 1);
    return true;
}

SLB_PRIVATE bool slb_lease_take(struct slb_lease *lease, uint32_t *out_id, _Atomic uint64_t *by_id) {
    return take_from(&lease->given, out_id, by_id) || take_from(&lease->refilled, out_id, by_id);
}

/* ---------------------------------------------------------------------------------------- batches in and out */

/* Subtracts from the header first, and adds to the stripe then: a reader in between sees too few, never too many. */
static uint64_t fold(struct slb_magazine *magazine, uint64_t turn, uint64_t *out_folded) {
    uint64_t turned = atomic_load_explicit(&magazine->turned, memory_order_relaxed);
    *out_folded = turn - turned >= 2 * FOLD_BY ? FOLD_BY : 0;
    return turn - *out_folded;
}

static bool put_in(struct slb_stripe *stripe, struct slb_magazine *magazine, const uint32_t *ids,
                   uint32_t count) {
    uint64_t header, folded;
    if (!lock_magazine(magazine, &header))
        return false;
    uint32_t length = slb_header_length(header);
    bool fits = length + count <= magazine->max;
    for (uint32_t i = 0; i < count && fits; i++)
        atomic_store_explicit(&magazine->ids[length + i], ids[i], memory_order_relaxed);
    uint64_t turn = fold(magazine, next_turn(magazine, turn_of(header)), &folded);
    unlock_magazine(magazine, turn, length + (fits ? count : 0));
    slb_count(&stripe->folded, folded);
    return fits;
}

static void push_all(struct slabby_allocator *pool, const uint32_t *ids, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        slb_shards_push(pool, slb_os_cpu(), ids[i]);
}

/* The ids are counted as brought in before they enter, and counted out again where they do not enter. */
static void keep(struct slabby_allocator *pool, struct slb_stripe *stripe, struct slb_lease *lease,
                 const uint32_t *ids, uint32_t count) {
    uint32_t stored = count < lease->refilled.max ? count : lease->refilled.max;
    slb_count(&stripe->cache_in, stored);
    if (stored == 0 || !put_in(stripe, &lease->refilled, ids, stored)) {
        push_all(pool, ids, count);
        slb_count(&stripe->cache_out, stored);
        return;
    }
    push_all(pool, &ids[stored], count - stored);
}

SLB_PRIVATE bool slb_lease_refill(struct slabby_allocator *pool, struct slb_stripe *stripe,
                                  struct slb_lease *lease, uint32_t *out_id, enum slb_tier *out_tier) {
    uint32_t ids[SLB_CACHE_IDS];
    uint32_t count = 0;
    slb_move_begin(stripe);
    if (slb_depot_pop(pool, ids)) {
        count = pool->batch;
        *out_tier = SLB_TIER_DEPOT;
    } else {
        uint32_t most = lease->refilled.max + 1;
        count = slb_shards_pop_many(pool, slb_os_cpu(), ids, most < pool->batch ? most : pool->batch);
        *out_tier = SLB_TIER_SHARD;
    }
    SLB_POINT(SLB_POINT_REFILL);
    if (count != 0) {
        *out_id = ids[0];
        keep(pool, stripe, lease, &ids[1], count - 1);
    }
    slb_move_end(stripe);
    return count != 0;
}

SLB_PRIVATE void slb_lease_flush(struct slabby_allocator *pool, struct slb_stripe *stripe,
                                 struct slb_lease *lease) {
    struct slb_magazine *magazine = &lease->given;
    uint32_t ids[SLB_MAGAZINE_IDS];
    uint64_t header, folded;
    slb_move_begin(stripe);
    if (lock_magazine(magazine, &header)) {
        uint32_t length = slb_header_length(header);
        uint32_t out = length == magazine->max ? length : 0;
        for (uint32_t i = 0; i < out; i++)
            ids[i] = atomic_load_explicit(&magazine->ids[i], memory_order_relaxed);
        uint64_t turn = fold(magazine, next_turn(magazine, turn_of(header)), &folded);
        unlock_magazine(magazine, turn, length - out);
        slb_count(&stripe->folded, folded);
        SLB_POINT(SLB_POINT_FLUSH);
        if (out != 0 && (out != pool->batch || !slb_depot_push(pool, ids)))
            push_all(pool, ids, out);
        slb_count(&stripe->cache_out, out);
    }
    slb_move_end(stripe);
}

/* ------------------------------------------------------------------------------------------------- the gate */

/* A magazine that another thread of the core has locked is waited for, as slb_cache_lock does. */
static void lock_for_good(struct slb_magazine *magazine) {
    uint64_t header;
    for (uint32_t attempt = 0; !lock_magazine(magazine, &header); attempt++)
        slb_os_wait_a_little(attempt);
    slb_in_flight_leave(); /* the gate lock counts as in flight already */
    magazine->locked_length = slb_header_length(header);
}

static void lock_block(struct slb_lease_block *block) {
    for (uint32_t i = 0; i < block->count; i++) {
        lock_for_good(&block->leases[i].given);
        lock_for_good(&block->leases[i].refilled);
    }
}

static void open_magazine(struct slb_magazine *magazine) {
    uint64_t turn = turn_of(atomic_load_explicit(&magazine->header, memory_order_relaxed));
    slb_in_flight_enter();
    unlock_magazine(magazine, next_turn(magazine, turn), 0);
}

static void open_block(struct slb_lease_block *block) {
    for (uint32_t i = 0; i < block->count; i++) {
        open_magazine(&block->leases[i].given);
        open_magazine(&block->leases[i].refilled);
    }
}

static uint64_t drain_magazine(struct slabby_allocator *pool, struct slb_stripe *stripe,
                               struct slb_magazine *magazine) {
    uint32_t length = magazine->locked_length;
    magazine->locked_length = 0;
    for (uint32_t i = 0; i < length; i++)
        slb_shards_push(pool, slb_os_cpu(), atomic_load_explicit(&magazine->ids[i], memory_order_relaxed));
    slb_count(&stripe->cache_out, length);
    return length;
}

static uint64_t drain_block(struct slabby_allocator *pool, struct slb_stripe *stripe,
                            struct slb_lease_block *block) {
    uint64_t moved = 0;
    for (uint32_t i = 0; i < block->count; i++)
        moved += drain_magazine(pool, stripe, &block->leases[i].given) +
                 drain_magazine(pool, stripe, &block->leases[i].refilled);
    return moved;
}

SLB_PRIVATE void slb_leases_lock(struct slabby_allocator *pool) {
    for (struct slb_lease_block *block = first_block(pool); block != NULL; block = block->next)
        if (is_attached(block))
            lock_block(block);
}

SLB_PRIVATE uint64_t slb_leases_drain(struct slabby_allocator *pool, struct slb_stripe *stripe) {
    uint64_t moved = 0;
    for (struct slb_lease_block *block = first_block(pool); block != NULL; block = block->next)
        if (is_attached(block))
            moved += drain_block(pool, stripe, block);
    return moved;
}

SLB_PRIVATE void slb_leases_open(struct slabby_allocator *pool) {
    for (struct slb_lease_block *block = first_block(pool); block != NULL; block = block->next)
        if (is_attached(block))
            open_block(block);
}

SLB_PRIVATE void slb_leases_after_fork(struct slabby_allocator *pool) {
    for (struct slb_lease_block *block = first_block(pool); block != NULL; block = block->next) {
        for (uint32_t i = 0; i < block->count; i++) {
            atomic_fetch_or(&block->leases[i].given.header, SLB_CACHE_LOCKED);
            atomic_fetch_or(&block->leases[i].refilled.header, SLB_CACHE_LOCKED);
        }
    }
}

/* ------------------------------------------------------------------------------------ attaching and detaching */

/* All magazines of one kind in `count` leases together hold at most an eighth of the pool, and each one at most a
 * batch. */
static uint32_t magazine_max(const struct slabby_allocator *pool, uint32_t count) {
    uint64_t share = pool->reserved / (8ull * count);
    uint32_t most = pool->batch < SLB_MAGAZINE_IDS ? pool->batch : SLB_MAGAZINE_IDS;
    return share < most ? (uint32_t)share : most;
}

static struct slb_lease_block *map_block(struct slabby_allocator *pool, uint32_t count) {
    uint64_t page = slb_os_page_size();
    uint64_t first = (DESCRIPTION_LINES + slb_pool_tag(pool) % FIRST_LINES) * SLB_CACHE_LINE;
    uint64_t mapping = (first + count * sizeof(struct slb_lease) + page - 1) / page * page;
    char *memory = slb_os_map(mapping);
    if (memory == NULL)
        return NULL;
    struct slb_lease_block *block = (struct slb_lease_block *)(void *)memory;
    block->leases = (struct slb_lease *)(void *)(memory + first);
    block->mapping = mapping;
    block->count = count;
    for (uint32_t i = 0; i < count; i++) {
        block->leases[i].given.max = block->leases[i].refilled.max = magazine_max(pool, count);
        atomic_store(&block->leases[i].given.header, SLB_CACHE_LOCKED);
        atomic_store(&block->leases[i].refilled.header, SLB_CACHE_LOCKED);
    }
    return block;
}

/* Needs the gate lock. One that was detached serves again: a binding detaches only once its own code is
 * done with them. */
static struct slb_lease_block *unused_block(struct slabby_allocator *pool, uint32_t count) {
    struct slb_lease_block *block = first_block(pool);
    while (block != NULL && (is_attached(block) || block->count != count))
        block = block->next;
    if (block != NULL)
        return block;
    block = map_block(pool, count);
    if (block != NULL) {
        block->next = first_block(pool);
        atomic_store_explicit(&pool->leases, block, memory_order_release); /* pairs with first_block */
    }
    return block;
}

SLB_PRIVATE slabby_status slb_leases_attach(struct slabby_allocator *pool, uint32_t count,
                                            struct slb_lease_block **out) {
    if (pool->cache_max == 0 || magazine_max(pool, count) == 0)
        return SLABBY_NOT_SUPPORTED;
    slb_gate_lock(pool);
    struct slb_lease_block *block = unused_block(pool, count);
    if (block != NULL) {
        atomic_store_explicit(&block->attached, 1, memory_order_relaxed);
        if (atomic_load_explicit(&pool->gate.reasons, memory_order_relaxed) == 0)
            open_block(block); /* else they open with the gate */
    }
    slb_gate_unlock(pool);
    *out = block;
    return block == NULL ? SLABBY_NO_SYSTEM_MEMORY : SLABBY_OK;
}

/* While the gate is closed the magazines are locked and empty already. */
SLB_PRIVATE bool slb_leases_detach(struct slabby_allocator *pool, uint64_t address) {
    slb_gate_lock(pool);
    struct slb_lease_block *block = first_block(pool);
    while (block != NULL && ((uint64_t)(uintptr_t)block->leases != address || !is_attached(block)))
        block = block->next;
    if (block != NULL && atomic_load_explicit(&pool->gate.reasons, memory_order_relaxed) == 0) {
        struct slb_stripe *stripe = slb_stripe_here(pool);
        lock_block(block);
        slb_move_begin(stripe);
        (void)drain_block(pool, stripe, block);
        slb_move_end(stripe);
    }
    if (block != NULL)
        atomic_store_explicit(&block->attached, 0, memory_order_relaxed);
    slb_gate_unlock(pool);
    return block != NULL;
}

SLB_PRIVATE struct slb_lease *slb_lease_at(struct slabby_allocator *pool, uint64_t address) {
    for (struct slb_lease_block *block = first_block(pool); block != NULL; block = block->next) {
        uint64_t offset = address - (uint64_t)(uintptr_t)block->leases;
        uint64_t at = offset / sizeof(struct slb_lease);
        if (at < block->count && offset % sizeof(struct slb_lease) == 0)
            return is_attached(block) ? &block->leases[at] : NULL;
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------------ observing */

static void sample_next(struct slb_magazine *magazine) {
    uint64_t header = atomic_load_explicit(&magazine->header, memory_order_relaxed);
    atomic_store_explicit(&magazine->sample_at, (uint32_t)turn_of(header), memory_order_relaxed);
}

/* relaxed: the magazines are locked, and opening them releases */
SLB_PRIVATE void slb_leases_sample_next(struct slabby_allocator *pool) {
    for (struct slb_lease_block *block = first_block(pool); block != NULL; block = block->next) {
        for (uint32_t i = 0; i < block->count; i++) {
            struct slb_lease *lease = &block->leases[i];
            sample_next(&lease->given);
            sample_next(&lease->refilled);
            atomic_store_explicit(&lease->sampled_at, slb_lease_served(lease), memory_order_relaxed);
        }
    }
}

/* The core locks a header for a few instructions: read it again, so that the ids below it are not missed. */
static uint64_t read_magazine(struct slabby_allocator *pool, struct slb_lease_block *block,
                              struct slb_magazine *magazine, uint32_t attempts) {
    uint64_t header = atomic_load_explicit(&magazine->header, memory_order_seq_cst);
    for (uint32_t attempt = 0; attempt < attempts; attempt++) {
        if (slb_header_length(header) != SLB_CACHE_LOCKED || !is_attached(block) ||
            atomic_load_explicit(&pool->gate.reasons, memory_order_relaxed))
            break;
        slb_os_wait_a_little(attempt);
        header = atomic_load_explicit(&magazine->header, memory_order_seq_cst);
    }
    return header;
}

static void count_magazine(struct slabby_allocator *pool, struct slb_lease_block *block,
                           struct slb_magazine *magazine, uint32_t attempts, struct slb_lease_counts *out) {
    uint64_t header = read_magazine(pool, block, magazine, attempts);
    out->locked |= slb_header_length(header) == SLB_CACHE_LOCKED && is_attached(block);
    out->served += served_by(magazine, header);
    out->cached += slb_header_ids(header);
}

SLB_PRIVATE struct slb_lease_counts slb_leases_count(struct slabby_allocator *pool, uint32_t attempts) {
    struct slb_lease_counts out = {0, 0, 0, 0, false};
    for (struct slb_lease_block *block = first_block(pool); block != NULL; block = block->next) {
        for (uint32_t i = 0; i < block->count; i++) {
            struct slb_lease *lease = &block->leases[i];
            count_magazine(pool, block, &lease->given, attempts, &out);
            count_magazine(pool, block, &lease->refilled, attempts, &out);
            out.fast_taken += atomic_load_explicit(&lease->fast_taken, memory_order_seq_cst);
            out.fast_given += atomic_load_explicit(&lease->fast_given, memory_order_seq_cst);
        }
    }
    return out;
}

SLB_PRIVATE uint64_t slb_leases_bytes(struct slabby_allocator *pool) {
    uint64_t bytes = 0;
    for (struct slb_lease_block *block = first_block(pool); block != NULL; block = block->next)
        bytes += block->mapping;
    return bytes;
}

SLB_PRIVATE void slb_leases_forget(struct slabby_allocator *pool) {
    struct slb_lease_block *block = first_block(pool);
    atomic_store_explicit(&pool->leases, NULL, memory_order_relaxed);
    while (block != NULL) {
        struct slb_lease_block *next = block->next;
        slb_os_unmap(block, block->mapping);
        block = next;
    }
}
