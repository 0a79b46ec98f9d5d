/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tiers/word_bias.h"

#include "tiers/used_slabs.h"
#include "os/os.h"
#include "tiers/hold.h"
#include "tiers/in_flight.h"

/* Neighbours that a change elsewhere shares with one fence (the words of eight lines). */
#define NEIGHBOURS 64u

/* How many words slb_bias_revoke_all notes at once where it gets no memory. */
#define FEW_AT_ONCE 128u

#define ANY_CPU UINT32_MAX

/* So many plain words in a row make a CPU expect the next one. */
#define PLAIN_IN_A_ROW 8u

/* Fences take at most one part in 2^BACKOFF_LOG2 of all time; this many may come at once; and a fence counts at most
 * this many times the cheapest one, however long its thread was kept from running. */
#define BACKOFF_LOG2 10
#define AT_ONCE_LOG2 4
#define DEAREST_LOG2 6

/* ------------------------------------------------------------------------------------------------- biasing */

/* relaxed: `issue` is a hint, each word says for itself which CPU it is biased to */
SLB_PRIVATE uint64_t slb_bias_poll(struct slabby_allocator *pool, uint32_t cpu) {
    if (cpu >= pool->rseq_cpus)
        return 0;
    struct slb_cpu_cache *cache = &pool->caches[cpu].cache;
    uint64_t issue = atomic_load_explicit(&cache->issue, memory_order_relaxed);
    if (issue != 0)
        return issue;
    uint64_t backoff_until = atomic_load_explicit(&cache->backoff_until, memory_order_relaxed);
    if ((backoff_until != 0 && slb_os_ticks() < backoff_until) || !slb_os_fences_well())
        return 0;
    issue = slb_word_mark(cpu);
    atomic_store_explicit(&cache->issue, issue, memory_order_relaxed);
    return issue;
}

SLB_PRIVATE void slb_bias_disable(struct slabby_allocator *pool) {
    for (uint32_t cpu = 0; cpu < pool->rseq_cpus; cpu++)
        atomic_store_explicit(&pool->caches[cpu].cache.issue, 0, memory_order_relaxed);
}

/* relaxed: a hint as well; a count that goes lost makes it come one release later */
SLB_PRIVATE void slb_bias_note_plain(struct slabby_allocator *pool) {
    uint32_t cpu = slb_os_cpu();
    if (cpu >= pool->rseq_cpus)
        return;
    _Atomic uint32_t *met = &pool->caches[cpu].cache.plain_met;
    uint32_t now = atomic_load_explicit(met, memory_order_relaxed) + 1;
    atomic_store_explicit(met, now % PLAIN_IN_A_ROW, memory_order_relaxed);
    if (now == PLAIN_IN_A_ROW)
        atomic_fetch_or_explicit(&pool->expects_plain, 1ull << cpu % 64, memory_order_relaxed);
}

static void expect_biased(struct slabby_allocator *pool) {
    uint32_t cpu = slb_os_cpu();
    uint64_t bit = 1ull << cpu % 64;
    if (cpu >= pool->rseq_cpus)
        return;
    atomic_store_explicit(&pool->caches[cpu].cache.plain_met, 0, memory_order_relaxed);
    if (atomic_load_explicit(&pool->expects_plain, memory_order_relaxed) & bit)
        atomic_fetch_and_explicit(&pool->expects_plain, ~bit, memory_order_relaxed);
}

/* ------------------------------------------------------------------------------------------ what it costs */

#ifndef SLB_AMALGAMATION
struct slb_fence_budget slb_fence_budget;
#endif

/* relaxed throughout: none of this decides about a word */

static uint64_t cost_of_fence(uint64_t began, uint64_t ended) {
    uint64_t cost = ended > began ? ended - began : 1;
    uint64_t cheapest = atomic_load_explicit(&slb_fence_budget.cheapest, memory_order_relaxed);
    while ((cheapest == 0 || cost < cheapest) &&
           !atomic_compare_exchange_weak_explicit(&slb_fence_budget.cheapest, &cheapest, cost,
                                                  memory_order_relaxed, memory_order_relaxed))
        continue;
    return cheapest != 0 && cost > cheapest << DEAREST_LOG2 ? cheapest << DEAREST_LOG2 : cost;
}

/* A leaky bucket: each fence of any pool moves the time until which fences are paid for further ahead. A CPU whose
 * slabs lose their bias while this time is too far ahead backs off until then: no word is biased to it. */
static void note_fence(struct slabby_allocator *pool, uint32_t cpu, uint64_t began, uint64_t ended) {
    uint64_t price = cost_of_fence(began, ended) << BACKOFF_LOG2;
    uint64_t until = atomic_load_explicit(&slb_fence_budget.paid_until, memory_order_relaxed), next;
    do
        next = (until > ended ? until : ended) + price;
    while (!atomic_compare_exchange_weak_explicit(&slb_fence_budget.paid_until, &until, next,
                                                  memory_order_relaxed, memory_order_relaxed));
    uint64_t cheapest = atomic_load_explicit(&slb_fence_budget.cheapest, memory_order_relaxed);
    if (cpu >= pool->rseq_cpus || next - ended <= cheapest << (BACKOFF_LOG2 + AT_ONCE_LOG2))
        return;
#ifdef SLABBY_TEST_HOOKS
    if (slb_test_bias_never_backs_off)
        return;
#endif
    struct slb_cpu_cache *cache = &pool->caches[cpu].cache;
    atomic_store_explicit(&cache->backoff_until, next, memory_order_relaxed);
    atomic_store_explicit(&cache->issue, 0, memory_order_relaxed);
}

/* ------------------------------------------------------------------------------------------------ revoking */

/* The word that says revoking from now on, or 0. seq_cst: before the fence, whose barrier orders it for every
 * sequence. */
static uint64_t announce_revocation(struct slabby_allocator *pool, uint32_t id, uint32_t cpu) {
    uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_seq_cst);
    uint64_t revoking = word | slb_word_mark(SLB_WORD_REVOKING);
    if (!slb_word_is_biased(word))
        return 0;
    if (word == revoking)
        return revoking;
    if (cpu != ANY_CPU && slb_word_bias_cpu(word) != cpu)
        return 0;
    return atomic_compare_exchange_strong_explicit(&pool->words[id], &word, revoking, memory_order_seq_cst,
                                                   memory_order_relaxed)
               ? revoking
               : 0;
}

/*
 * The words of slabs first .. end-1 that are biased to `cpu`, or revoking. Behind the fence only the very words that
 * said revoking before it may become plain: a later generation of the same slab may say revoking by then, while a
 * sequence of its CPU is under way. A word that was left never comes back, so the comparison cannot be deceived. It
 * fails where the last commit of a sequence came before the fence, or another thread has made the word plain.
 */
static void revoke_range(struct slabby_allocator *pool, uint32_t first, uint32_t end, uint32_t cpu,
                         uint64_t *announced) {
    uint64_t any = 0;
    for (uint32_t id = first; id < end; id++)
        any |= announced[id - first] = announce_revocation(pool, id, cpu);
    if (any == 0)
        return;
    SLB_POINT(SLB_POINT_REVOKING);
    uint64_t began = slb_os_ticks();
    slb_os_fence_rseq();
    note_fence(pool, cpu, began, slb_os_ticks());
    SLB_POINT(SLB_POINT_REVOKED);
    for (uint32_t id = first; id < end; id++) {
        uint64_t revoking = announced[id - first];
        if (revoking != 0)
            (void)atomic_compare_exchange_strong_explicit(&pool->words[id], &revoking,
                                                          slb_word_plain(revoking), memory_order_seq_cst,
                                                          memory_order_relaxed);
    }
}

static uint32_t end_of(const struct slabby_allocator *pool, uint32_t first, uint64_t wanted) {
    uint64_t left = pool->reserved - first;
    return first + (uint32_t)(left < wanted ? left : wanted);
}

static void revoke_neighbours(struct slabby_allocator *pool, uint32_t id, uint32_t cpu) {
    uint64_t announced[NEIGHBOURS];
    uint32_t first = id - id % NEIGHBOURS;
    revoke_range(pool, first, end_of(pool, first, NEIGHBOURS), cpu, announced);
}

SLB_PRIVATE void slb_bias_revoke_all(struct slabby_allocator *pool) {
    uint64_t few[FEW_AT_ONCE], length = FEW_AT_ONCE;
    uint64_t page = slb_os_page_size(), size = (pool->reserved * sizeof few[0] + page - 1) / page * page;
    if (pool->rseq_cpus == 0)
        return;
    uint64_t *mapped = pool->reserved > FEW_AT_ONCE ? slb_os_map(size) : NULL;
    if (mapped != NULL)
        length = pool->reserved;
    for (uint32_t id = slb_next_used(pool, 0), end; id < pool->reserved; id = slb_next_used(pool, end)) {
        end = end_of(pool, id, length);
        revoke_range(pool, id, end, ANY_CPU, mapped == NULL ? few : mapped);
    }
    slb_os_unmap(mapped, size);
}

/* ------------------------------------------------------------------------------------------------- changing */

/* In a hold. The id may belong to an earlier pool, if this thread was stopped while the entry got its next pool. */
static bool has_word(struct slabby_allocator *pool, uint32_t id) {
    return slb_pool_exists(pool) && id < atomic_load_explicit(&pool->id_limit, memory_order_relaxed);
}

SLB_PRIVATE SLB_COLD bool slb_word_read_held(struct slabby_allocator *pool, uint32_t id, uint64_t *out_word) {
    SLB_HOLD(pool);
    bool exists = has_word(pool, id);
    *out_word = exists ? atomic_load_explicit(&pool->words[id], memory_order_acquire) : 0;
    return exists;
}

SLB_PRIVATE SLB_COLD bool slb_word_swap_held(struct slabby_allocator *pool, uint32_t id, uint64_t *word,
                                             uint64_t new_word) {
    SLB_HOLD(pool);
    if (has_word(pool, id))
        return atomic_compare_exchange_strong_explicit(&pool->words[id], word, new_word, memory_order_seq_cst,
                                                       memory_order_acquire);
    *word = 0;
    return false;
}

static bool swap_here(struct slabby_allocator *pool, uint32_t id, uint64_t word, uint64_t new_word) {
    enum slb_rseq_result result = SLB_RSEQ_RESTARTED;
    for (int tries = 0; tries < SLB_RSEQ_TRIES && result == SLB_RSEQ_RESTARTED; tries++)
        result = slb_rseq_try_swap(pool, id, slb_word_of_any_cpu(word), new_word);
    if (result == SLB_RSEQ_DONE)
        expect_biased(pool);
    return result == SLB_RSEQ_DONE;
}

SLB_PRIVATE SLB_COLD bool slb_bias_swap(struct slabby_allocator *pool, uint32_t id, uint64_t *word,
                                        uint64_t new_word) {
    uint64_t plain = slb_word_plain(*word);
    SLB_HOLD(pool); /* a caller that gave up its pin has nothing else that keeps the pool */
    if (swap_here(pool, id, *word, new_word))
        return true;
    if (!has_word(pool, id)) {
        *word = 0;
        return false;
    }
    *word = atomic_load_explicit(&pool->words[id], memory_order_acquire);
    if (slb_word_is_biased(*word) && slb_word_plain(*word) == plain) {
        revoke_neighbours(pool, id, slb_word_bias_cpu(*word));
        if (!slb_os_fences_well()) { /* fences are slow here: no word is biased any more */
            slb_bias_disable(pool);
            slb_bias_revoke_all(pool);
        }
        *word = atomic_load_explicit(&pool->words[id], memory_order_acquire);
    }
    return false;
}
