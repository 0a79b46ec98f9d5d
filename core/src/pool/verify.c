/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The self-check: every used slab is in exactly one state, every free one on exactly one list. Reads the lists while
 * they do not change, under maintenance, with a bitmap of its own. */
#include "pool/verify.h"

#include "observe/counters.h"
#include "os/os.h"
#include "pool/quiesce.h"
#include "protect/bit_guard.h"
#include "protect/guard_slots.h"
#include "ref.h"
#include "resilience/grants.h"
#include "status.h"
#include "tiers/delay_queue.h"
#include "tiers/shards.h"
#include "tiers/used_slabs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct check {
    struct slabby_allocator *pool;
    slabby_finding *findings;
    uint64_t capacity, count;
    uint64_t *seen; /* one bit an id */
    uint32_t limit;
};

static void store(struct check *check, slabby_finding *finding) {
    if (check->count++ < check->capacity)
        slb_copy_record(check->findings, check->count - 1, finding, sizeof *finding);
}

static slabby_finding finding_about(struct check *check, int32_t kind, uint32_t id) {
    slabby_finding finding = {.kind = kind, .id = id};
    if (id < check->limit) {
        uint64_t word = atomic_load_explicit(&check->pool->words[id], memory_order_relaxed);
        finding.state = (int32_t)slb_word_state(word);
        finding.ref = slb_ref_make(check->pool, slb_word_generation(check->pool->id_bits, word), id);
    }
    return finding;
}

static void report(struct check *check, int32_t kind, uint32_t id, uint64_t expected, uint64_t found,
                   const char *what) {
    slabby_finding finding = finding_about(check, kind, id);
    finding.expected = expected;
    finding.found = found;
    (void)snprintf(finding.text, sizeof finding.text,
                   "slab %" PRIu32 ": %s (expected %" PRIu64 ", found %" PRIu64 ")", id, what, expected,
                   found);
    store(check, &finding);
}

static void report_damage(struct check *check, uint32_t id, const struct slb_damage *damage) {
    slabby_finding finding = finding_about(check, SLABBY_FINDING_KIND_GUARD_BYTES, id);
    finding.offset = damage->offset;
    finding.expected = damage->expected;
    finding.found = damage->found;
    (void)snprintf(finding.text, sizeof finding.text,
                   "slab %" PRIu32 ": the byte at offset %" PRId64 " of its %" PRIu64
                   " was overwritten (expected 0x%02x, found 0x%02x)",
                   id, damage->offset, check->pool->slab_size, damage->expected, damage->found);
    store(check, &finding);
}

/* An id on a list for slabs of one state. */
static void see(struct check *check, uint32_t id, uint32_t expected) {
    if (id >= check->limit) {
        report(check, SLABBY_FINDING_KIND_BAD_WORD, id, check->limit, id,
               "an id out of range waits in a list");
        return;
    }
    uint64_t bit = 1ull << (id % 64);
    uint32_t state = slb_word_state(atomic_load_explicit(&check->pool->words[id], memory_order_relaxed));
    if (check->seen[id / 64] & bit)
        report(check, SLABBY_FINDING_KIND_DUPLICATE_SLAB, id, 1, 2, "waits in two places");
    check->seen[id / 64] |= bit;
    if (state != expected)
        report(check, SLABBY_FINDING_KIND_BAD_WORD, id, expected, state,
               expected == SLABBY_SLAB_STATE_FREE ? "waits in a list, not free"
                                                  : "was given up, not claimed");
}

static void see_free(struct check *check, uint32_t id) {
    see(check, id, SLABBY_SLAB_STATE_FREE);
}

/* A damaged list might be a ring: no list is longer than there are ids. */
static void walk_stack(struct check *check, slb_stack *stack, uint32_t expected) {
    uint32_t at = (uint32_t)atomic_load_explicit(stack, memory_order_acquire);
    for (uint32_t steps = 0; at != 0 && steps <= check->limit; steps++) {
        see(check, at - 1, expected);
        if (at - 1 >= check->limit)
            break;
        at = atomic_load_explicit(&check->pool->next[at - 1], memory_order_relaxed);
    }
}

static void walk_depot(struct check *check) {
    struct slb_depot *depot = &check->pool->depot;
    uint32_t at = (uint32_t)atomic_load_explicit(&depot->heads->full, memory_order_acquire);
    for (uint32_t steps = 0; at != 0 && steps <= depot->nodes; steps++) {
        for (uint32_t i = 0; i < check->pool->batch; i++)
            see_free(check, depot->ids[(uint64_t)(at - 1) * check->pool->batch + i]);
        at = atomic_load_explicit(&depot->next[at - 1], memory_order_relaxed);
    }
}

static void walk_delay(struct check *check) {
    uint64_t cells = check->pool->delay.limit == 0 ? 0 : slb_delay_cells(check->pool);
    uint32_t id;
    for (uint64_t n = 0; n < cells; n++)
        if (slb_delay_at(check->pool, n, &id))
            see_free(check, id);
}

/* Checks the patterns of a live slab. Patterns on a guard slot are checked only at the release, because a release may
 * come at any moment and make the pages inaccessible. The word is read again: if a release came in between, the
 * patterns no longer belong to this allocation. */
static void check_guard(struct check *check, uint32_t id, uint64_t word) {
    struct slabby_allocator *pool = check->pool;
    struct slb_damage damage;
    if ((atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_BIT_GUARD) == 0 ||
        slb_guard_holds(pool, id) ||
        slb_bit_guard_intact(pool, id, slb_word_generation(pool->id_bits, word), &damage) ||
        slb_word_generation(pool->id_bits, atomic_load_explicit(&pool->words[id], memory_order_acquire)) !=
            slb_word_generation(pool->id_bits, word))
        return;
    report_damage(check, id, &damage);
}

/* A running event loop takes a grant within milliseconds. */
#define LONG_GRANTED_NS 10000000000u

static void see_granted(void *context, const struct slb_grant *grant) {
    struct check *check = context;
    see_free(check, grant->id);
    if (grant->age_ns < LONG_GRANTED_NS)
        return;
    slabby_finding finding = finding_about(check, SLABBY_FINDING_KIND_GRANT_NOT_TAKEN, grant->id);
    finding.expected = LONG_GRANTED_NS;
    finding.found = grant->age_ns;
    (void)snprintf(finding.text, sizeof finding.text,
                   "slab %" PRIu32 ": was granted to ticket %" PRIu64 " %" PRIu64
                   " s ago, and nobody took it; destroy the listener of a loop that has ended",
                   grant->id, grant->ticket, grant->age_ns / 1000000000u);
    store(check, &finding);
}

static void check_words(struct check *check) {
    struct slabby_allocator *pool = check->pool;
    uint64_t claimed = 0;
    for (uint32_t id = slb_next_used(pool, 0); id < check->limit; id = slb_next_used(pool, id + 1)) {
        uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_acquire);
        uint32_t state = slb_word_state(word), pins = slb_word_pins(word);
        bool seen = (check->seen[id / 64] >> (id % 64) & 1) != 0;
        if (state > SLABBY_SLAB_STATE_RETIRED)
            report(check, SLABBY_FINDING_KIND_BAD_WORD, id, SLABBY_SLAB_STATE_RETIRED, state,
                   "no such state");
        if (pins != 0 && state != SLABBY_SLAB_STATE_LIVE && state != SLABBY_SLAB_STATE_DYING)
            report(check, SLABBY_FINDING_KIND_BAD_WORD, id, 0, pins, "pinned without being live");
        if (slb_word_is_biased(word) && state != SLABBY_SLAB_STATE_LIVE &&
            state != SLABBY_SLAB_STATE_LIVE_FAST)
            report(check, SLABBY_FINDING_KIND_BAD_WORD, id, 0, slb_word_bias_cpu(word),
                   "is biased without being live");
        if (slb_word_is_out(word))
            check_guard(check, id, word);
        if (state == SLABBY_SLAB_STATE_FREE && !seen)
            report(check, SLABBY_FINDING_KIND_LOST_SLAB, id, 1, 0, "is free and waits nowhere");
        if (state == SLABBY_SLAB_STATE_CLAIMED && !seen)
            report(check, SLABBY_FINDING_KIND_LOST_SLAB, id, 1, 0, "was given up and waits nowhere");
        claimed += state == SLABBY_SLAB_STATE_CLAIMED;
    }
    for (uint32_t shard = 0; shard <= pool->shard_mask; shard++)
        claimed += slb_shard_withheld(pool, shard);
    claimed += atomic_load_explicit(&pool->capacity.replaced, memory_order_relaxed);
    uint64_t counted = atomic_load_explicit(&pool->capacity.given_up, memory_order_relaxed);
    if (counted != claimed)
        report(check, SLABBY_FINDING_KIND_COUNTER_MISMATCH, check->limit, counted, claimed,
               "as many slabs were counted as given up");
}

static void run_checks(struct check *check) {
    struct slabby_allocator *pool = check->pool;
    for (uint32_t shard = 0; shard <= pool->shard_mask; shard++)
        walk_stack(check, &pool->shards[shard].head, SLABBY_SLAB_STATE_FREE);
    walk_stack(check, &pool->heap.head, SLABBY_SLAB_STATE_FREE);
    walk_stack(check, &pool->capacity.claimed, SLABBY_SLAB_STATE_CLAIMED);
    walk_delay(check);
    (void)slb_grants_visit(pool, see_granted, check);
    if (pool->cache_max != 0)
        walk_depot(check);
    check_words(check);
}

/* Releases continue under maintenance: a slab that came back after the lists and before the words were read would
 * seem lost. Only a round without a release counts; there are at most as many other rounds as live slabs. */
static void check_at_rest(struct check *check, uint64_t seen_bytes) {
    for (;;) {
        bool quiet = slb_maintenance_quiesce(check->pool, SLB_QUIESCE_ATTEMPTS_LONG);
        if (!slb_pool_exists(check->pool))
            return;
        check->limit = atomic_load_explicit(&check->pool->id_limit, memory_order_acquire);
        uint64_t before = slb_count_live(check->pool);
        memset(check->seen, 0, seen_bytes);
        check->count = 0;
        run_checks(check);
        if (!quiet) {
            report(check, SLABBY_FINDING_KIND_COUNTER_MISMATCH, check->limit, 0, 1,
                   "counters and words disagree: a slab is lost, or a thread was stopped inside a call");
            return;
        }
        if (slb_maintenance_is_quiescent(check->pool, 1) && slb_count_live(check->pool) == before)
            return;
    }
}

SLB_PRIVATE slabby_status slb_verify(struct slabby_allocator *pool, slabby_finding *out_findings,
                                     uint64_t capacity, uint64_t *out_count) {
    struct check check = {.pool = pool, .findings = out_findings, .capacity = capacity};
    uint64_t page = slb_os_page_size();
    uint64_t most = (uint64_t)pool->reserved + pool->heap.limit;
    uint64_t bytes = ((most + 63) / 64 * 8 + page - 1) / page * page;
    check.seen = slb_os_map(bytes);
    if (check.seen == NULL)
        return SLABBY_NO_SYSTEM_MEMORY;
    if (!slb_maintenance_begin(pool)) {
        slb_os_unmap(check.seen, bytes);
        return SLABBY_BUSY;
    }
    if (slb_pool_exists(pool))
        check_at_rest(&check, bytes);
    bool exists = slb_pool_exists(pool);
    slb_maintenance_end(pool);
    slb_os_unmap(check.seen, bytes);
    *out_count = check.count;
    return exists ? SLABBY_OK : slb_pool_closed_status(pool);
}
