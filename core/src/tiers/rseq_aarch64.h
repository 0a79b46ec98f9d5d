/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Restartable sequences for aarch64; tiers/rseq_x86_64.h is the twin and says what an area and a descriptor are. The
 * area lies at the thread pointer (tpidr_el0) plus the offset that libc reports. The word before the abort address is
 * the signature: a brk that is never executed.
 *
 * Order. Loads and stores of one CPU keep their order for every thread that runs on that CPU later, and a switch of
 * threads, a migration and a signal are barriers in the kernel; so within a CPU plain instructions are enough, as on
 * x86-64. Other CPUs may see the ids of a cache after its header. Two readers run on other CPUs:
 * - The gate takes the ids. It locks the header, then runs a membarrier, then reads the ids. Every CPU that runs a
 *   thread of this process executes a full barrier inside the membarrier, and every other CPU did when it switched
 *   away. A commit that the gate found in a header (the lock kept its length) came before that barrier, and so did the
 *   stores of the ids, which come before the commit in the program. A commit whose store was still under way has
 *   overwritten the lock by the end of the barrier, and the gate begins again.
 * - The statistics read headers against counters of the stripes: cache_in is raised before a batch enters, so the
 *   commit of slb_rseq_try_give_batch is a store-release; cache_out and folded are raised after ids or numbers left
 *   the header, so a release fence follows the commits of slb_rseq_try_take_batch and slb_rseq_try_fold.
 *
 * Registers: x9 the cache, x10 its header, x11 the length or an index, x12 and x13 temporary values.
 */
#ifndef SLB_TIERS_RSEQ_AARCH64_H
#define SLB_TIERS_RSEQ_AARCH64_H

#define SLB_RSEQ_AREA ((intptr_t)slb_os_rseq_area())

#define SLB_RSEQ_BEGIN                                                                                       \
    ".pushsection __rseq_cs, \"aw\"\n\t"                                                                     \
    ".balign 32\n\t"                                                                                         \
    "3:\n\t"                                                                                                 \
    ".long 0, 0\n\t"                                                                                         \
    ".quad 1f, 2f - 1f, 4f\n\t"                                                                              \
    ".popsection\n\t"                                                                                        \
    "adrp x9, 3b\n\t"                                                                                        \
    "add x9, x9, :lo12:3b\n\t"                                                                               \
    "str x9, [%[area], #8]\n\t"                                                                              \
    "1:\n\t"

/* The caller's cache into x9; a CPU that the table does not know is refused. */
#define SLB_RSEQ_FIND                                                                                        \
    "ldr w9, [%[area], #4]\n\t"                                                                              \
    "ldr w12, %[cpus]\n\t"                                                                                   \
    "cmp w9, w12\n\t"                                                                                        \
    "b.hs %l[refused]\n\t"                                                                                   \
    "ldr x12, %[caches]\n\t"                                                                                 \
    "add x9, x12, x9, lsl %[shift]\n\t"

/* Its header into x10, the length of its stack into w11, how long that may be into w12. */
#define SLB_RSEQ_LOAD                                                                                        \
    SLB_RSEQ_FIND "ldr x10, [x9, %[header]]\n\t"                                                             \
                  "and w11, w10, #0xffff\n\t"                                                                \
                  "ldr w12, %[max]\n\t"

#define SLB_RSEQ_END_TO(label)                                                                               \
    "2:\n\t"                                                                                                 \
    ".pushsection __rseq_abort, \"ax\"\n\t"                                                                  \
    ".balign 4\n\t"                                                                                          \
    ".inst 0xd428bc00\n\t"                                                                                   \
    "4:\n\t"                                                                                                 \
    "b %l[" label "]\n\t"                                                                                    \
    ".popsection\n\t"

#define SLB_RSEQ_END SLB_RSEQ_END_TO("restarted")

#define SLB_RSEQ_INPUTS(pool) SLB_RSEQ_INPUTS_FOR(pool, (pool)->caches, (pool)->rseq_cpus)

/* Fields of the pool are read inside the sequence: a thread that changes one and fences knows that no sequence goes
 * on with the old value. */
#define SLB_RSEQ_INPUTS_FOR(pool, stacks, limit) SLB_RSEQ_INPUTS_IN(SLB_RSEQ_AREA, pool, stacks, limit)

#define SLB_RSEQ_INPUTS_IN(its_area, pool, stacks, limit)                                                    \
    [area] "r"(its_area), [cpus] "m"(limit), [caches] "m"(stacks), [max] "m"((pool)->cache_max),             \
        [shift] "i"(SLB_CACHE_STRIDE_LOG2), [header] "i"(offsetof(struct slb_cpu_cache, header)),            \
        [ids] "i"(offsetof(struct slb_cpu_cache, ids))

#define SLB_RSEQ_CLOBBERS "x9", "x10", "x11", "x12", "x13", "memory", "cc"

/* Between a count and the commit of a take that it is about. */
SLB_INLINE void slb_rseq_order_counts(void) {
    atomic_thread_fence(memory_order_release); /* pairs with the loads of observe/counters.c */
}

SLB_INLINE enum slb_rseq_result slb_rseq_try_take(struct slabby_allocator *pool, uint32_t *out_id) {
    uint32_t id;
    __asm__ volatile goto(SLB_RSEQ_BEGIN SLB_RSEQ_LOAD "sub w11, w11, #1\n\t"
                                                       "cmp w11, w12\n\t" /* empty or locked */
                                                       "b.hs %l[refused]\n\t"
                                                       "add x12, x9, %[ids]\n\t"
                                                       "ldr %w[id], [x12, w11, uxtw #2]\n\t"
                                                       "mov w13, #0xffff\n\t"
                                                       "add x10, x10, x13\n\t"
                                                       "str x10, [x9, %[header]]\n\t" SLB_RSEQ_END
                          : [id] "=&r"(id)
                          : SLB_RSEQ_INPUTS(pool)
                          : SLB_RSEQ_CLOBBERS
                          : refused, restarted);
    *out_id = id;
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
restarted:
    return SLB_RSEQ_RESTARTED;
}

/* The same for the hot path: it also refuses the allocation whose turn it is to be timed (slb_sample_is_due), so that
 * the caller fetches the clock first. Answers which cache served it. */
SLB_INLINE bool slb_rseq_take_untimed(struct slabby_allocator *pool, const _Atomic uint32_t *limit,
                                      uint64_t *out_id, struct slb_cpu_cache **out_cache) {
    struct slb_cpu_cache *cache;
    uint64_t id;
    __asm__ volatile goto(SLB_RSEQ_BEGIN SLB_RSEQ_LOAD
                          "ldr %w[id], [x9, %[sample]]\n\t"
                          "cmp w10, %w[id]\n\t"
                          "b.pl %l[refused]\n\t"
                          "sub w11, w11, #1\n\t"
                          "cmp w11, w12\n\t"
                          "b.hs %l[refused]\n\t"
                          "add x12, x9, %[ids]\n\t"
                          "ldr %w[id], [x12, w11, uxtw #2]\n\t"
                          "mov w13, #0xffff\n\t"
                          "add x10, x10, x13\n\t"
                          "str x10, [x9, %[header]]\n\t" SLB_RSEQ_END_TO("refused") "mov %[cache], x9\n\t"
                          : [id] "=&r"(id), [cache] "=&r"(cache)
                          : [sample] "i"(offsetof(struct slb_cpu_cache, sample_at)),
                            SLB_RSEQ_INPUTS_FOR(pool, pool->caches, *limit)
                          : SLB_RSEQ_CLOBBERS
                          : refused);
    *out_id = id;
    *out_cache = cache;
    return true;
refused:
    return false;
}

SLB_INLINE enum slb_rseq_result slb_rseq_try_give(intptr_t area, struct slabby_allocator *pool, uint32_t id) {
    __asm__ volatile goto(SLB_RSEQ_BEGIN SLB_RSEQ_LOAD "cmp w11, w12\n\t" /* full or locked */
                                                       "b.hs %l[refused]\n\t"
                                                       "add x12, x9, %[ids]\n\t"
                                                       "str %w[id], [x12, w11, uxtw #2]\n\t"
                                                       "add x10, x10, #1\n\t"
                                                       "str x10, [x9, %[header]]\n\t" SLB_RSEQ_END
                          :
                          : [id] "r"(id),
                            SLB_RSEQ_INPUTS_IN(area, pool, (pool)->return_caches, (pool)->rseq_cpus)
                          : SLB_RSEQ_CLOBBERS
                          : refused, restarted);
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
restarted:
    return SLB_RSEQ_RESTARTED;
}

/* Replaces a biased word by `word`. The biased word must be `biased` with this CPU's number in the bits of the bias. */
#define SLB_RSEQ_SWAP                                                                                        \
    "orr x9, %[biased], x9, lsl %[shift]\n\t"                                                                \
    "ldr x10, [%[entry]]\n\t"                                                                                \
    "cmp x10, x9\n\t"                                                                                        \
    "b.ne %l[refused]\n\t"                                                                                   \
    "stlr %[word], [%[entry]]\n\t"

#define SLB_RSEQ_SWAP_INPUTS(its_entry, limit, its_biased, its_word)                                         \
    [area] "r"(slb_os_rseq_area()), [cpus] "m"(limit), [biased] "r"(its_biased), [word] "r"(its_word),       \
        [entry] "r"(its_entry), [shift] "i"(SLB_WORD_HIGH)

SLB_INLINE enum slb_rseq_result slb_rseq_try_swap(struct slabby_allocator *pool, uint64_t id, uint64_t biased,
                                                  uint64_t word) {
    __asm__ volatile goto(SLB_RSEQ_BEGIN "ldr w9, [%[area], #4]\n\t"
                                         "ldr w12, %[cpus]\n\t"
                                         "cmp w9, w12\n\t"
                                         "b.hs %l[refused]\n\t" SLB_RSEQ_SWAP SLB_RSEQ_END
                          :
                          : SLB_RSEQ_SWAP_INPUTS(&pool->words[id], pool->rseq_cpus, biased, word)
                          : "x9", "x10", "x12", "memory", "cc"
                          : refused, restarted);
    atomic_thread_fence(memory_order_release); /* before the header or the counter that counts it */
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
restarted:
    return SLB_RSEQ_RESTARTED;
}

/* Requests the line of a word for writing, ahead of reading the word. A CPU that releases what another one has
 * allocated would else request the line twice, to read and to write. */
#define SLB_RSEQ_REQUEST "prfm pstl1keep, [%[entry]]\n\t"

/* The same for the release of the hot path, of a slab that was free as `free_word` before it was handed out. At or
 * above the limit, whose low bits are zero, the word is not read. The CPU needs no check: a word is biased only to a
 * CPU that the pool knows. */
SLB_INLINE enum slb_rseq_result slb_rseq_release(intptr_t area, struct slabby_allocator *pool,
                                                 const _Atomic uint64_t *limit, uint64_t id,
                                                 uint64_t free_word) {
    const uint64_t biased = free_word + (SLABBY_SLAB_STATE_LIVE | SLB_WORD_BIASED);
    const uint64_t word = free_word + pool->generation_step;
    __asm__ volatile goto(SLB_RSEQ_BEGIN "ldr x12, %[limit]\n\t"
                                         "cmp %[biased], x12\n\t"
                                         "b.hs %l[aside]\n\t" SLB_RSEQ_REQUEST
                                         "ldr w9, [%[area], #4]\n\t" SLB_RSEQ_SWAP SLB_RSEQ_END_TO("aside")
                          :
                          : [area] "r"(area), [limit] "m"(*limit), [biased] "r"(biased), [word] "r"(word),
                            [entry] "r"(&pool->words[id]), [shift] "i"(SLB_WORD_HIGH)
                          : "x9", "x10", "x12", "memory", "cc"
                          : refused, aside);
    atomic_thread_fence(memory_order_release); /* before the header or the counter that counts it */
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
aside:
    return SLB_RSEQ_RESTARTED;
}

/* For sequences that read or swap a word while nothing else keeps the pool from ending: the sequence checks the limit
 * first, and the end of a pool sets the limit to 0 and fences before it unmaps the words. */
#define SLB_RSEQ_WORD_INPUTS(pool, id)                                                                       \
    [area] "r"(slb_os_rseq_area()), [cpus] "m"((pool)->word_cpus), [entry] "r"(&(pool)->words[id])

#define SLB_RSEQ_CHECK_LIMIT                                                                                 \
    "ldr w9, [%[area], #4]\n\t"                                                                              \
    "ldr w12, %[cpus]\n\t"                                                                                   \
    "cmp w9, w12\n\t"                                                                                        \
    "b.hs %l[refused]\n\t"

SLB_INLINE enum slb_rseq_result slb_rseq_try_read(struct slabby_allocator *pool, uint64_t id,
                                                  uint64_t *out_word) {
    uint64_t word;
    __asm__ volatile goto(SLB_RSEQ_BEGIN SLB_RSEQ_CHECK_LIMIT "ldar %[word], [%[entry]]\n\t" SLB_RSEQ_END
                          : [word] "=&r"(word)
                          : SLB_RSEQ_WORD_INPUTS(pool, id)
                          : "x9", "x12", "memory", "cc"
                          : refused, restarted);
    *out_word = word;
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
restarted:
    return SLB_RSEQ_RESTARTED;
}

/* A compare-and-swap that is valid on every CPU: the sequence ends with its store, or with the compare that fails.
 * *out_found: the word before. */
SLB_INLINE enum slb_rseq_result slb_rseq_try_exchange(struct slabby_allocator *pool, uint64_t id,
                                                      uint64_t expected, uint64_t word, uint64_t *out_found) {
    uint64_t found;
    uint32_t lost;
    __asm__ volatile goto(SLB_RSEQ_BEGIN SLB_RSEQ_CHECK_LIMIT
                          "mov %w[lost], #0\n\t"
                          "ldaxr %[found], [%[entry]]\n\t"
                          "cmp %[found], %[expected]\n\t"
                          "b.ne 2f\n\t"
                          "stlxr %w[lost], %[word], [%[entry]]\n\t" SLB_RSEQ_END
                          : [found] "=&r"(found), [lost] "=&r"(lost)
                          : [expected] "r"(expected), [word] "r"(word), SLB_RSEQ_WORD_INPUTS(pool, id)
                          : "x9", "x12", "memory", "cc"
                          : refused, restarted);
    if (lost != 0) /* the line was lost between load and store */
        return SLB_RSEQ_RESTARTED;
    *out_found = found;
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
restarted:
    return SLB_RSEQ_RESTARTED;
}

/* The header of the caller's cache, and which allocation it is to time. */
SLB_INLINE enum slb_rseq_result slb_rseq_try_peek(struct slabby_allocator *pool, uint64_t *out_header,
                                                  uint32_t *out_sample_at) {
    uint64_t header;
    uint32_t sample_at;
    __asm__ volatile goto(SLB_RSEQ_BEGIN SLB_RSEQ_LOAD "mov %[found], x10\n\t"
                                                       "ldr %w[sample_at], [x9, %[sample]]\n\t" SLB_RSEQ_END
                          : [found] "=&r"(header), [sample_at] "=&r"(sample_at)
                          : [sample] "i"(offsetof(struct slb_cpu_cache, sample_at)), SLB_RSEQ_INPUTS(pool)
                          : SLB_RSEQ_CLOBBERS
                          : refused, restarted);
    *out_header = header;
    *out_sample_at = sample_at;
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
restarted:
    return SLB_RSEQ_RESTARTED;
}

/* One more release by id through the caller's cache. */
SLB_INLINE enum slb_rseq_result slb_rseq_try_note_fast_given(struct slabby_allocator *pool) {
    __asm__ volatile goto(SLB_RSEQ_BEGIN SLB_RSEQ_FIND "ldr x10, [x9, %[given]]\n\t"
                                                       "add x10, x10, #1\n\t"
                                                       "str x10, [x9, %[given]]\n\t" SLB_RSEQ_END
                          :
                          : [given] "i"(offsetof(struct slb_cpu_cache, fast_given)), SLB_RSEQ_INPUTS(pool)
                          : SLB_RSEQ_CLOBBERS
                          : refused, restarted);
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
restarted:
    return SLB_RSEQ_RESTARTED;
}

/* The same in a loop, over words that are expected to be biased. */
SLB_INLINE bool slb_rseq_release_next(intptr_t area, _Atomic uint64_t *entry, const _Atomic uint32_t *limit,
                                      uint64_t biased, uint64_t word) {
    (void)area;
    __asm__ volatile goto(SLB_RSEQ_BEGIN
                          "ldr w9, [%[area], #4]\n\t"
                          "ldr w12, %[cpus]\n\t"
                          "cmp w9, w12\n\t"
                          "b.hs %l[refused]\n\t" SLB_RSEQ_REQUEST SLB_RSEQ_SWAP SLB_RSEQ_END_TO("refused")
                          :
                          : SLB_RSEQ_SWAP_INPUTS(entry, *limit, biased, word)
                          : "x9", "x10", "x12", "memory", "cc"
                          : refused);
    atomic_thread_fence(memory_order_release); /* before the header that counts it */
    return true;
refused:
    return false;
}

/* Frees the word of a slab that is live by id and biased to this CPU, under any generation but the last. */
SLB_INLINE enum slb_rseq_result slb_rseq_release_fast(struct slabby_allocator *pool, uint64_t id) {
    __asm__ volatile goto(
        SLB_RSEQ_BEGIN "ldr w9, [%[area], #4]\n\t"
                       "ldr w12, %[cpus]\n\t"
                       "cmp w9, w12\n\t"
                       "b.hs %l[aside]\n\t" SLB_RSEQ_REQUEST "mov x12, %[live]\n\t"
                       "orr x9, x12, x9, lsl %[shift]\n\t"
                       "ldr x10, [%[entry]]\n\t"
                       "sub x10, x10, x9\n\t" /* generation alone, if the rest is as it must be */
                       "tst x10, %[mask]\n\t"
                       "b.ne %l[refused]\n\t"
                       "cmp x10, %[end]\n\t"
                       "b.hs %l[refused]\n\t"
                       "add x10, x10, %[step]\n\t"
                       "stlr x10, [%[entry]]\n\t" SLB_RSEQ_END_TO("aside")
        :
        : [area] "r"(slb_os_rseq_area()), [cpus] "m"(pool->release_cpus), [shift] "i"(SLB_WORD_HIGH),
          [live] "i"(SLABBY_SLAB_STATE_LIVE_FAST | SLB_WORD_BIASED), [entry] "r"(&pool->words[id]),
          [mask] "r"(pool->id_mask), [end] "r"(pool->ref_end), [step] "r"(pool->generation_step)
        : "x9", "x10", "x12", "memory", "cc"
        : refused, aside);
    atomic_thread_fence(memory_order_release); /* before the header or the counter that counts it */
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
aside:
    return SLB_RSEQ_RESTARTED;
}

SLB_INLINE uint32_t slb_rseq_cpu(void) {
    return *(const volatile uint32_t *)(slb_os_rseq_area() + SLB_OS_RSEQ_CPU);
}

/* Adds while this thread runs on `cpu`. The counter's store is the commit. */
SLB_INLINE enum slb_rseq_result slb_rseq_try_add(uint32_t cpu, _Atomic uint64_t *counter, uint64_t by) {
    __asm__ volatile goto(
        SLB_RSEQ_BEGIN "ldr w9, [%[area], #4]\n\t"
                       "cmp w9, %w[cpu]\n\t"
                       "b.ne %l[refused]\n\t"
                       "ldr x10, [%[counter]]\n\t"
                       "add x10, x10, %[by]\n\t"
                       "str x10, [%[counter]]\n\t" SLB_RSEQ_END
        :
        : [area] "r"(slb_os_rseq_area()), [cpu] "r"(cpu), [counter] "r"(counter), [by] "r"(by)
        : "x9", "x10", "memory", "cc"
        : refused, restarted);
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
restarted:
    return SLB_RSEQ_RESTARTED;
}

/* `count` ids, at least one, onto this CPU's stack: written above the header's length, visible with the commit. */
SLB_INLINE enum slb_rseq_result slb_rseq_try_give_batch(struct slabby_allocator *pool,
                                                        union slb_cpu_cache_entry *const *stacks,
                                                        const uint32_t *ids, uint32_t count) {
    __asm__ volatile goto(SLB_RSEQ_BEGIN SLB_RSEQ_LOAD "add w13, w11, %w[count]\n\t"
                                                       "cmp w13, w12\n\t"
                                                       "b.hi %l[refused]\n\t"
                                                       "add x12, x9, %[ids]\n\t"
                                                       "add x12, x12, w11, uxtw #2\n\t"
                                                       "mov x11, #0\n\t"
                                                       "5:\n\t"
                                                       "ldr w13, [%[from], x11, lsl #2]\n\t"
                                                       "str w13, [x12, x11, lsl #2]\n\t"
                                                       "add x11, x11, #1\n\t"
                                                       "cmp x11, %[count]\n\t"
                                                       "b.lo 5b\n\t"
                                                       "add x10, x10, %[count]\n\t"
                                                       "add x12, x9, %[header]\n\t"
                                                       "stlr x10, [x12]\n\t" SLB_RSEQ_END
                          :
                          : [from] "r"(ids), [count] "r"((uint64_t)count),
                            SLB_RSEQ_INPUTS_FOR(pool, *stacks, pool->rseq_cpus)
                          : SLB_RSEQ_CLOBBERS
                          : refused, restarted);
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
restarted:
    return SLB_RSEQ_RESTARTED;
}

/* `count` ids, at least one, off this CPU's stack; the copied ids are valid only after the commit, which adds `change`
 * to the header. Answers which cache served them. */
SLB_INLINE enum slb_rseq_result slb_rseq_try_take_batch(struct slabby_allocator *pool,
                                                        union slb_cpu_cache_entry *const *stacks,
                                                        const _Atomic uint32_t *limit, uint32_t *ids,
                                                        uint32_t count, uint64_t change,
                                                        struct slb_cpu_cache **out_cache) {
    struct slb_cpu_cache *cache;
    __asm__ volatile goto(SLB_RSEQ_BEGIN SLB_RSEQ_LOAD "cmp w11, w12\n\t" /* locked */
                                                       "b.hi %l[refused]\n\t"
                                                       "subs w11, w11, %w[count]\n\t"
                                                       "b.lo %l[refused]\n\t"
                                                       "add x12, x9, %[ids]\n\t"
                                                       "add x12, x12, w11, uxtw #2\n\t"
                                                       "mov x11, #0\n\t"
                                                       "5:\n\t"
                                                       "ldr w13, [x12, x11, lsl #2]\n\t"
                                                       "str w13, [%[to], x11, lsl #2]\n\t"
                                                       "add x11, x11, #1\n\t"
                                                       "cmp x11, %[count]\n\t"
                                                       "b.lo 5b\n\t"
                                                       "mov %[cache], x9\n\t"
                                                       "add x10, x10, %[change]\n\t"
                                                       "str x10, [x9, %[header]]\n\t" SLB_RSEQ_END
                          : [cache] "=&r"(cache)
                          : [to] "r"(ids), [count] "r"((uint64_t)count), [change] "r"(change),
                            SLB_RSEQ_INPUTS_FOR(pool, *stacks, *limit)
                          : SLB_RSEQ_CLOBBERS
                          : refused, restarted);
    atomic_thread_fence(memory_order_release); /* before cache_out */
    *out_cache = cache;
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
restarted:
    return SLB_RSEQ_RESTARTED;
}

/* Takes `amount` served allocations off the header of a CPU that serves many; answers through the result only. */
SLB_INLINE enum slb_rseq_result slb_rseq_try_fold(struct slabby_allocator *pool, uint64_t amount) {
    __asm__ volatile goto(SLB_RSEQ_BEGIN SLB_RSEQ_LOAD "cmp w11, w12\n\t"
                                                       "b.hi %l[refused]\n\t" /* locked */
                                                       "subs x10, x10, %[amount]\n\t"
                                                       "b.lo %l[refused]\n\t"
                                                       "str x10, [x9, %[header]]\n\t" SLB_RSEQ_END
                          :
                          : [amount] "r"(amount << 16), SLB_RSEQ_INPUTS(pool)
                          : SLB_RSEQ_CLOBBERS
                          : refused, restarted);
    atomic_thread_fence(memory_order_release); /* before folded */
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
restarted:
    return SLB_RSEQ_RESTARTED;
}

/* A record into this CPU's ring, under a key above the one before and above the floor (observe/audit_rings.h). A reader
 * on another CPU relies on the order of the stores: the head of before, the key (release), the other words (barrier),
 * head (release). */
SLB_INLINE enum slb_rseq_result slb_rseq_try_audit(struct slabby_allocator *pool, uint64_t *key, uint64_t ref,
                                                   uint64_t about) {
    uint64_t given;
    __asm__ volatile goto(
        SLB_RSEQ_BEGIN SLB_RSEQ_FIND "ldr x10, [x9, %[head]]\n\t"
                                     "ldr x12, [x9, %[slots]]\n\t"
                                     "ldr x11, %[mask]\n\t"
                                     "sub x13, x10, #1\n\t"
                                     "and x13, x13, x11\n\t"
                                     "add x13, x13, x13, lsl #1\n\t"
                                     "add x13, x12, x13, lsl #3\n\t"
                                     "ldr x13, [x13]\n\t"
                                     "add x13, x13, #1\n\t"
                                     "cmp x13, %[key]\n\t"
                                     "csel %[given], x13, %[key], hi\n\t"
                                     "ldr x13, %[merged]\n\t"
                                     "ldr x13, [x13, %[floor]]\n\t"
                                     "add x13, x13, #1\n\t"
                                     "cmp x13, %[given]\n\t"
                                     "csel %[given], x13, %[given], hi\n\t"
                                     "and x13, x10, x11\n\t"
                                     "add x13, x13, x13, lsl #1\n\t"
                                     "add x13, x12, x13, lsl #3\n\t"
                                     "stlr %[given], [x13]\n\t"
                                     "dmb ishst\n\t"
                                     "stp %[ref], %[about], [x13, #8]\n\t"
                                     "add x10, x10, #1\n\t"
                                     "add x9, x9, %[head]\n\t"
                                     "stlr x10, [x9]\n\t" SLB_RSEQ_END
        : [given] "=&r"(given)
        : [area] "r"(slb_os_rseq_area()), [cpus] "m"(pool->rseq_cpus), [caches] "m"(pool->audit.rings),
          [mask] "m"(pool->audit.mask), [merged] "m"(pool->audit.merged), [key] "r"(*key), [ref] "r"(ref),
          [about] "r"(about), [shift] "i"(SLB_AUDIT_RING_LOG2),
          [head] "i"(offsetof(struct slb_audit_ring, head)),
          [slots] "i"(offsetof(struct slb_audit_ring, slots)),
          [floor] "i"(offsetof(struct slb_audit_merged, floor))
        : SLB_RSEQ_CLOBBERS
        : refused, restarted);
    *key = given;
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
restarted:
    return SLB_RSEQ_RESTARTED;
}

#endif
