/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "word_owner.h"

#include "maintenance.h"
#include "os/os.h"

/* Neighbours that a change elsewhere shares with one fence (the words of eight lines), and the most of any fence. */
#define NEIGHBOURS 64u
#define SHARED_AT_ONCE 4096u

#define ANY_OWNER UINT32_MAX

/* So many plain words in a row make a CPU expect the next one. */
#define PLAIN_IN_A_ROW 8u

/* A CPU pays for a fence with so many times its length of rest, and may be so many fences behind. */
#define REST_LOG2 10
#define FENCES_AHEAD_LOG2 4

/* ------------------------------------------------------------------------------------------------ owning */

/* relaxed: `issue` is a hint, each word says for itself who owns it */
SLB_PRIVATE uint32_t slb_owner_look(struct slabby_allocator *pool, uint32_t cpu) {
    if (cpu >= atomic_load_explicit(&pool->release_cpus, memory_order_relaxed))
        return 0;
    struct slb_cpu_cache *cache = &pool->caches[cpu].cache;
    uint32_t issue = atomic_load_explicit(&cache->issue, memory_order_relaxed);
    if (issue != 0)
        return issue;
    uint64_t rests_until = atomic_load_explicit(&cache->rests_until, memory_order_relaxed);
    if (rests_until != 0 && slb_os_ticks() < rests_until)
        return 0;
    issue = cpu << SLB_WORD_OWNER_SHIFT | SLB_WORD_OWNED;
    atomic_store_explicit(&cache->issue, (uint16_t)issue, memory_order_relaxed);
    return issue;
}

/* relaxed: a hint as well; a count that goes lost makes it come one release later */
SLB_PRIVATE void slb_owner_note_plain(struct slabby_allocator *pool) {
    uint32_t cpu = slb_os_cpu();
    if (cpu >= pool->rseq_cpus)
        return;
    _Atomic uint32_t *met = &pool->caches[cpu].cache.plain_met;
    uint32_t now = atomic_load_explicit(met, memory_order_relaxed) + 1;
    atomic_store_explicit(met, now % PLAIN_IN_A_ROW, memory_order_relaxed);
    if (now == PLAIN_IN_A_ROW)
        atomic_fetch_or_explicit(&pool->expects_plain, 1ull << cpu % 64, memory_order_relaxed);
}

static void expect_owned(struct slabby_allocator *pool) {
    uint32_t cpu = slb_os_cpu();
    uint64_t bit = 1ull << cpu % 64;
    if (cpu >= pool->rseq_cpus)
        return;
    atomic_store_explicit(&pool->caches[cpu].cache.plain_met, 0, memory_order_relaxed);
    if (atomic_load_explicit(&pool->expects_plain, memory_order_relaxed) & bit)
        atomic_fetch_and_explicit(&pool->expects_plain, ~bit, memory_order_relaxed);
}

/* A leaky bucket: what fences cost a CPU's owning drains at a thousandth of the time. */
static void note_fence(struct slabby_allocator *pool, uint32_t owner, uint64_t began, uint64_t ended) {
    if (owner >= pool->rseq_cpus)
        return;
#ifdef SLABBY_TEST_HOOKS
    if (slb_test_owners_never_rest)
        return;
#endif
    struct slb_cpu_cache *cache = &pool->caches[owner].cache;
    uint64_t cost = ended > began ? ended - began : 1;
    uint64_t rests_until = atomic_load_explicit(&cache->rests_until, memory_order_relaxed);
    rests_until = (rests_until > ended ? rests_until : ended) + (cost << REST_LOG2);
    atomic_store_explicit(&cache->rests_until, rests_until, memory_order_relaxed);
    if (rests_until - ended > cost << (REST_LOG2 + FENCES_AHEAD_LOG2))
        atomic_store_explicit(&cache->issue, 0, memory_order_relaxed);
}

/* ----------------------------------------------------------------------------------------------- sharing */

/* Whether the word says nobody now. seq_cst: before the fence, whose barrier orders it for every sequence. */
static bool disown(struct slabby_allocator *pool, uint32_t id, uint32_t owner) {
    uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_seq_cst);
    if (!slb_word_is_owned(word))
        return false;
    if (slb_word_owner(word) == SLB_WORD_NOBODY)
        return true;
    if (owner != ANY_OWNER && slb_word_owner(word) != owner)
        return false;
    uint64_t nobody = word | (uint64_t)SLB_WORD_NOBODY << SLB_WORD_OWNER_SHIFT;
    return atomic_compare_exchange_strong_explicit(&pool->words[id], &word, nobody, memory_order_seq_cst,
                                                   memory_order_relaxed);
}

/* Fails where the last owner's commit came before the fence, or somebody else has shared the word. */
static void make_plain(struct slabby_allocator *pool, uint32_t id) {
    uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_acquire);
    if (slb_word_is_owned(word) && slb_word_owner(word) == SLB_WORD_NOBODY)
        (void)atomic_compare_exchange_strong_explicit(&pool->words[id], &word, slb_word_plain(word),
                                                      memory_order_seq_cst, memory_order_relaxed);
}

/* The words of slabs first .. end-1 that `owner` owns, or nobody. Only those that said nobody before the fence may be
 * made plain behind it, hence the bits. */
static void share(struct slabby_allocator *pool, uint32_t first, uint32_t end, uint32_t owner) {
    uint64_t disowned[SHARED_AT_ONCE / 64], any = 0;
    for (uint32_t id = first; id < end; id++) {
        uint32_t at = id - first;
        uint64_t bit = (uint64_t)disown(pool, id, owner) << (at % 64);
        disowned[at / 64] = at % 64 == 0 ? bit : disowned[at / 64] | bit;
        any |= bit;
    }
    if (any == 0)
        return;
    SLB_POINT(SLB_POINT_SHARING);
    uint64_t began = slb_os_ticks();
    slb_os_fence_rseq();
    note_fence(pool, owner, began, slb_os_ticks());
    for (uint32_t at = 0; at < end - first; at++)
        if (disowned[at / 64] >> (at % 64) & 1)
            make_plain(pool, first + at);
}

static void share_from(struct slabby_allocator *pool, uint32_t first, uint32_t wanted, uint32_t owner) {
    uint32_t left = pool->reserved - first;
    share(pool, first, first + (left < wanted ? left : wanted), owner);
}

SLB_PRIVATE void slb_owner_share_all(struct slabby_allocator *pool) {
    for (uint32_t id = slb_next_used(pool, 0); id < pool->reserved && pool->rseq_cpus != 0;
         id = slb_next_used(pool, id + SHARED_AT_ONCE))
        share_from(pool, id, SHARED_AT_ONCE, ANY_OWNER);
}

static bool swap_here(struct slabby_allocator *pool, uint32_t id, uint64_t plain, uint64_t new_word) {
    enum slb_rseq_result result = SLB_RSEQ_RESTARTED;
    for (int tries = 0; tries < SLB_RSEQ_TRIES && result == SLB_RSEQ_RESTARTED; tries++)
        result = slb_rseq_try_swap(pool, id, plain | SLB_WORD_OWNED, new_word);
    if (result == SLB_RSEQ_DONE)
        expect_owned(pool);
    return result == SLB_RSEQ_DONE;
}

SLB_PRIVATE SLB_COLD bool slb_owner_swap(struct slabby_allocator *pool, uint32_t id, uint64_t *word,
                                         uint64_t new_word) {
    uint64_t plain = slb_word_plain(*word);
    if (swap_here(pool, id, plain, new_word))
        return true;
    *word = atomic_load_explicit(&pool->words[id], memory_order_acquire);
    if (slb_word_is_owned(*word) && slb_word_plain(*word) == plain) {
        share_from(pool, id - id % NEIGHBOURS, NEIGHBOURS, slb_word_owner(*word));
        *word = atomic_load_explicit(&pool->words[id], memory_order_acquire);
    }
    return false;
}
