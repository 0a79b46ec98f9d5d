/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protect/quarantine.h"

#include "tiers/used_slabs.h"
#include "observe/events.h"
#include "observe/plain_text.h"
#include "observe/stacks.h"
#include "os/os.h"
#include "os/trace.h"
#include "protect/secure.h"
#include "ref.h"
#include "tiers/gate.h"
#include "tiers/in_flight.h"
#include "tiers/shards.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* The reference is written last (release) and read first (acquire): a reader that finds it finds the rest. One slab
 * cannot have two corruptions at the same moment, because the reporter owns the slab. */
static void remember(struct slabby_allocator *pool, const struct slb_damage *damage) {
    uint64_t turn = atomic_fetch_add_explicit(&pool->corruption.turn, 1, memory_order_relaxed);
    struct slb_damage_report *report = &pool->corruption.reports[turn % SLB_DAMAGE_REPORTS];
    atomic_store_explicit(&report->ref, 0, memory_order_relaxed);
    atomic_store_explicit(&report->offset, damage->offset, memory_order_relaxed);
    atomic_store_explicit(&report->bytes, (uint32_t)damage->expected << 8 | damage->found,
                          memory_order_relaxed);
    atomic_store_explicit(&report->ref, damage->ref, memory_order_release);
}

SLB_PRIVATE bool slb_corruption_recall(struct slabby_allocator *pool, slabby_ref ref,
                                       struct slb_damage *out) {
    for (uint32_t i = 0; i < SLB_DAMAGE_REPORTS; i++) {
        struct slb_damage_report *report = &pool->corruption.reports[i];
        if (ref == 0 || atomic_load_explicit(&report->ref, memory_order_acquire) != ref)
            continue;
        uint32_t bytes = atomic_load_explicit(&report->bytes, memory_order_relaxed);
        out->ref = ref;
        out->offset = atomic_load_explicit(&report->offset, memory_order_relaxed);
        out->expected = (uint8_t)(bytes >> 8);
        out->found = (uint8_t)bytes;
        return true;
    }
    return false;
}

static void die_of_corruption(struct slabby_allocator *pool, uint32_t id, const struct slb_damage *damage) {
    fprintf(stderr,
            "slabby: memory corruption: pool %s, slab %" PRIu32 ", offset %" PRId64
            ": expected 0x%02x, found 0x%02x "
            "(corruption_policy = abort)\n",
            slb_shown_name(pool).text, id, damage->offset, damage->expected, damage->found);
    char stacks[4096];
    struct slb_text text = {.buffer = stacks, .capacity = sizeof stacks};
    uint64_t generation;
    if (slb_ref_split(pool, damage->ref, &generation, &id) && slb_stacks_print(&text, pool, id, generation))
        fprintf(stderr, "%s\n", stacks + 1);
    abort();
}

static void raise_corruption(struct slabby_allocator *pool, uint32_t id, const struct slb_damage *damage,
                             struct slb_notification *out_notification) {
    const int32_t level = SLABBY_EVENT_LEVEL_ERROR, code = SLABBY_EVENT_CODE_CORRUPTION;
    slabby_event event;
    (void)snprintf(event.text, sizeof event.text,
                   "memory corruption in pool \"%s\", slab %" PRIu32 ": the byte at offset %" PRId64
                   " is 0x%02x, expected 0x%02x",
                   slb_shown_name(pool).text, id, damage->offset, damage->found, damage->expected);
    if (out_notification != NULL && out_notification->function == NULL)
        slb_event_prepare(out_notification, pool, level, code, damage->ref, damage->offset, "%s", event.text);
    else
        slb_event(pool, level, code, damage->ref, damage->offset, "%s", event.text);
}

/* The slab is this thread's. A slab of the heap ends with its release, and a retired one is out of service for good:
 * neither would come back by a reclaim. */
static bool quarantine(struct slabby_allocator *pool, uint32_t id, uint32_t policy) {
    uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_relaxed);
    if (policy == SLABBY_CORRUPTION_POLICY_RECLAIM || id >= pool->reserved ||
        slb_word_state(word) == SLABBY_SLAB_STATE_RETIRED)
        return false;
    slb_count(&pool->corruption.quarantined, 1);
    /* release: the thread that reclaims the slab sees it as this one left it */
    atomic_store_explicit(&pool->words[id], word | SLABBY_SLAB_STATE_QUARANTINED, memory_order_release);
    return true;
}

SLB_PRIVATE SLB_COLD bool slb_corruption_found(struct slabby_allocator *pool, uint32_t id,
                                               const struct slb_damage *damage,
                                               struct slb_notification *out_notification) {
    uint32_t policy = atomic_load_explicit(&pool->corruption.policy, memory_order_relaxed);
    slb_count(&pool->corruption.found, 1);
    SLB_TRACE(corruption, pool, id, damage->offset);
    remember(pool, damage);
    raise_corruption(pool, id, damage, out_notification);
    if (policy == SLABBY_CORRUPTION_POLICY_ABORT) {
        if (out_notification != NULL)
            slb_event_notify(out_notification);
        die_of_corruption(pool, id, damage);
    }
    bool quarantined = quarantine(pool, id, policy);
    /* last, release: a reclaim that acknowledges this corruption finds the slab in quarantine */
    slb_count(&pool->corruption.unacknowledged, 1);
    return quarantined;
}

/* The thread that swaps the word from quarantined to free owns the slab until it is pushed. */
SLB_PRIVATE uint64_t slb_quarantine_reclaim(struct slabby_allocator *pool) {
    uint64_t reclaimed = 0;
    struct slb_stripe *stripe = slb_enter(pool);
    /* acquire: the slab of each corruption that was counted before is found below; what is counted later is news */
    (void)atomic_exchange_explicit(&pool->corruption.unacknowledged, 0, memory_order_acquire);
    for (uint32_t id = slb_next_used(pool, 0); id < pool->reserved; id = slb_next_used(pool, id + 1)) {
        uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_acquire);
        if (slb_word_state(word) != SLABBY_SLAB_STATE_QUARANTINED ||
            !atomic_compare_exchange_strong_explicit(&pool->words[id], &word,
                                                     word - SLABBY_SLAB_STATE_QUARANTINED,
                                                     memory_order_acq_rel, memory_order_relaxed))
            continue;
        atomic_fetch_sub_explicit(&pool->corruption.quarantined, 1, memory_order_relaxed);
        /* what reuse_delay found was written behind the zeroing of the release; relaxed: as at a release */
        if (atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_SECURE)
            slb_secure_zero_free_slab(pool, id);
        slb_shards_push(pool, slb_os_cpu(), id);
        if (atomic_load_explicit(&pool->gate.reasons, memory_order_seq_cst) != 0)
            slb_gate_note_free(pool, 1);
        reclaimed++;
    }
    slb_leave(stripe);
    if (atomic_load_explicit(&pool->gate.reasons, memory_order_seq_cst) & SLB_GATE_POLL)
        slb_pool_run_deferred(pool);
    return reclaimed;
}
