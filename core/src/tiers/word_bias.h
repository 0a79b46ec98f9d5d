/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Biased words: release without an atomic instruction, as biased locking does it for locks.
 *
 * On many processors the compare-and-swap is most of the cost of a release. It is needed only because another CPU might
 * release or pin the same slab at that moment. So allocate biases the word to the CPU on which the slab will probably
 * be released: at first the CPU that served it. Until the bias is revoked, only sequences that run on the CPU of the
 * bias change the word, each with one committing store:
 *
 *      {g, CPU 1, live}  --- sequence on CPU 1: release, pin, ... ---->  {g + 1, 0, free}, {g, CPU 1, turn 1, live}
 *            |                                                                  ^
 *            | swap, on any CPU                                                 | swap, on any CPU
 *            v                                                                  |
 *      {g, revoking, live}  --- fence, then swap, on any CPU --->  {g, its pins, live}
 *
 * Exactly one of several changes succeeds:
 * - Two sequences on the CPU of the bias: one of the threads was preempted inside its sequence, and restarts.
 * - A sequence and a thread on another CPU: that thread changes nothing before a fence that began after the word said
 *   revoking. The fence restarts every sequence that had read the bias, or finds its commit done; later sequences read
 *   revoking and refuse. A commit over `revoking` leaves a later generation, a later turn or another state, and none
 *   of them comes back (slab_word.h). So the swap to the plain word fails, and the caller reads the word again.
 * - Two threads on other CPUs: each runs a fence of its own after it read this very word, with this generation, so
 *   either may make it plain; from then on a compare-and-swap decides.
 * Nothing waits for a thread: each caller completes the revocation itself, also in a signal handler, in a child of
 * fork, or after the thread that began it has ended.
 *
 * A fence costs microseconds and disturbs the other CPUs. So one fence revokes the bias of 64 neighbouring words, and
 * in the whole process fences take about a thousandth of the time at most. Where they would take more, the CPU whose
 * slabs lose their bias biases them to the CPU that has just revoked it, and one fence revokes what was biased before:
 * then a consumer releases by sequences what a producer allocates. Once it releases its slabs itself again, it biases
 * them to itself. If either turns out wrong before those fences are paid for, the CPU backs off, and its words are
 * plain for a while. Where the system has begun to refuse its fence, no word is biased any more.
 *
 * Nothing above depends on where a word was biased from: its first store is the last step of an allocation, which has
 * the free slab to itself, and whose thread may have moved to any CPU since it took the slab.
 *
 * Unlike a compare-and-swap the commit is no barrier: other CPUs see it a moment later, before the slab can be
 * allocated again.
 */
#ifndef SLB_TIERS_WORD_BIAS_H
#define SLB_TIERS_WORD_BIAS_H

#include "pool.h"
#include "ref.h"
#include "tiers/cpu_cache_rseq.h"

/* One for the whole process, because a fence disturbs all of it: the ticks that the cheapest fence took, and the time
 * until which fences are paid for. */
struct slb_fence_budget {
    _Atomic uint64_t cheapest, paid_until;
};

SLB_SHARED_DATA struct slb_fence_budget slb_fence_budget;

/* The bits that go into the word of a slab that this cache served: the bias to a CPU, or none. relaxed: a hint, because
 * each word itself says which CPU it is biased to. */
SLB_INLINE uint64_t slb_bias_here(const struct slb_cpu_cache *cache) {
    return atomic_load_explicit(&cache->issue, memory_order_relaxed);
}

/* Releases in one try, where *limit allows it: pool->ref_limit or pool->bias_limit. Done: the slab was live under the
 * generation of `free_word`, its word when it was free last, and biased to this CPU; the next generation is not the
 * last. Refused: the word is a different one; the id may be none of the pool's. Restarted: the word was not read,
 * because `free_word` is at or above the limit, or because the kernel restarted the sequence. */
SLB_INLINE enum slb_rseq_result slb_bias_release(intptr_t area, struct slabby_allocator *pool,
                                                 const _Atomic uint64_t *limit, uint64_t id,
                                                 uint64_t free_word) {
    return slb_rseq_release(area, pool, limit, id, free_word);
}

/* The same for a slab that was pinned and unpinned on this CPU. */
SLB_INLINE bool slb_bias_release_turned(struct slabby_allocator *pool, uint64_t id, uint64_t free_word) {
    uint64_t biased = free_word + (SLABBY_SLAB_STATE_LIVE | SLB_WORD_BIASED) + 2 * SLB_WORD_TURN;
    return slb_rseq_try_swap(pool, id, biased, free_word + pool->generation_step) == SLB_RSEQ_DONE;
}

/* One try to pin or unpin a slab by a turn of its word, which this CPU alone can do. False too if `new_word` is no
 * turn. */
SLB_INLINE bool slb_bias_turn(struct slabby_allocator *pool, uint32_t id, uint64_t word, uint64_t new_word) {
    return slb_word_is_biased(new_word) &&
           slb_rseq_try_swap(pool, id, slb_word_of_any_cpu(word), new_word) == SLB_RSEQ_DONE;
}

/* Changes a biased word, or makes it plain and answers false; *word is then what it has become. */
SLB_PRIVATE bool slb_bias_swap(struct slabby_allocator *pool, uint32_t id, uint64_t *word, uint64_t new_word);

/* The same in a hold, for a caller that cannot run the sequence; the word of a pool that has ended is 0. */
SLB_PRIVATE bool slb_word_read_held(struct slabby_allocator *pool, uint32_t id, uint64_t *out_word);
SLB_PRIVATE bool slb_word_swap_held(struct slabby_allocator *pool, uint32_t id, uint64_t *word,
                                    uint64_t new_word);

/* The word of a slab, also for callers that do not know whether the pool has ended (tiers/hold.h). False: it has
 * ended. */
SLB_INLINE bool slb_word_read(struct slabby_allocator *pool, uint32_t id, uint64_t *out_word) {
    if (slb_likely(slb_rseq_try_read(pool, id, out_word) == SLB_RSEQ_DONE))
        return true;
    return slb_word_read_held(pool, id, out_word);
}

/* Whether a reference names a live slab, and that slab's word. One try: false too where it names the last generation,
 * and where the sequence did not run through; then the caller asks slb_ref_live_word in a hold. */
SLB_INLINE bool slb_word_read_live(struct slabby_allocator *pool, slabby_ref ref, uint32_t *out_id,
                                   uint64_t *out_word) {
    uint64_t relative = slb_ref_relative(pool, ref);
    uint64_t id = relative & pool->id_mask;
    *out_id = (uint32_t)id;
    return slb_likely(relative < pool->ref_end && id < pool->reserved &&
                      slb_rseq_try_read(pool, id, out_word) == SLB_RSEQ_DONE &&
                      slb_word_without_pins(*out_word) == relative - id + SLABBY_SLAB_STATE_LIVE);
}

/* One try to move a plain word on; where it fails *word is what it has become, 0 in a pool that has ended. Releases the
 * owner's writes to the thread that gets the slab next, acquires those of others who held pins. seq_cst, because
 * protections are read behind it: a caller that switches one on reads the words next, and either finds the slab live or
 * is seen here. */
SLB_INLINE bool slb_word_swap_plain(struct slabby_allocator *pool, uint32_t id, uint64_t *word,
                                    uint64_t new_word) {
    uint64_t expected = *word;
    if (slb_unlikely(slb_rseq_try_exchange(pool, id, expected, new_word, word) != SLB_RSEQ_DONE))
        return slb_word_swap_held(pool, id, word, new_word);
    return *word == expected;
}

/* The same for a word that may be biased. */
SLB_INLINE bool slb_word_swap(struct slabby_allocator *pool, uint32_t id, uint64_t *word, uint64_t new_word) {
    return slb_word_is_biased(*word) ? slb_bias_swap(pool, id, word, new_word)
                                     : slb_word_swap_plain(pool, id, word, new_word);
}

/* Makes the words of all slabs plain, with one fence for all where there is memory to note them. */
SLB_PRIVATE void slb_bias_revoke_all(struct slabby_allocator *pool);

/* Slabs that are served from now on are not biased, until slb_bias_poll allows it again. */
SLB_PRIVATE void slb_bias_disable(struct slabby_allocator *pool);

/* For slow paths of a CPU: slabs that its cache serves from now on are biased, to this CPU where they were not, unless
 * the CPU backs off. Answers as slb_bias_here. */
SLB_PRIVATE uint64_t slb_bias_poll(struct slabby_allocator *pool, uint32_t cpu);

/* Whether the slabs that this CPU allocates are released on another one, as far as is known. */
SLB_PRIVATE bool slb_bias_is_remote(struct slabby_allocator *pool, uint32_t cpu);

#endif
