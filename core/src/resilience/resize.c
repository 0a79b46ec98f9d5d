/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "resilience/resize.h"

#include "observe/counters.h"
#include "observe/events.h"
#include "os/os.h"
#include "protect/free_ids.h"
#include "protect/slab_commit.h"
#include "protect/slab_pages.h"
#include "resilience/degrade.h"
#include "status.h"
#include "tiers/gate.h"
#include "tiers/in_flight.h"
#include "tiers/shards.h"
#include "tiers/stack.h"
#include "tiers/used_slabs.h"

#include <errno.h>
#include <inttypes.h>

/* How many slabs are given up or returned to service while the lock is held once. */
#define RESIZE_STEP 256u

/* Only holders of the lock count; the others read. */
static void count_given_up(struct slabby_allocator *pool, int64_t change) {
    uint32_t before = atomic_load_explicit(&pool->capacity.given_up, memory_order_relaxed);
    atomic_store_explicit(&pool->capacity.given_up, (uint32_t)(before + change), memory_order_relaxed);
}

/* -------------------------------------------------------------------------------------------------- pages */

static bool is_given_up(struct slabby_allocator *pool, uint32_t id) {
    if (!slb_slab_was_used(pool, id))
        return slb_slab_is_withheld(pool, id);
    uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_relaxed);
    return slb_word_state(word) == SLABBY_SLAB_STATE_CLAIMED;
}

/* Returns the pages of this slab to the system; the pages at its two ends only if the neighbours on them are given up
 * too. */
static void discard_pages(struct slabby_allocator *pool, uint32_t id) {
    uint64_t page = slb_os_page_size(), first = id, last = id + 1ull;
    uint64_t start = id * pool->stride / page * page;
    uint64_t end = ((id + 1ull) * pool->stride + page - 1) / page * page;
    while (first > 0 && first * pool->stride > start && is_given_up(pool, (uint32_t)first - 1))
        first--;
    while (last < pool->reserved && last * pool->stride < end && is_given_up(pool, (uint32_t)last))
        last++;
    if (first * pool->stride > start)
        start += page;
    if (last < pool->reserved && last * pool->stride < end)
        end -= page;
    if (start < end)
        (void)slb_discard_slab_pages(pool, start, end); /* locked pages stay */
}

SLB_PRIVATE void slb_resize_discard_claimed(struct slabby_allocator *pool) {
    for (uint32_t id = slb_next_used(pool, 0); id < pool->reserved; id = slb_next_used(pool, id + 1))
        if (is_given_up(pool, id))
            discard_pages(pool, id);
}

/* ----------------------------------------------------------------------------------------- giving up, coming back */

/* This thread has the slab in hand: its word says free, and it is in no tier. */
static void claim(struct slabby_allocator *pool, uint32_t id) {
    uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_acquire);
    SLB_ASSERT(slb_word_state(word) == SLABBY_SLAB_STATE_FREE && slb_word_pins(word) == 0);
    atomic_store_explicit(&pool->words[id], word | SLABBY_SLAB_STATE_CLAIMED, memory_order_release);
    SLB_POINT(SLB_POINT_CLAIMED);
    slb_stack_push(&pool->capacity.claimed, pool->next, id);
    count_given_up(pool, 1);
    discard_pages(pool, id);
}

static void unclaim(struct slabby_allocator *pool, uint32_t id) {
    uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_relaxed);
    SLB_ASSERT(slb_word_state(word) == SLABBY_SLAB_STATE_CLAIMED);
    atomic_store_explicit(&pool->words[id], word - SLABBY_SLAB_STATE_CLAIMED, memory_order_release);
    count_given_up(pool, -1);
    slb_shards_push(pool, id, id);
    slb_gate_note_free(pool, 1);
}

/* Answers whether another step is worth taking at once. */
static bool shrink_step(struct slabby_allocator *pool, uint32_t over) {
    struct slb_stripe *stripe = slb_stripe_here(pool);
    uint32_t withheld = slb_shards_withhold(pool, over), taken = 0, id;
    enum slb_tier tier;
    count_given_up(pool, withheld);
    over -= withheld;
    while (taken < over && taken < RESIZE_STEP && slb_take_free(pool, stripe, &id, &tier)) {
        claim(pool, id);
        taken++;
    }
    if (taken == over || taken == RESIZE_STEP)
        return taken != over;
    if (atomic_load_explicit(&pool->gate.reasons, memory_order_relaxed) & SLB_GATE_SHRINKING)
        return false;
    slb_gate_close(pool, SLB_GATE_SHRINKING);
    return true;
}

static bool grow_step(struct slabby_allocator *pool, uint32_t missing) {
    struct slb_stripe *stripe = slb_stripe_here(pool);
    uint32_t done = 0, id;
    while (done < missing && done < RESIZE_STEP && slb_stack_pop(&pool->capacity.claimed, pool->next, &id)) {
        unclaim(pool, id);
        done++;
    }
    if (done == missing || done == RESIZE_STEP)
        return done != missing;
    slb_move_begin(stripe);
    uint32_t conceded = slb_shards_concede(pool, missing - done);
    count_given_up(pool, -(int64_t)conceded);
    slb_move_end(stripe);
    slb_gate_note_free(pool, conceded);
    return false;
}

/* Commits memory for so many slabs, those in service and the replaced ones, if they are more than ever before. Then at
 * least as many slabs are withheld and committed as are missing, because claimed slabs are committed too. Under the
 * gate lock. */
static slabby_status commit_for(struct slabby_allocator *pool, uint32_t slabs, slabby_error *error) {
    struct slb_slab_area area = slb_slab_area_of(pool);
    struct slb_slab_guards guards;
    uint32_t before = pool->capacity.committed;
    if (slabs <= before)
        return SLABBY_OK;
    slabby_status status = slb_slabs_commit(&area, before, slabs, &pool->options, &guards, error);
    if (status != SLABBY_OK)
        return status;
    pool->claimed_guards += guards.claimed;
    pool->capacity.committed = slabs;
    return SLABBY_OK;
}

/* How many retired slabs are to be given up at this capacity. relaxed: a slab that retires meanwhile asks again. */
static uint32_t replaceable(struct slabby_allocator *pool, uint32_t capacity) {
    uint64_t retired = atomic_load_explicit(&pool->counts.retired, memory_order_relaxed);
    uint32_t spare = pool->reserved - capacity;
    return retired < spare ? (uint32_t)retired : spare;
}

SLB_PRIVATE bool slb_resize_replaces(struct slabby_allocator *pool) {
    return replaceable(pool, slb_capacity(pool)) !=
           atomic_load_explicit(&pool->capacity.replaced, memory_order_relaxed);
}

/* Where the system refuses memory for the slabs that are to serve, the next retirement tries again. */
static void replace_retired(struct slabby_allocator *pool) {
    uint32_t before = atomic_load_explicit(&pool->capacity.replaced, memory_order_relaxed);
    uint32_t now = replaceable(pool, slb_capacity(pool));
    int error_before = errno;
    bool refused = now > before && commit_for(pool, slb_capacity(pool) + now, NULL) != SLABBY_OK;
    errno = error_before; /* of the program's release */
    if (now == before || refused)
        return;
    count_given_up(pool, (int64_t)now - before);
    /* release: a thread that reads it reads as many retired slabs */
    atomic_store_explicit(&pool->capacity.replaced, now, memory_order_release);
}

static bool resize_step(struct slabby_allocator *pool) {
    replace_retired(pool);
    int64_t over = slb_capacity_surplus(pool);
    bool more = over > 0 ? shrink_step(pool, (uint32_t)over) : grow_step(pool, (uint32_t)-over);
    if (slb_capacity_surplus(pool) != 0)
        return more;
    slb_gate_open(pool, SLB_GATE_SHRINKING);
    if (pool->capacity.changing)
        slb_event(pool, SLABBY_EVENT_LEVEL_INFO, SLABBY_EVENT_CODE_RESIZED, 0, slb_capacity(pool),
                  "pool \"%s\" has its new capacity: %" PRIu32 " slabs", slb_shown_name(pool).text,
                  slb_capacity(pool));
    pool->capacity.changing = false;
    return false;
}

SLB_PRIVATE void slb_resize_run_deferred(struct slabby_allocator *pool) {
    while (resize_step(pool))
        continue;
}

/* ------------------------------------------------------------------------------------------------- resize */

static void set_capacity(struct slabby_allocator *pool, uint32_t capacity) {
    atomic_store_explicit(&pool->capacity.in_service, capacity, memory_order_seq_cst);
    slb_gate_size(pool, capacity);
    slb_degrade_size(pool);
}

SLB_PRIVATE void slb_resize_begin(struct slabby_allocator *pool, uint32_t capacity) {
    set_capacity(pool, capacity);
    pool->capacity.committed = capacity;
    count_given_up(pool, slb_shards_begin(pool, capacity));
}

SLB_PRIVATE void slb_resize_forget(struct slabby_allocator *pool) {
    uint32_t withheld = 0;
    for (uint32_t shard = 0; shard <= pool->shard_mask; shard++)
        withheld += slb_shard_withheld(pool, shard);
    atomic_store(&pool->capacity.claimed, 0);
    atomic_store(&pool->capacity.replaced, 0); /* the next step counts them again */
    atomic_store(&pool->capacity.given_up, withheld);
}

SLB_PRIVATE void slb_resize_regain(struct slabby_allocator *pool, uint32_t id) {
    slb_stack_push(&pool->capacity.claimed, pool->next, id);
    count_given_up(pool, 1);
}

static slabby_status check_capacity(struct slabby_allocator *pool, uint64_t capacity, slabby_error *error) {
    int64_t value = slb_error_value(capacity);
    if (capacity < 1)
        return slb_error_set(error, SLABBY_INVALID_CAPACITY, 0, value, 1, pool->reserved,
                             "capacity 0 is out of range; choose 1 to %" PRIu32 " slabs, or close the pool",
                             pool->reserved);
    if (capacity > pool->reserved)
        return slb_error_set(error, SLABBY_CAPACITY_EXCEEDED, SLABBY_OPTION_MAX_CAPACITY, value, 1,
                             pool->reserved,
                             "capacity %" PRIu64 " is above the max_capacity %" PRIu32
                             " of this pool; make the pool with a larger max_capacity",
                             capacity, pool->reserved);
    return SLABBY_OK;
}

static bool is_open(struct slabby_allocator *pool) {
    return slb_pool_exists(pool) &&
           (atomic_load_explicit(&pool->gate.reasons, memory_order_relaxed) & SLB_GATE_CLOSED) == 0;
}

/* Under the gate lock. */
static void announce(struct slabby_allocator *pool, uint32_t capacity) {
    slb_event(pool, SLABBY_EVENT_LEVEL_INFO, SLABBY_EVENT_CODE_RESIZING, 0, capacity,
              "the capacity of pool \"%s\" goes from %" PRIu32 " to %" PRIu32 " slabs",
              slb_shown_name(pool).text, slb_capacity(pool), capacity);
    pool->capacity.changing = true;
}

SLB_PRIVATE slabby_status slb_resize(struct slabby_allocator *pool, uint64_t capacity, uint64_t *out_awaited,
                                     slabby_error *error) {
    slabby_status status = check_capacity(pool, capacity, error);
    if (status != SLABBY_OK)
        return status;
    if (slb_in_flight())
        return slb_error_set(error, SLABBY_BUSY, 0, slb_error_value(capacity), 0, 0,
                             "a signal handler interrupted its own thread inside the pool; try again later");
    uint64_t mark = slb_events_mark(pool);
    bool begun = false;
    for (bool more = true; more;) {
        slb_gate_lock(pool);
        more = is_open(pool);
        if (more && !begun)
            status = commit_for(pool, (uint32_t)capacity + replaceable(pool, (uint32_t)capacity), error);
        if (status != SLABBY_OK) {
            slb_gate_unlock(pool);
            return status;
        }
        if (more && !begun) {
            announce(pool, (uint32_t)capacity);
            set_capacity(pool, (uint32_t)capacity);
            begun = true;
        }
        more = more && resize_step(pool);
        *out_awaited = slb_capacity_awaited(pool);
        slb_gate_unlock(pool);
    }
    if (!begun)
        return slb_error_set(error, SLABBY_CLOSED, 0, slb_error_value(capacity), 0, 0,
                             "the pool is closed; its capacity is of no use any more");
    slb_gate_note_free(pool, 0); /* the slabs that came back may be enough to open the gate */
    slb_note_peak(pool);         /* some may be with those who waited */
    slb_events_deliver(pool, mark);
    return SLABBY_OK;
}
