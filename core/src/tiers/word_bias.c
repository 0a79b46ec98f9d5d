/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tiers/word_bias.h"

#include "tiers/used_slabs.h"
#include "os/os.h"
#include "tiers/hold.h"
#include "tiers/in_flight.h"

/* Neighbours that a change elsewhere shares with one fence (the words of eight lines). */
#define NEIGHBOURS 64u

/* How many words a mass revocation notes at once where it gets no memory. */
#define FEW_AT_ONCE 128u

/* Where a CPU changes what it biases to, so many words around the last one share a fence: what it served before is
 * biased wrongly too, and would take a fence for each 64 of them. */
#define AROUND (1u << 14)

#define ANY_CPU UINT32_MAX

/* Fences take at most one part in 2^BACKOFF_LOG2 of all time; this many may come at once; and a fence counts at most
 * this many times the cheapest one, however long its thread was kept from running. */
#define BACKOFF_LOG2 10
#define AT_ONCE_LOG2 4
#define DEAREST_LOG2 6

/* So many fences beyond that, for words that are biased to one CPU, change what is biased to it. */
#define TIMES_TOO_MANY 4u

/* ------------------------------------------------------------------------------------------------- biasing */

/* relaxed: `issue` is a hint, each word says for itself which CPU it is biased to */
static uint64_t issue_of(struct slabby_allocator *pool, uint32_t cpu) {
    return atomic_load_explicit(&pool->caches[cpu].cache.issue, memory_order_relaxed);
}

SLB_PRIVATE uint64_t slb_bias_poll(struct slabby_allocator *pool, uint32_t cpu) {
    if (cpu >= pool->rseq_cpus)
        return 0;
    struct slb_cpu_cache *cache = &pool->caches[cpu].cache;
    uint64_t issue = issue_of(pool, cpu);
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

SLB_PRIVATE bool slb_bias_is_remote(struct slabby_allocator *pool, uint32_t cpu) {
    uint64_t issue = cpu < pool->rseq_cpus ? issue_of(pool, cpu) : 0;
    return issue != 0 && issue != slb_word_mark(cpu);
}

/* Slabs that `cpu` allocates lose their bias on this CPU too often. Where the last change was long ago, they are biased
 * to this CPU from now on; else to none until `until`. Only a CPU that releases its own slabs again biases them to
 * itself at once: a third change in this time is one to none. relaxed: hints, as above. */
static void change_issue(struct slabby_allocator *pool, uint32_t cpu, uint64_t now, uint64_t until) {
    struct slb_cpu_cache *cache = &pool->caches[cpu].cache;
    uint32_t here = slb_os_cpu(), before = slb_word_bias_cpu(issue_of(pool, cpu));
    bool returns = here == cpu && before != cpu;
    bool backs_off = (!returns && now < atomic_load_explicit(&cache->backoff_until, memory_order_relaxed)) ||
                     here >= pool->rseq_cpus || !slb_os_fences_well();
    atomic_store_explicit(&cache->backoff_until, until, memory_order_relaxed);
    atomic_store_explicit(&cache->issue, backs_off ? 0 : slb_word_mark(here), memory_order_relaxed);
    if (before != cpu && !slb_bias_is_remote(pool, cpu))
        atomic_fetch_or_explicit(&pool->rearranges, 1ull << cpu % 64 | 1ull << before % 64,
                                 memory_order_relaxed);
}

/* Words that are biased to `biased_to` are revoked too often. A word does not say which CPU served its slab. If others
 * bias to `biased_to` too, theirs is the bias that is probably wrong. A single release elsewhere does not change what
 * many may do rightly. True: who biases to `biased_to` has changed. relaxed: hints, and a count that goes lost makes it
 * come one fence later. */
static bool note_too_many(struct slabby_allocator *pool, uint32_t biased_to, uint64_t now, uint64_t until) {
    _Atomic uint32_t *revoked = &pool->caches[biased_to].cache.revoked;
    uint32_t times = atomic_load_explicit(revoked, memory_order_relaxed) + 1;
    bool others = false;
    atomic_store_explicit(revoked, times % TIMES_TOO_MANY, memory_order_relaxed);
    if (times < TIMES_TOO_MANY)
        return false;
    for (uint32_t cpu = 0, cpus = pool->rseq_cpus; cpu < cpus; cpu++) {
        if (cpu == biased_to || issue_of(pool, cpu) != slb_word_mark(biased_to))
            continue;
        change_issue(pool, cpu, now, until);
        others = true;
    }
    if (!others && issue_of(pool, biased_to) == slb_word_mark(biased_to)) {
        change_issue(pool, biased_to, now, until);
        return true;
    }
    return others;
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

/* A leaky bucket: each fence of any pool moves the time until which fences are paid for further ahead. While this time
 * is too far ahead, a CPU whose slabs lose their bias changes what it biases to: then the answer is true. `cpu`: what
 * they were biased to. */
static bool note_fence(struct slabby_allocator *pool, uint32_t cpu, uint64_t began, uint64_t ended) {
    uint64_t price = cost_of_fence(began, ended) << BACKOFF_LOG2;
    uint64_t until = atomic_load_explicit(&slb_fence_budget.paid_until, memory_order_relaxed), next;
    do
        next = (until > ended ? until : ended) + price;
    while (!atomic_compare_exchange_weak_explicit(&slb_fence_budget.paid_until, &until, next,
                                                  memory_order_relaxed, memory_order_relaxed));
    uint64_t cheapest = atomic_load_explicit(&slb_fence_budget.cheapest, memory_order_relaxed);
    if (cpu >= pool->rseq_cpus || next - ended <= cheapest << (BACKOFF_LOG2 + AT_ONCE_LOG2))
        return false;
#ifdef SLABBY_TEST_HOOKS
    if (slb_test_bias_never_backs_off)
        return false;
#endif
    return note_too_many(pool, cpu, ended, next);
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
 * fails where the last commit of a sequence came before the fence, or another thread has made the word plain. Answers
 * as note_fence.
 */
static bool revoke_range(struct slabby_allocator *pool, uint32_t first, uint32_t end, uint32_t cpu,
                         uint64_t *announced) {
    uint64_t any = 0;
    for (uint32_t id = first; id < end; id++)
        any |= announced[id - first] = announce_revocation(pool, id, cpu);
    if (any == 0)
        return false;
    SLB_POINT(SLB_POINT_REVOKING);
    uint64_t began = slb_os_ticks();
    slb_os_fence_rseq();
    bool changed = note_fence(pool, cpu, began, slb_os_ticks());
    SLB_POINT(SLB_POINT_REVOKED);
    for (uint32_t id = first; id < end; id++) {
        uint64_t revoking = announced[id - first];
        if (revoking != 0)
            (void)atomic_compare_exchange_strong_explicit(&pool->words[id], &revoking,
                                                          slb_word_plain(revoking), memory_order_seq_cst,
                                                          memory_order_relaxed);
    }
    return changed;
}

static uint32_t end_of(const struct slabby_allocator *pool, uint32_t first, uint64_t wanted) {
    uint64_t left = pool->reserved - first;
    return first + (uint32_t)(left < wanted ? left : wanted);
}

/* The words of the used slabs first .. end-1 that are biased to `cpu`, with one fence for all. Where there is no memory
 * to note them, it takes more fences for ANY_CPU, whose caller must have them revoked, and else leaves them. */
static void revoke_used(struct slabby_allocator *pool, uint32_t first, uint32_t end, uint32_t cpu) {
    uint64_t few[FEW_AT_ONCE], length = FEW_AT_ONCE;
    uint64_t page = slb_os_page_size(), size = ((end - first) * sizeof few[0] + page - 1) / page * page;
    bool are_many = end - first > FEW_AT_ONCE;
    uint64_t *mapped = are_many ? slb_os_map(size) : NULL;
    if (mapped != NULL)
        length = end - first;
    else if (are_many && cpu != ANY_CPU)
        return;
    for (uint32_t id = slb_next_used(pool, first), next; id < end; id = slb_next_used(pool, next)) {
        next = end_of(pool, id, length);
        next = next < end ? next : end;
        (void)revoke_range(pool, id, next, cpu, mapped == NULL ? few : mapped);
    }
    slb_os_unmap(mapped, size);
}

static void revoke_neighbours(struct slabby_allocator *pool, uint32_t id, uint32_t cpu) {
    uint64_t announced[NEIGHBOURS];
    uint32_t first = id - id % NEIGHBOURS, around = id - id % AROUND;
    if (revoke_range(pool, first, end_of(pool, first, NEIGHBOURS), cpu, announced))
        revoke_used(pool, around, end_of(pool, around, AROUND), cpu);
}

SLB_PRIVATE void slb_bias_revoke_all(struct slabby_allocator *pool) {
    if (pool->rseq_cpus != 0)
        revoke_used(pool, 0, pool->reserved, ANY_CPU);
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
    /* acquire: pairs with the end of the rebuilding. The reason was set while the child had one thread. */
    if (slb_unlikely(atomic_load_explicit(&pool->gate.reasons, memory_order_acquire) & SLB_GATE_FORKED))
        slb_fork_rebuild(pool);
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
    return result == SLB_RSEQ_DONE;
}

SLB_PRIVATE SLB_COLD bool slb_bias_swap(struct slabby_allocator *pool, uint32_t id, uint64_t *word,
                                        uint64_t new_word) {
    uint64_t plain = slb_word_plain(*word);
    SLB_HOLD(pool); /* a caller whose pin is gone has nothing else that keeps the pool */
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
