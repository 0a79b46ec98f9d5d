/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protect/shuffle.h"

#include "slab_word.h"
#include "tiers/gate.h"
#include "tiers/random.h"
#include "tiers/shards.h"

/* Swaps a random one of `count` ids into the last place. */
SLB_INLINE void choose_last(uint32_t *ids, uint32_t count, uint32_t random) {
    uint32_t k = slb_random_scaled(random, count), last = ids[count - 1];
    ids[count - 1] = ids[k];
    ids[k] = last;
}

SLB_PRIVATE bool slb_shuffle(struct slabby_allocator *pool, uint32_t *ids, uint32_t count) {
    if ((atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_SHUFFLE) == 0)
        return false;
    struct slb_random random = slb_random_begin(pool, count / 2);
    for (; count > 1; count -= 2) {
        uint64_t both = slb_random_next(&random);
        choose_last(ids, count, (uint32_t)(both >> 32));
        choose_last(ids, count - 1, (uint32_t)both);
    }
    return true;
}

SLB_PRIVATE uint32_t slb_shuffle_hold_back(const struct slabby_allocator *pool, uint32_t count) {
    uint32_t reserve = pool->cache_max == 0 ? 0 : pool->batch / 4;
    return reserve < count ? reserve : count;
}

/* ------------------------------------------------------------------------- lines of words that two CPUs use */

/* One mix in so many compares the lines with those of another CPU: it reads up to 2 KiB that the other one writes. */
#define COMPARE_EVERY 256u

/* A line has the mark of its number's last 12 bits; in a large pool a few lines have the mark of another one. */
#define LINE_MARKS 4096u

struct line_marks {
    uint64_t bits[LINE_MARKS / 64];
};

SLB_INLINE uint32_t mark_of(uint32_t id) {
    return id / SLB_WORDS_A_LINE % LINE_MARKS;
}

/* The ids are hints: the other CPU changes them meanwhile. So ThreadSanitizer is not to watch. */
static __attribute__((no_sanitize("thread"))) void mark_lines(const struct slb_cpu_cache *cache,
                                                              struct line_marks *marks) {
    const volatile uint32_t *ids = cache->ids;
    uint32_t count = slb_header_ids(atomic_load_explicit(&cache->header, memory_order_relaxed));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t mark = mark_of(ids[i]);
        marks->bits[mark / 64] |= 1ull << mark % 64;
    }
}

/* A stack that is shuffled uses all of its lines at every moment. Two CPUs that have slabs of one line would take it
 * from each other for ever, as no id leaves their stacks. So the CPU with the higher number gives its slabs of such
 * lines to the other one's shard. Answers how many ids are left. */
static uint32_t leave_lines_of_others(struct slabby_allocator *pool, const struct slb_stripe *stripe,
                                      uint32_t cpu, uint32_t *ids, uint32_t count) {
    /* relaxed: any move may be the one that compares */
    uint64_t moves = atomic_load_explicit(&stripe->moves_finished, memory_order_relaxed);
    if (cpu == 0 || moves % COMPARE_EVERY != 0)
        return count;
    struct line_marks marks = {{0}};
    uint32_t other = (uint32_t)(moves / COMPARE_EVERY % cpu), left = 0;
    mark_lines(&pool->caches[other].cache, &marks);
    mark_lines(&pool->return_caches[other].cache, &marks);
    for (uint32_t i = 0; i < count; i++) {
        if ((marks.bits[mark_of(ids[i]) / 64] >> mark_of(ids[i]) % 64 & 1) != 0)
            slb_shards_push(pool, other, ids[i]);
        else
            ids[left++] = ids[i];
    }
    return left;
}

/* Inside a move: this thread takes all returned ids in hand for a moment. */
static bool mix_returned(struct slabby_allocator *pool, struct slb_stripe *stripe) {
    uint32_t ids[SLB_CACHE_IDS], cpu = slb_os_cpu();
    if (cpu >= slb_used_cpus(pool))
        return false;
    /* relaxed: the take checks again, and gets that many or none */
    uint64_t header = atomic_load_explicit(&pool->return_caches[cpu].cache.header, memory_order_relaxed);
    uint32_t count = slb_header_ids(header), held_back = slb_shuffle_hold_back(pool, count);
    if (count == held_back || !slb_cache_take_batch(pool, &pool->return_caches, ids, count))
        return false;
    SLB_POINT(SLB_POINT_REFILL);
    slb_count(&stripe->cache_out, count);
    count = leave_lines_of_others(pool, stripe, cpu, ids, count);
    held_back = slb_shuffle_hold_back(pool, count);
    (void)slb_shuffle(pool, ids, count);
    slb_cache_fill(pool, stripe, &pool->return_caches, ids, held_back);
    slb_cache_fill(pool, stripe, &pool->caches, &ids[held_back], count - held_back);
    return true;
}

SLB_PRIVATE SLB_COLD bool slb_shuffle_returned(struct slabby_allocator *pool) {
    return slb_gate_move(pool, mix_returned);
}
