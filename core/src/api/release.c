/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The steps of a release: the word decides, then protections act, then the id goes to the tiers. slabby_release is the
 * hot path; it leaves all other cases to release_slow and return_slow, above it. */
#include "api/release.h"

#include "api/call.h"
#include "api/give.h"
#include "api/refill.h"
#include "api/single.h"
#include "observe/audit.h"
#include "observe/audit_record.h"
#include "observe/events.h"
#include "protect/bit_guard.h"
#include "protect/protect.h"
#include "protect/zero.h"
#include "ref.h"
#include "resilience/resize.h"
#include "tiers/cpu_cache.h"
#include "tiers/in_flight.h"
#include "tiers/rseq_run.h"
#include "tiers/word_bias.h"

#include <inttypes.h>

/* ---------------------------------------------------------------------------- protections, then the tiers */

/* Records the release while this thread still has the slab in hand: so its next allocation comes later in the audit
 * trail, and the pool cannot have ended yet. */
static slabby_status note_return(struct slabby_allocator *pool, uint32_t id, uint64_t generation, bool fast,
                                 slabby_status status) {
    if (slb_is_audited(pool))
        slb_audit_hand_over(pool,
                            fast ? SLABBY_AUDIT_OPERATION_DEALLOCATE_FAST : SLABBY_AUDIT_OPERATION_RELEASE,
                            id, fast ? id : slb_ref_make(pool, generation, id), status);
    return status;
}

static slabby_status return_protected(struct slabby_allocator *pool, uint32_t id, uint64_t generation,
                                      bool fast) {
    struct slb_notification notification;
    slb_notification_none(&notification);
    struct slb_notification *later = !slb_in_flight() ? &notification : NULL;
    bool quarantined = false;
    slabby_status status = note_return(pool, id, generation, fast,
                                       slb_protect_return(pool, id, generation, &quarantined, later));
    if (slb_unlikely(quarantined))
        slb_keep_out(pool, fast);
    else
        slb_give(pool, id, fast);
    slb_event_notify(&notification);
    return status;
}

static slabby_status return_slab(struct slabby_allocator *pool, uint32_t id, uint64_t generation, bool fast) {
    SLB_POINT(SLB_POINT_RELEASED);
    if (slb_unlikely(atomic_load_explicit(&pool->protect, memory_order_seq_cst) != 0))
        return return_protected(pool, id, generation, fast);
    slb_give(pool, id, fast);
    return SLABBY_OK;
}

static void raise_retirement(struct slabby_allocator *pool, uint32_t id, uint64_t generation,
                             struct slb_notification *out_notification) {
    static const char says[] = "slab %" PRIu32 " of pool \"%s\" is retired after %" PRIu64 " allocations; %s";
    const int32_t code = SLABBY_EVENT_CODE_SLAB_RETIRED;
    bool served = id < pool->reserved && slb_resize_has_spare(pool);
    int32_t level = served ? SLABBY_EVENT_LEVEL_INFO : SLABBY_EVENT_LEVEL_WARNING;
    const char *then = served ? "another one serves for it" : "no other is left: make a new pool";
    struct slb_shown_name name = slb_shown_name(pool);
    slabby_ref ref = slb_ref_make(pool, generation, id);
    if (out_notification != NULL)
        slb_event_prepare(out_notification, pool, level, code, ref, id, says, id, name.text,
                          pool->generations, then);
    else
        slb_event(pool, level, code, ref, id, says, id, name.text, pool->generations, then);
}

/* The last generation was released: the word already says retired, and no thread will ever take the slab again. */
static SLB_COLD slabby_status retire(struct slabby_allocator *pool, uint32_t id, uint64_t generation,
                                     bool fast) {
    struct slb_notification corruption, retirement;
    slb_notification_none(&corruption);
    slb_notification_none(&retirement);
    struct slb_notification *later = !slb_in_flight() ? &corruption : NULL;
    bool quarantined = false;
    slabby_status status = note_return(pool, id, generation, fast,
                                       slb_protect_return(pool, id, generation, &quarantined, later));
    raise_retirement(pool, id, generation, later == NULL ? NULL : &retirement);
    if (id >= pool->reserved) {
        slb_give_heap(pool, id, fast, false);
    } else {
        slb_count(&pool->counts.retired, 1);
        slb_keep_out(pool, fast);
        if (slb_resize_replaces(pool))
            slb_pool_run_deferred(pool);
    }
    slb_event_notify(&corruption);
    slb_event_notify(&retirement);
    return status;
}

SLB_PRIVATE slabby_status slb_finish_release(struct slabby_allocator *pool, uint32_t id, uint64_t new_word,
                                             bool fast) {
    uint64_t generation = slb_word_generation(pool->id_bits, new_word);
    if (slb_likely(slb_word_state(new_word) == SLABBY_SLAB_STATE_FREE))
        return return_slab(pool, id, generation - 1, fast);
    return retire(pool, id, generation, fast);
}

/* --------------------------------------------------------------------------------- the word decides */

static slabby_status release_checked(struct slabby_allocator *pool, slabby_ref ref) {
    uint64_t word;
    uint32_t id;
    while (slb_pool_exists(pool) && slb_ref_live_word(pool, ref, &id, &word)) {
        if (slb_word_pins(word) != 0)
            return SLABBY_PINNED;
        uint64_t released = slb_word_released(pool, slb_word_generation(pool->id_bits, word));
        if (slb_word_swap(pool, id, &word, released))
            return slb_finish_release(pool, id, released, false);
    }
    return slb_ref_refusal(pool, ref, SLABBY_DOUBLE_DEALLOCATION);
}

SLB_PRIVATE slabby_status slb_release_deferred(struct slabby_allocator *pool, slabby_ref ref) {
    uint64_t word;
    uint32_t id;
    while (slb_pool_exists(pool) && slb_ref_live_word(pool, ref, &id, &word)) {
        if (slb_word_pins(word) == 0) {
            uint64_t released = slb_word_released(pool, slb_word_generation(pool->id_bits, word));
            if (slb_word_swap(pool, id, &word, released))
                return slb_finish_release(pool, id, released, false);
        } else if (slb_word_swap(pool, id, &word, slb_word_dying(word))) {
            return slb_audited(pool, SLABBY_AUDIT_OPERATION_RELEASE_DEFERRED, ref, SLABBY_OK);
        }
    }
    return slb_ref_refusal(pool, ref, SLABBY_DOUBLE_DEALLOCATION);
}

SLB_PRIVATE slabby_status slb_release_fast(struct slabby_allocator *pool, uint32_t id) {
    if (!slb_pool_exists(pool))
        return slb_pool_closed_status(pool);
    if (id >= atomic_load_explicit(&pool->id_limit, memory_order_acquire))
        return SLABBY_INVALID_SLAB_ID;
    uint64_t word;
    if (!slb_word_read(pool, id, &word))
        return slb_pool_closed_status(pool);
    while (slb_word_state(word) == SLABBY_SLAB_STATE_LIVE_FAST) {
        uint64_t released = slb_word_released(pool, slb_word_generation(pool->id_bits, word));
        if (slb_word_swap(pool, id, &word, released))
            return slb_finish_release(pool, id, released, true);
    }
    if (slb_word_is_out(word))
        return SLABBY_INVALID_SLAB_ID;
    return slb_pool_exists(pool) ? SLABBY_DOUBLE_DEALLOCATION : SLABBY_CLOSED;
}

/* -------------------------------------------------------------------------------------------- release */

static SLB_COLD slabby_status release_slow(struct slabby_allocator *pool, slabby_ref ref) {
    SLB_HOLD(pool);
    slabby_status status =
        slb_concluded(pool, SLABBY_AUDIT_OPERATION_RELEASE, ref, release_checked(pool, ref));
    slb_rearrange_if_due(pool);
    return status;
}

/* The word already says free. The id and the generation are computed again from the reference, because the hot path
 * keeps nothing else. */
static __attribute__((noinline)) slabby_status return_slow(struct slabby_allocator *pool, slabby_ref ref) {
    uint64_t relative = slb_ref_relative(pool, ref);
    slabby_status status =
        return_slab(pool, (uint32_t)(relative & pool->id_mask), relative >> pool->id_bits, false);
    return slb_likely(status == SLABBY_OK) ? status : slb_refuse(pool, status);
}

static __attribute__((noinline)) slabby_status give_slow(struct slabby_allocator *pool, uint32_t id) {
    slb_give(pool, id, false);
    return SLABBY_OK;
}

/* Zeroed, so that a write to it while it waits is found. */
static __attribute__((noinline)) slabby_status return_delayed(struct slabby_allocator *pool, uint32_t id) {
    char *bytes = pool->slabs + (uint64_t)id * pool->stride;
    if (pool->slab_size > SLB_ZERO_INLINE)
        slb_zero(bytes, pool->slab_size);
    else
        slb_zero_few(bytes, pool->slab_size);
    slb_give_in_turn(pool, id);
    return SLABBY_OK;
}

/* The end of a release that zeroes more than a few lines. It is a separate function, so that the other releases need no
 * stack frame. */
static __attribute__((noinline)) slabby_status return_zeroed(struct slabby_allocator *pool, uint32_t id) {
    slb_zero(pool->slabs + (uint64_t)id * pool->stride, pool->slab_size);
    if (slb_unlikely(!slb_rseq_give_once(pool, id)))
        slb_give(pool, id, false);
    return SLABBY_OK;
}

/* The tail of a release that is recorded; its patterns were intact. */
static __attribute__((noinline)) slabby_status return_audited(struct slabby_allocator *pool, slabby_ref ref,
                                                              uint32_t id, uint32_t protect) {
    slb_record_hand_over(pool, SLABBY_AUDIT_OPERATION_RELEASE, id, ref, SLABBY_OK);
    if (protect & SLB_PROTECT_DELAY)
        return return_delayed(pool, id);
    if (protect & SLB_PROTECT_SECURE)
        return return_zeroed(pool, id);
    if (slb_unlikely(!slb_rseq_give_once(pool, id)))
        slb_give(pool, id, false);
    return SLABBY_OK;
}

/* The tail of a release where zeroing is what is left to do. */
SLB_INLINE slabby_status return_secured(struct slabby_allocator *pool, uint32_t id) {
    if (slb_unlikely(pool->slab_size > SLB_ZERO_INLINE))
        return return_zeroed(pool, id);
    slb_zero_few(pool->slabs + (uint64_t)id * pool->stride, pool->slab_size);
    if (slb_unlikely(!slb_rseq_give_once(pool, id)))
        return give_slow(pool, id);
    return SLABBY_OK;
}

/* The tail of a release whose patterns, where there are any, were intact. */
SLB_INLINE slabby_status return_intact(struct slabby_allocator *pool, slabby_ref ref, uint32_t id,
                                       uint32_t protect) {
    if (slb_unlikely(protect & (SLB_PROTECT_AUDIT | SLB_PROTECT_DELAY)))
        return protect & SLB_PROTECT_AUDIT ? return_audited(pool, ref, id, protect)
                                           : return_delayed(pool, id);
    if (protect & SLB_PROTECT_SECURE)
        return return_secured(pool, id);
    if (slb_unlikely(!slb_rseq_give_once(pool, id)))
        return give_slow(pool, id);
    return SLABBY_OK;
}

/* The same, after a comparison of patterns of any size. */
static __attribute__((noinline)) slabby_status return_patterned(struct slabby_allocator *pool, slabby_ref ref,
                                                                uint64_t relative, uint32_t protect) {
    uint32_t id = (uint32_t)(relative & pool->id_mask);
    const unsigned char *data = (const unsigned char *)pool->slabs + (uint64_t)id * pool->stride;
    if (slb_unlikely(!slb_sides_hold(pool, data, slb_pattern_seed_of(pool, relative))))
        return return_slow(pool, ref); /* compares again, reports and records */
    return return_intact(pool, ref, id, protect);
}

/* The tail of a release with patterns that zeroes more than a few lines. The patterns, which were requested, come out
 * of memory meanwhile: an instruction that writes many lines, as memset may use, does not begin before earlier loads
 * have ended. */
static __attribute__((noinline)) slabby_status
return_zeroed_patterned(struct slabby_allocator *pool, slabby_ref ref, uint64_t relative, uint32_t protect) {
    uint32_t id = (uint32_t)(relative & pool->id_mask);
    unsigned char *data = (unsigned char *)pool->slabs + (uint64_t)id * pool->stride;
    uint64_t seed = slb_pattern_seed_of(pool, relative);
    slb_zero_within(data, pool->slab_size);
    bool intact = slb_likely(slb_sides_are_usual(pool)) ? slb_usual_sides_hold(pool, data, seed)
                                                        : slb_sides_hold(pool, data, seed);
    if (slb_unlikely(!intact))
        return return_slow(pool, ref); /* compares again, reports and records */
    return return_intact(pool, ref, id, protect & ~(uint32_t)SLB_PROTECT_SECURE);
}

/* Patterns lie on lines of their own: they are requested while the word is still on its way, where that is known to be
 * a protected release. relaxed: a hint; the address of a forged reference is none, which a request bears. */
SLB_INLINE void request_patterns(const struct slabby_allocator *pool, uint64_t id) {
    if (atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_BIT_GUARD)
        slb_sides_request(pool, (const unsigned char *)pool->slabs + id * pool->stride);
}

/* Called after this thread has freed the word: zeroing, patterns, records and the delay are done here, every other
 * protection in return_slow. Until the id is given to a tier, only this thread has the slab. */
SLB_INLINE slabby_status return_protected_slab(struct slabby_allocator *pool, slabby_ref ref,
                                               uint64_t relative, uint64_t id) {
    /* behind the free word, see protect/switches.c */
    uint32_t protect = atomic_load_explicit(&pool->protect, memory_order_seq_cst);
    unsigned char *data = (unsigned char *)pool->slabs + id * pool->stride;
    SLB_POINT(SLB_POINT_RELEASED);
    if (slb_likely(protect == SLB_PROTECT_SECURE)) /* as most protected pools */
        return return_secured(pool, (uint32_t)id);
    if (slb_unlikely((protect & SLB_PROTECT_ON_RELEASE &
                      ~(uint32_t)(SLB_PROTECT_SECURE | SLB_PROTECT_BIT_GUARD | SLB_PROTECT_AUDIT |
                                  SLB_PROTECT_DELAY)) != 0))
        return return_slow(pool, ref);
    if (protect & SLB_PROTECT_BIT_GUARD) {
        if ((protect & (SLB_PROTECT_SECURE | SLB_PROTECT_DELAY)) == SLB_PROTECT_SECURE &&
            pool->slab_size > SLB_ZERO_INLINE)
            return return_zeroed_patterned(pool, ref, relative, protect);
        if (slb_unlikely(!slb_sides_are_usual(pool)))
            return return_patterned(pool, ref, relative, protect);
        if (slb_unlikely(!slb_usual_sides_hold(pool, data, slb_pattern_seed_of(pool, relative))))
            return return_slow(pool, ref); /* compares again, reports and records */
    }
    return return_intact(pool, ref, (uint32_t)id, protect);
}

/* A release of the portable backend without protections: the word by a compare-and-swap, and the id into this CPU's
 * cache, both in one section, so that the pool cannot end. */
static __attribute__((noinline)) slabby_status release_portable(struct slabby_allocator *pool,
                                                                slabby_ref ref) {
    struct slb_portable_change change;
    if (slb_unlikely(!slb_portable_begin(pool, &pool->return_caches, &change)))
        return release_slow(pool, ref);
    uint64_t relative = slb_ref_relative(pool, ref), id = relative & pool->id_mask;
    uint64_t live = relative - id + SLABBY_SLAB_STATE_LIVE;
    uint32_t length = slb_header_length(change.header);
    /* seq_cst, the word before `protect`: see protect/switches.c; as in slb_word_swap_plain */
    if (slb_unlikely(relative >= pool->ref_end || id >= pool->reserved ||
                     !atomic_compare_exchange_strong_explicit(&pool->words[id], &live,
                                                              relative - id + pool->generation_step,
                                                              memory_order_seq_cst, memory_order_relaxed))) {
        slb_portable_abandon(&change);
        return release_slow(pool, ref);
    }
    if (slb_unlikely((atomic_load_explicit(&pool->protect, memory_order_seq_cst) & SLB_PROTECT_ON_RELEASE) !=
                         0 ||
                     length >= pool->cache_max)) {
        slb_portable_abandon(&change); /* the slab is in hand, so the pool cannot end */
        return return_slow(pool, ref);
    }
    change.cache->ids[length] = (uint32_t)id;
    slb_portable_commit(&change, change.header + SLB_CACHE_GIVE);
    return SLABBY_OK;
}

/* The steps after the swap of a word that was no longer as it was handed out, in a pool with and without
 * protections. */
static __attribute__((noinline)) slabby_status return_plain_protected(struct slabby_allocator *pool,
                                                                      slabby_ref ref) {
    uint64_t relative = slb_ref_relative(pool, ref);
    request_patterns(pool, relative & pool->id_mask);
    return return_protected_slab(pool, ref, relative, relative & pool->id_mask);
}

SLB_INLINE slabby_status return_plain(struct slabby_allocator *pool, slabby_ref ref) {
    /* behind the free word, see protect/switches.c */
    if (slb_unlikely((atomic_load_explicit(&pool->protect, memory_order_seq_cst) & SLB_PROTECT_ON_RELEASE) !=
                     0))
        return return_plain_protected(pool, ref);
    SLB_POINT(SLB_POINT_RELEASED);
    uint32_t id = (uint32_t)(slb_ref_relative(pool, ref) & pool->id_mask);
    if (slb_unlikely(!slb_rseq_give_once(pool, id)))
        return give_slow(pool, id);
    return SLABBY_OK;
}

/* The word is not what a release expects, or no sequence looked at it. */
static __attribute__((noinline)) slabby_status release_unusual(struct slabby_allocator *pool,
                                                               slabby_ref ref) {
    uint64_t relative = slb_ref_relative(pool, ref);
    uint32_t id = (uint32_t)(relative & pool->id_mask);
    uint64_t live = relative - id + SLABBY_SLAB_STATE_LIVE;
    if (!slb_word_swap_held(pool, id, &live, relative - id + pool->generation_step))
        return release_slow(pool, ref);
    return return_plain(pool, ref);
}

/* The word is plain, or biased elsewhere. A pool whose slabs are released on other CPUs than they were allocated on
 * takes this path each time. So this function contains only the usual case, and everything else is a tail call: two
 * threads that wait for each other's cache lines are slowed by each instruction in between. */
static __attribute__((noinline)) slabby_status release_plain(struct slabby_allocator *pool, slabby_ref ref) {
    uint64_t relative = slb_ref_relative(pool, ref), id = relative & pool->id_mask, found;
    uint64_t live = relative - id + SLABBY_SLAB_STATE_LIVE;
    /* seq_cst and the pool's end: as in slb_word_swap_plain */
    if (slb_unlikely(slb_rseq_try_exchange(pool, id, live, relative - id + pool->generation_step, &found) !=
                         SLB_RSEQ_DONE ||
                     found != live))
        return release_unusual(pool, ref);
    return return_plain(pool, ref);
}

/* This CPU has looked at the word, which is not as it was handed out: the slab was pinned and unpinned here, or the
 * word is plain, or biased elsewhere. */
static __attribute__((noinline)) slabby_status release_other(struct slabby_allocator *pool, slabby_ref ref) {
    uint64_t relative = slb_ref_relative(pool, ref), id = relative & pool->id_mask;
    if (slb_unlikely(id >= pool->reserved)) /* a heap slab, or none */
        return release_slow(pool, ref);
    if (slb_bias_release_turned(pool, id, relative - id))
        return return_plain(pool, ref);
    return release_plain(pool, ref);
}

/* A release in a pool without CPU caches. */
static __attribute__((noinline)) slabby_status release_single(struct slabby_allocator *pool, slabby_ref ref) {
    uint64_t relative = slb_ref_relative(pool, ref), id = relative & pool->id_mask;
    uint64_t live = relative - id + SLABBY_SLAB_STATE_LIVE;
    if (slb_unlikely(!slb_word_swap_plain(pool, (uint32_t)id, &live, relative - id + pool->generation_step)))
        return release_slow(pool, ref);
    /* behind the free word, see protect/switches.c */
    if (slb_unlikely((atomic_load_explicit(&pool->protect, memory_order_seq_cst) & SLB_PROTECT_ON_RELEASE) !=
                     0))
        return return_plain_protected(pool, ref);
    if (slb_unlikely(!slb_give_to_shard(pool, (uint32_t)id)))
        return give_slow(pool, (uint32_t)id);
    return SLABBY_OK;
}

/* relaxed: hints, read again inside the section */
static bool goes_by_section(const struct slabby_allocator *pool) {
    return atomic_load_explicit(&pool->portable_cpus, memory_order_relaxed) != 0 &&
           (atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_ON_RELEASE) == 0;
}

/* Off the inline path: a protection acts on releases, the backend is the portable one, there are no CPU caches, or the
 * reference is none that the inline path can judge. */
static SLB_HOT __attribute__((noinline)) slabby_status
release_aside(struct slabby_allocator *pool, slabby_ref ref, uint64_t relative, uint64_t id) {
    request_patterns(pool, id);
    enum slb_rseq_result biased =
        slb_bias_release(slb_rseq_finder(), pool, &pool->bias_limit, id, relative - id);
    if (slb_likely(biased == SLB_RSEQ_DONE))
        return return_protected_slab(pool, ref, relative, id);
    if (slb_unlikely(relative >= pool->ref_end || id >= pool->reserved))
        return release_slow(pool, ref);
    if (slb_takes_singles(pool))
        return release_single(pool, ref);
    if (goes_by_section(pool))
        return release_portable(pool, ref);
    return biased == SLB_RSEQ_REFUSED ? release_other(pool, ref) : release_plain(pool, ref);
}

/* SLB_LINK_INLINE: exported all the same. */
SLB_PUBLIC SLB_HOT SLB_LINK_INLINE slabby_status slabby_release(slabby_allocator *allocator, slabby_ref ref) {
    if (slb_unlikely(!slb_is_pool_entry(allocator)))
        return SLABBY_INVALID_ARGUMENT;
    uint64_t relative = slb_ref_relative(allocator, ref);
    uint64_t id = relative & allocator->id_mask;
    intptr_t area = slb_rseq_finder();
    enum slb_rseq_result biased = slb_bias_release(area, allocator, &allocator->ref_limit, id, relative - id);
    if (slb_unlikely(biased != SLB_RSEQ_DONE))
        return biased == SLB_RSEQ_REFUSED ? release_other(allocator, ref)
                                          : release_aside(allocator, ref, relative, id);
    SLB_POINT(SLB_POINT_RELEASED);
    if (slb_unlikely(!slb_rseq_give_in(area, allocator, (uint32_t)id)))
        return return_slow(allocator, ref);
    return SLABBY_OK;
}

/* ------------------------------------------------------------------------------------------ many at once */

/* Ids whose words a run frees before it gives them to a tier. */
#define RELEASE_RUN 64u

/* The words of slabs that are live and biased to this CPU, in a pool without protections on release, are freed one
 * after the other, up to the first that is different. Each is a sequence of its own. Values that do not change are kept
 * in registers, because a sequence is a barrier to the compiler. */
SLB_INLINE uint32_t free_words_here(struct slabby_allocator *pool, const slabby_ref *refs, uint32_t *out_ids,
                                    uint32_t count) {
    const uint64_t bias = pool->ref_bias, mask = pool->id_mask, step = pool->generation_step;
    /* relaxed: a hint, as in slabby_release */
    const uint64_t limit = atomic_load_explicit(&pool->ref_limit, memory_order_relaxed);
    const intptr_t area = slb_rseq_finder();
    _Atomic uint64_t *words = pool->words;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t relative = refs[i] - bias, id = relative & mask;
        out_ids[i] = (uint32_t)id;
        if (slb_unlikely(relative >= limit ||
                         !slb_rseq_release_next(area, &words[id], &pool->release_cpus,
                                                relative - id + (SLABBY_SLAB_STATE_LIVE | SLB_WORD_BIASED),
                                                relative - id + step)))
            return i;
    }
    return count;
}

/* Gives slabs whose words this thread has freed back to the tiers, in a slow operation. Until now each was in hand. */
static void give_run(struct slabby_allocator *pool, const uint32_t *ids, uint32_t length) {
    struct slb_stripe *stripe = slb_enter(pool);
    slb_move_begin(stripe);
    SLB_POINT(SLB_POINT_RELEASED);
    slb_give_run(pool, stripe, ids, length);
    slb_move_end(stripe);
    slb_leave_behind_release(pool, stripe);
}

/* Releases word by word, if there is no sequence for a run, or the cache does not take the run. */
static SLB_COLD uint64_t release_run_singly(struct slabby_allocator *pool, const slabby_ref *refs,
                                            uint32_t count) {
    uint32_t ids[RELEASE_RUN];
    uint32_t length = free_words_here(pool, refs, ids, count);
    if (length != 0)
        give_run(pool, ids, length);
    return length;
}

SLB_PRIVATE uint64_t slb_release_run(struct slabby_allocator *pool, const slabby_ref *refs, uint64_t count) {
    uint32_t ids[RELEASE_RUN];
    struct slb_rseq_run run;
    uint64_t most = count < RELEASE_RUN ? count : RELEASE_RUN;
    /* relaxed: a hint, read again inside the sequence; 0 also where a protection acts on releases */
    if (atomic_load_explicit(&pool->release_cpus, memory_order_relaxed) == 0)
        return 0;
    slb_rseq_release_run(pool, refs, ids, most, &run);
    if (run.result == SLB_RSEQ_REFUSED)
        return release_run_singly(pool, refs, (uint32_t)most);
    if (slb_unlikely(run.result == SLB_RSEQ_RESTARTED && run.freed != 0))
        give_run(pool, ids, (uint32_t)run.freed);
    return run.freed;
}

/* ------------------------------------------------------------------------------------------- the others */

/* A slab without pins is released as slabby_release does, with the same words and the same order; false: its pins, or
 * anything else that slabby_release leaves to its slow path, are for the caller. */
SLB_INLINE bool release_unpinned(struct slabby_allocator *pool, slabby_ref ref, slabby_status *out_status) {
    uint64_t relative = slb_ref_relative(pool, ref);
    uint64_t id = relative & pool->id_mask, live = relative - id + SLABBY_SLAB_STATE_LIVE;
    if (slb_unlikely(relative >= pool->ref_end || id >= pool->reserved))
        return false;
    enum slb_rseq_result biased =
        slb_bias_release(slb_rseq_finder(), pool, &pool->bias_limit, id, relative - id);
    if (biased != SLB_RSEQ_DONE &&
        !(biased == SLB_RSEQ_REFUSED && slb_bias_release_turned(pool, id, relative - id)) &&
        !slb_word_swap_plain(pool, (uint32_t)id, &live, relative - id + pool->generation_step))
        return false;
    *out_status = return_protected_slab(pool, ref, relative, id);
    return true;
}

SLB_PUBLIC slabby_status slabby_release_deferred(slabby_allocator *allocator, slabby_ref ref) {
    slabby_status status;
    if (slb_likely(slb_is_pool_entry(allocator)) && slb_likely(release_unpinned(allocator, ref, &status)))
        return status;
    SLB_HOLD_HANDLE(allocator);
    struct slabby_allocator *pool = slb_pool_of(allocator);
    if (pool == NULL)
        return SLABBY_INVALID_ARGUMENT;
    status =
        slb_concluded(pool, SLABBY_AUDIT_OPERATION_RELEASE_DEFERRED, ref, slb_release_deferred(pool, ref));
    slb_rearrange_if_due(pool);
    return status;
}

static __attribute__((noinline)) slabby_status release_fast_slow(struct slabby_allocator *pool, uint32_t id) {
    slabby_status status =
        slb_concluded(pool, SLABBY_AUDIT_OPERATION_DEALLOCATE_FAST, id, slb_release_fast(pool, id));
    slb_rearrange_if_due(pool);
    return status;
}

/* The word says free, and its slab is this thread's: so the generation that was released is the one before. */
static __attribute__((noinline)) slabby_status return_fast_slow(struct slabby_allocator *pool, uint32_t id) {
    uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_relaxed);
    slabby_status status = return_slab(pool, id, slb_word_generation(pool->id_bits, word) - 1, true);
    return slb_likely(status == SLABBY_OK) ? status : slb_refuse(pool, status);
}

static __attribute__((noinline)) slabby_status return_fast_counted(struct slabby_allocator *pool,
                                                                   uint32_t id) {
    slb_cache_uncount_fast_given(pool);
    return return_fast_slow(pool, id);
}

/* After the word has been freed. */
SLB_INLINE slabby_status give_fast(struct slabby_allocator *pool, uint32_t id) {
    enum slb_rseq_result result = slb_cache_give_fast(pool, id);
    if (slb_unlikely(result != SLB_RSEQ_DONE))
        return result == SLB_RSEQ_COUNTED ? return_fast_counted(pool, id) : return_fast_slow(pool, id);
    return SLABBY_OK;
}

/* The word is plain, as it is in a pool whose slabs are released on other CPUs than they were allocated on. The same
 * steps as behind the sequence of slabby_deallocate_fast. */
static __attribute__((noinline)) slabby_status release_fast_plain(struct slabby_allocator *pool,
                                                                  uint32_t id) {
    uint64_t word;
    if (slb_unlikely(id >= pool->reserved || slb_rseq_try_read(pool, id, &word) != SLB_RSEQ_DONE))
        return release_fast_slow(pool, id);
    uint64_t generation = word - SLABBY_SLAB_STATE_LIVE_FAST; /* alone, if the rest is as it must be */
    if (slb_unlikely((generation & pool->id_mask) != 0 || generation >= pool->ref_end ||
                     !slb_word_swap_plain(pool, id, &word, generation + pool->generation_step)))
        return release_fast_slow(pool, id);
    SLB_POINT(SLB_POINT_RELEASED);
    /* behind the free word, see protect/switches.c */
    if (slb_unlikely((atomic_load_explicit(&pool->protect, memory_order_seq_cst) & SLB_PROTECT_ON_RELEASE) !=
                     0))
        return return_fast_slow(pool, id);
    return give_fast(pool, id);
}

SLB_PUBLIC SLB_HOT slabby_status slabby_deallocate_fast(slabby_allocator *allocator, uint32_t id) {
    if (slb_unlikely(!slb_is_pool_entry(allocator)))
        return SLABBY_INVALID_ARGUMENT;
    if (slb_unlikely(id >= allocator->reserved || slb_rseq_release_fast(allocator, id) != SLB_RSEQ_DONE))
        return release_fast_plain(allocator, id);
    SLB_POINT(SLB_POINT_RELEASED);
    return give_fast(allocator, id);
}
