/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protect/guard_slots.h"

#include "observe/stacks.h"
#include "os/os.h"
#include "os/stack.h"
#include "protect/zero.h"
#include "protect/tools.h"
#include "tiers/random.h"
#include "ref.h"
#include "tiers/in_flight.h"

#include <errno.h>
#include <inttypes.h>

/* How many slots an allocation looks at before it stays ordinary. */
#define GUARD_TRIES 16u

/* Bytes that guard regions cover at most: their page tables take 2 MiB then. */
#define GUARD_REGIONS_MOST (1ull << 30)

/* Pools with no more slots, and no more bytes in them, keep the pages of free slots. */
#define GUARD_MAPPED_SLOTS_MOST 64u
#define GUARD_MAPPED_BYTES_MOST (1ull << 20)

enum guard_state { GUARD_FREE, GUARD_CHANGING, GUARD_LIVE };

struct slb_guard_slot {
    _Atomic uint32_t state; /* enum guard_state */
    _Atomic uint32_t owner; /* id + 1 of the present or last slab */
    _Atomic uint64_t generation;
    _Atomic(char *) data; /* the user's first byte */
    struct slb_stack_record allocated, released;
};

struct slb_guards {
    char *mapping;
    uint64_t mapping_size, metadata_size;
    char *bodies;
    uint64_t body, stride; /* bytes of a slot, and from one slot to the next */
    uint32_t count;
    enum slb_guard_way way; /* how a free slot is guarded */
    uint32_t claimed;       /* slots that may cost mappings */
    bool keeps_pages;       /* of a free slot; it holds zeros */
    _Atomic uint32_t turn;
    _Atomic uint32_t *slot_of; /* per id: slot + 1; 0 for a slab at its ordinary address */
    struct slb_guard_slot slots[];
};

static struct slb_guards *guards_of(struct slabby_allocator *pool) {
    return atomic_load_explicit(&pool->guards, memory_order_acquire);
}

static uint64_t guard_round_up(uint64_t value, uint64_t unit) {
    return (value + unit - 1) / unit * unit;
}

/* -------------------------------------------------------------------------------------------- making them */

static int64_t guard_interval(struct slabby_allocator *pool) {
    uint32_t rate = atomic_load_explicit(&pool->guard_rate, memory_order_relaxed);
    return rate < 2 ? 1 : 1 + (int64_t)slb_random_below(pool, 2 * rate - 1);
}

static char *body_at(const struct slb_guards *guards, uint64_t slot) {
    return guards->bodies + slot * guards->stride;
}

/* The kernel merges neighbouring mappings that are alike, and so would make and drop mappings whenever a slot opens or
 * closes. Slots and guards differ in whether a core dump has them. Guards are empty, so it makes no difference there;
 * where a system cannot do it, it is only slower. */
static bool dump_some(struct slabby_allocator *pool, struct slb_guards *guards) {
    bool no_dump = slb_option(&pool->options, SLABBY_OPTION_NO_DUMP) != 0, done = true;
    if (!guards->keeps_pages)
        return !no_dump || slb_os_no_dump(guards->bodies, guards->count * guards->stride);
    if (!no_dump)
        (void)slb_os_no_dump(guards->mapping, (uint64_t)(guards->bodies - guards->mapping));
    for (uint64_t slot = 0; slot < guards->count; slot++) {
        char *body = body_at(guards, slot);
        if (no_dump)
            done &= slb_os_no_dump(body, guards->body);
        else
            (void)slb_os_no_dump(body + guards->body, guards->stride - guards->body);
    }
    return done;
}

static bool configure_slots(struct slabby_allocator *pool, struct slb_guards *guards) {
    int64_t lock = slb_option(&pool->options, SLABBY_OPTION_LOCK_MEMORY);
    uint64_t size = guards->count * guards->stride;
    if (!dump_some(pool, guards))
        return false;
    return lock == SLABBY_LOCK_MEMORY_OFF || slb_os_lock_memory(guards->bodies, size) ||
           lock == SLABBY_LOCK_MEMORY_BEST_EFFORT;
}

static bool claim_mappings(struct slb_guards *guards) {
    if (guards->claimed == 0 && slb_os_claim_guards(guards->count))
        guards->claimed = guards->count;
    return guards->claimed != 0;
}

/* To drop the pages of a slot and fetch fresh ones takes longer than all else that a guarded pair does. So small
 * slots keep theirs, and each has a mapping of its own, whose protection changes. Others are guard regions, which lie
 * in the page table, eight bytes a page. Where there are none (before Linux 6.13, in locked memory) or they would
 * fill too much of it, each slot in use splits a mapping in three, and the process would run out of mappings before
 * it runs out of slots. */
static bool guard_slots(struct slabby_allocator *pool, struct slb_guards *guards) {
    guards->keeps_pages = guards->count <= GUARD_MAPPED_SLOTS_MOST &&
                          guards->count * guards->body <= GUARD_MAPPED_BYTES_MOST && claim_mappings(guards);
    if (slb_option(&pool->options, SLABBY_OPTION_LOCK_MEMORY) != SLABBY_LOCK_MEMORY_OFF ||
        guards->mapping_size > GUARD_REGIONS_MOST || guards->keeps_pages)
        guards->way = SLB_GUARD_PROTECT;
    return slb_os_commit(guards->mapping, guards->mapping_size) &&
           slb_os_guard(guards->mapping, guards->mapping_size, &guards->way) &&
           (guards->way == SLB_GUARD_REGION || claim_mappings(guards));
}

static void unmap_guards(struct slb_guards *guards) {
    slb_os_return_guards(guards->claimed);
    slb_os_unmap(guards->mapping, guards->mapping_size);
    slb_os_unmap(guards, guards->metadata_size);
}

static struct slb_guards *make_guards(struct slabby_allocator *pool) {
    uint64_t page = slb_os_page_size(),
             count = (uint64_t)slb_option(&pool->options, SLABBY_OPTION_GUARD_SLOTS);
    uint64_t alignment = (uint64_t)slb_option(&pool->options, SLABBY_OPTION_ALIGNMENT);
    uint64_t unit = alignment > page ? alignment : page;
    uint64_t table = sizeof(struct slb_guards) + count * sizeof(struct slb_guard_slot);
    uint64_t metadata = guard_round_up(table + pool->reserved * sizeof(uint32_t), page);
    struct slb_guards *guards = slb_os_map(metadata);
    if (guards == NULL)
        return NULL;
    guards->metadata_size = metadata;
    slb_tools_ignore_races(guards, metadata);
    guards->slot_of = (_Atomic uint32_t *)(void *)((char *)guards + table);
    guards->count = (uint32_t)count;
    guards->body = guard_round_up(pool->slab_size, page);
    guards->stride = guard_round_up(guards->body + page, unit);
    guards->mapping_size = count * guards->stride + page + unit;
    guards->mapping = slb_os_reserve(guards->mapping_size);
    if (guards->mapping != NULL)
        guards->bodies = (char *)guard_round_up((uintptr_t)guards->mapping + page, unit);
    if (guards->mapping != NULL && guard_slots(pool, guards) && configure_slots(pool, guards))
        return guards;
    unmap_guards(guards);
    return NULL;
}

SLB_PRIVATE slabby_status slb_guards_prepare(struct slabby_allocator *pool, slabby_error *error) {
    struct slb_guards *none = NULL;
    slb_os_stack_prime();
    if (guards_of(pool) != NULL)
        return SLABBY_OK;
    struct slb_guards *mine = make_guards(pool);
    int64_t slots = slb_option(&pool->options, SLABBY_OPTION_GUARD_SLOTS);
    if (mine == NULL)
        return slb_error_set(error, SLABBY_NO_SYSTEM_MEMORY, SLABBY_OPTION_GUARD_SLOTS, slots, 1, 4096,
                             "the system refused %" PRId64 " guard slots of %" PRIu64
                             " bytes; lower guard_slots, or lock_memory where it is required. Without guard "
                             "regions (Linux 6.13) a process can have %" PRIu64 " guards in all pools",
                             slots, pool->slab_size, slb_os_guard_limit());
    /* release: a thread that finds the slots finds them complete */
    if (!atomic_compare_exchange_strong_explicit(&pool->guards, &none, mine, memory_order_acq_rel,
                                                 memory_order_acquire)) {
        unmap_guards(mine);
    }
    return SLABBY_OK;
}

SLB_PRIVATE void slb_guards_forget(struct slabby_allocator *pool) {
    struct slb_guards *guards = guards_of(pool);
    if (guards == NULL)
        return;
    unmap_guards(guards);
    atomic_store(&pool->guards, NULL);
}

SLB_PRIVATE uint64_t slb_guards_bytes(struct slabby_allocator *pool) {
    struct slb_guards *guards = guards_of(pool);
    return guards == NULL ? 0 : guards->mapping_size;
}

/* ------------------------------------------------------------------------------------------------- lookup */

static struct slb_guard_slot *slot_holding(struct slabby_allocator *pool, uint32_t id) {
    struct slb_guards *guards = guards_of(pool);
    if (guards == NULL || id >= pool->reserved)
        return NULL;
    /* acquire: a reader that finds the slot finds its address */
    uint32_t slot = atomic_load_explicit(&guards->slot_of[id], memory_order_acquire);
    return slot == 0 ? NULL : &guards->slots[slot - 1];
}

SLB_PRIVATE bool slb_guard_holds(struct slabby_allocator *pool, uint32_t id) {
    return slot_holding(pool, id) != NULL;
}

SLB_PRIVATE SLB_COLD void *slb_data_elsewhere(struct slabby_allocator *pool, uint32_t id) {
    if (id >= pool->reserved)
        return slb_heap_data(&pool->heap, id - pool->reserved);
    struct slb_guard_slot *slot = slot_holding(pool, id);
    return slot == NULL ? pool->slabs + (uint64_t)id * pool->stride
                        : atomic_load_explicit(&slot->data, memory_order_relaxed);
}

/* ------------------------------------------------------------------------------------------- open and close */

static char *body_of(struct slb_guards *guards, const struct slb_guard_slot *slot) {
    return body_at(guards, (uint64_t)(slot - guards->slots));
}

/* Uses the same way as the first guard: a range that mixed both ways would cost mappings that were not claimed. */
static bool close_slot(struct slb_guards *guards, const struct slb_guard_slot *slot) {
    enum slb_guard_way way = guards->way;
    return slb_os_guard(body_of(guards, slot), guards->body, &way);
}

/* seq_cst, after the store of the new rate: a CPU that counts down meanwhile draws again, by the new rate. */
SLB_PRIVATE void slb_guards_draw_again(struct slabby_allocator *pool) {
    for (uint32_t cpu = 0; cpu < pool->cpus; cpu++)
        if (atomic_load(&pool->stripes[cpu].guard_countdown) != 0)
            atomic_store(&pool->stripes[cpu].guard_countdown, 0);
}

/* Whether an allocation that stands for `weight` allocations is to lie on a guard slot. It counts for no more than one
 * guard is to be among: batches pass the sampling point without notice, and what they leave would make every sample a
 * guard for long. The excess below 0 is kept, so that the mean distance is right. Each CPU has its own countdown, so
 * that no cache line moves between CPUs for an ordinary allocation. A stored 0 means that the countdown has not begun,
 * so values of 0 and below are stored one lower. relaxed: nothing else is read by it. */
static bool turn_has_come(struct slabby_allocator *pool, uint64_t weight) {
    _Atomic int64_t *countdown = &slb_stripe_here(pool)->guard_countdown;
    int64_t stored = atomic_load_explicit(countdown, memory_order_relaxed), left, next;
    /* relaxed: the caller has seen that it is not 0; a new one is drawn by soon */
    uint64_t rate = atomic_load_explicit(&pool->guard_rate, memory_order_relaxed),
             most = SLB_SAMPLE_GUARDS_MOST;
    most = rate != 0 && rate < most ? rate : most;
    int64_t by = (int64_t)(weight < most ? weight : most);
    do {
        left = (stored == 0 ? guard_interval(pool) : stored + (stored < 0)) - by;
        next = left <= 0 ? left + guard_interval(pool) : left;
    } while (!atomic_compare_exchange_weak_explicit(countdown, &stored, next - (next <= 0),
                                                    memory_order_relaxed, memory_order_relaxed));
    return left <= 0;
}

/* acquire: pairs with the release of slb_guard_close, behind which the slot is inaccessible again */
static struct slb_guard_slot *claim_slot(struct slb_guards *guards, uint32_t *out_turn) {
    for (uint32_t tries = 0; tries < GUARD_TRIES && tries < guards->count; tries++) {
        *out_turn = atomic_fetch_add_explicit(&guards->turn, 1, memory_order_relaxed);
        struct slb_guard_slot *slot = &guards->slots[*out_turn % guards->count];
        uint32_t free_state = GUARD_FREE;
        if (atomic_compare_exchange_strong_explicit(&slot->state, &free_state, GUARD_CHANGING,
                                                    memory_order_acquire, memory_order_relaxed))
            return slot;
    }
    return NULL;
}

static void pattern_slack(struct slabby_allocator *pool, char *body, uint64_t size, char *data,
                          uint64_t seed) {
    char *end = data + pool->slab_size;
    slb_pattern_write((unsigned char *)body, (uint32_t)(data - body), seed, 0);
    slb_pattern_write((unsigned char *)end, (uint32_t)(body + size - end), seed, SLB_GUARD_MAXIMUM);
}

/* In even rounds through the slots, a slab ends at the guard behind it; in odd rounds, it begins at the guard before
 * it. */
static char *entry_in_body(struct slabby_allocator *pool, struct slb_guards *guards, char *body,
                           uint32_t turn) {
    uint64_t alignment = (uint64_t)slb_option(&pool->options, SLABBY_OPTION_ALIGNMENT);
    if (turn / guards->count % 2 != 0)
        return body;
    return body + (guards->body - pool->slab_size) / alignment * alignment;
}

static bool open_slot(struct slabby_allocator *pool, struct slb_guards *guards, struct slb_guard_slot *slot,
                      uint32_t turn, uint32_t id) {
    uint64_t generation =
        slb_word_generation(pool->id_bits, atomic_load_explicit(&pool->words[id], memory_order_relaxed));
    char *body = body_of(guards, slot);
    if (!slb_os_unguard(body, guards->body, guards->way)) {
        atomic_store_explicit(&slot->state, GUARD_FREE, memory_order_release);
        return false;
    }
    char *data = entry_in_body(pool, guards, body, turn);
    pattern_slack(pool, body, guards->body, data, slb_pattern_seed(pool, id, generation));
    slb_stack_record(&slot->allocated, generation);
    atomic_store_explicit(&slot->owner, id + 1, memory_order_relaxed);
    atomic_store_explicit(&slot->generation, generation, memory_order_relaxed);
    atomic_store_explicit(&slot->data, data, memory_order_relaxed);
    atomic_store_explicit(&slot->state, GUARD_LIVE, memory_order_release);
    atomic_store_explicit(&guards->slot_of[id], (uint32_t)(slot - guards->slots) + 1, memory_order_release);
    return true;
}

static bool put_on_slot(struct slabby_allocator *pool, uint32_t id, uint64_t weight) {
    struct slb_guards *guards = guards_of(pool);
    uint32_t turn;
    /* acquire: a thread that reads the rate also reads the protection that was set before it */
    if (atomic_load_explicit(&pool->guard_rate, memory_order_acquire) == 0 || guards == NULL ||
        !turn_has_come(pool, weight) || id >= pool->reserved)
        return false;
    struct slb_guard_slot *slot = claim_slot(guards, &turn);
    return slot != NULL && open_slot(pool, guards, slot, turn, id);
}

SLB_PRIVATE SLB_COLD uint64_t slb_guard_sample(struct slabby_allocator *pool, uint32_t id, enum slb_tier tier,
                                               uint64_t weight) {
    int error_before = errno;
    bool guarded = put_on_slot(pool, id, weight);
    struct slb_stripe *stripe = slb_stripe_here(pool);
    slb_count(guarded ? &stripe->guarded[tier] : &stripe->unguarded[tier], 1);
    errno = error_before;
    return guarded ? SLB_WORD_GUARDED : 0;
}

SLB_PRIVATE bool slb_guard_intact(struct slabby_allocator *pool, uint32_t id, uint64_t generation,
                                  struct slb_damage *out_damage) {
    struct slb_guards *guards = guards_of(pool);
    struct slb_guard_slot *slot = slot_holding(pool, id);
    uint64_t seed = slb_pattern_seed(pool, id, generation);
    if (slot == NULL)
        return true;
    const unsigned char *body = (const unsigned char *)body_of(guards, slot);
    const unsigned char *data =
        (const unsigned char *)atomic_load_explicit(&slot->data, memory_order_relaxed);
    const unsigned char *end = data + pool->slab_size;
    uint32_t front = (uint32_t)(data - body), back = (uint32_t)(body + guards->body - end);
    uint32_t bad = slb_pattern_compare(body, front, seed, 0, &out_damage->expected);
    const unsigned char *at = body + bad;
    if (bad == front) {
        bad = slb_pattern_compare(end, back, seed, SLB_GUARD_MAXIMUM, &out_damage->expected);
        if (bad == back)
            return true;
        at = end + bad;
    }
    out_damage->offset = at - data;
    out_damage->found = *at;
    out_damage->ref = slb_ref_make(pool, generation, id);
    return false;
}

static void zero_slot(struct slb_guards *guards, const struct slb_guard_slot *slot, bool watched) {
    if (watched)
        slb_tools_zero(body_of(guards, slot), guards->body);
    else
        slb_zero(body_of(guards, slot), guards->body);
}

/* A free slot keeps no secrets and begins as zeros; a write by its last user that comes behind this stays, as in any
 * slab. Making a guard region returns the pages too. */
static void empty_slot(struct slb_guards *guards, const struct slb_guard_slot *slot, bool watched) {
    bool returned = !guards->keeps_pages &&
                    (guards->way == SLB_GUARD_REGION || slb_os_discard(body_of(guards, slot), guards->body));
    if (!returned) /* locked memory stays */
        zero_slot(guards, slot, watched);
}

SLB_PRIVATE SLB_COLD void slb_guard_close(struct slabby_allocator *pool, uint32_t id, uint64_t generation) {
    struct slb_guards *guards = guards_of(pool);
    struct slb_guard_slot *slot = slot_holding(pool, id);
    int error_before = errno;
    if (slot == NULL)
        return;
    slb_stack_record(&slot->released, generation);
    atomic_store_explicit(&slot->state, GUARD_CHANGING, memory_order_relaxed);
    bool watched = (atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_TOOLS) != 0;
    if (watched)
        slb_tools_empty_guarded(pool, id);
    empty_slot(guards, slot, watched);
    bool closed = close_slot(guards, slot);
    if (!closed) /* the program has locked all of its memory since */
        zero_slot(guards, slot, watched);
    if (watched)
        slb_tools_return_guarded(pool, id);
    atomic_store_explicit(&guards->slot_of[id], 0, memory_order_release);
    /* a slot that the system will not close is not used again */
    if (closed)
        atomic_store_explicit(&slot->state, GUARD_FREE, memory_order_release);
    errno = error_before;
}

/* The thread that vanished may have been ahead of closing the slot or behind it. */
static bool empty_any_slot(struct slb_guards *guards, const struct slb_guard_slot *slot) {
    if (!slb_os_unguard(body_of(guards, slot), guards->body, guards->way))
        return false;
    empty_slot(guards, slot, false);
    return true;
}

/* Only the slot of a slab that is out stays open. This closes every other slot, in place of the thread that
 * vanished. */
SLB_PRIVATE bool slb_guards_renew(struct slabby_allocator *pool) {
    struct slb_guards *guards = guards_of(pool);
    for (uint32_t i = 0; guards != NULL && i < guards->count; i++) {
        struct slb_guard_slot *slot = &guards->slots[i];
        uint32_t owner = atomic_load(&slot->owner);
        bool held = owner != 0 && slot_holding(pool, owner - 1) == slot;
        if (atomic_load(&slot->state) == GUARD_FREE ||
            (held && slb_word_is_out(atomic_load(&pool->words[owner - 1]))))
            continue;
        if (held)
            atomic_store(&guards->slot_of[owner - 1], 0);
        if (empty_any_slot(guards, slot) && close_slot(guards, slot))
            atomic_store(&slot->state, GUARD_FREE);
    }
    return guards == NULL || configure_slots(pool, guards);
}

/* ------------------------------------------------------------------------------------------------- reports */

SLB_PRIVATE bool slb_guard_trace(struct slabby_allocator *pool, uint32_t id, uint64_t generation,
                                 bool released, struct slb_trace *out) {
    struct slb_guards *guards = guards_of(pool);
    for (uint32_t i = 0; guards != NULL && i < guards->count; i++) {
        struct slb_guard_slot *slot = &guards->slots[i];
        if (atomic_load_explicit(&slot->owner, memory_order_acquire) == id + 1 &&
            slb_stack_read(released ? &slot->released : &slot->allocated, out) &&
            out->generation == generation)
            return true;
    }
    return false;
}

static int64_t guard_distance(struct slb_guard_slot *slot, uintptr_t address, uint64_t size) {
    int64_t offset = (int64_t)(address - (uintptr_t)atomic_load_explicit(&slot->data, memory_order_relaxed));
    return offset < 0 ? -offset : offset - (int64_t)size + 1;
}

/* The slot at or before the address, or the next one where that is nearer or the only one that was ever used. */
SLB_PRIVATE bool slb_guard_locate(struct slabby_allocator *pool, uintptr_t address,
                                  struct slb_fault_info *out) {
    struct slb_guards *guards = guards_of(pool);
    if (guards == NULL || guards->mapping == NULL || address < (uintptr_t)guards->mapping ||
        address - (uintptr_t)guards->mapping >= guards->mapping_size)
        return false;
    uint64_t at =
        address < (uintptr_t)guards->bodies ? 0 : (address - (uintptr_t)guards->bodies) / guards->stride;
    struct slb_guard_slot *best = NULL;
    for (uint64_t i = at; i < at + 2 && i < guards->count; i++) {
        struct slb_guard_slot *slot = &guards->slots[i];
        bool used = atomic_load_explicit(&slot->owner, memory_order_acquire) != 0;
        if (used && (best == NULL || guard_distance(slot, address, pool->slab_size) <
                                         guard_distance(best, address, pool->slab_size)))
            best = slot;
    }
    if (best == NULL)
        return false;
    *out = (struct slb_fault_info){.pool = pool, .used = true, .guarded = true};
    out->id = atomic_load_explicit(&best->owner, memory_order_relaxed) - 1;
    out->generation = atomic_load_explicit(&best->generation, memory_order_relaxed);
    out->released = atomic_load_explicit(&best->state, memory_order_relaxed) != GUARD_LIVE;
    out->offset = (int64_t)(address - (uintptr_t)atomic_load_explicit(&best->data, memory_order_relaxed));
    return true;
}
