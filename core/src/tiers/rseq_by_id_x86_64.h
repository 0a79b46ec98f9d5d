/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The restartable sequences of uses by id for x86-64, of the parts in rseq_x86_64.h. */
#ifndef SLB_TIERS_RSEQ_BY_ID_X86_64_H
#define SLB_TIERS_RSEQ_BY_ID_X86_64_H

/*
 * A use by id is counted in its sequence, which has two stores: the count, then the header. One store of 16 bytes could
 * do both, but the next load of the header would wait much longer for a store from a vector register than for a plain
 * one.
 *
 * A restart between the two stores must be told from an earlier one, because the count has changed then. The addition
 * itself leaves the evidence: as a subtraction of -1 it sets the carry, which the addition to the header cleared, and a
 * sum without a sign. Earlier comparisons leave both only where rax still has the address of the sequence: later it has
 * an index, and a comparison that set the carry and let the sequence go on has set the sign too.
 */
#define SLB_RSEQ_COUNTS_FAST 1
#define SLB_RSEQ_COUNT "subq $-1, %c[counted](%%rcx)\n\t"
#define SLB_RSEQ_END_COUNTED(otherwise)                                                                      \
    SLB_RSEQ_END_OR("jnc %l[" otherwise "]\n\t"                                                              \
                    "js %l[" otherwise "]\n\t"                                                               \
                    "cmpq $0xffff, %%rax\n\t"                                                                \
                    "ja %l[" otherwise "]\n\t"                                                               \
                    "jmp %l[counted_only]\n\t")

/* An allocation by id is counted ahead of the header, see add_up_fast in observe/counters.c. */
#define SLB_RSEQ_TAKE_FAST(check_of_turn)                                                                    \
    SLB_RSEQ_BEGIN SLB_RSEQ_LOAD check_of_turn SLB_RSEQ_TOP "movl %c[ids](%%rcx, %%rax, 4), %[id]\n\t"       \
                                                            "addq $0xffff, %%r10\n\t" SLB_RSEQ_COUNT         \
                                                            "movq %%r10, %c[header](%%rcx)\n\t"

/* slb_rseq_take_untimed for an allocation by id. SLB_RSEQ_COUNTED: it was counted, and refused. */
SLB_INLINE enum slb_rseq_result slb_rseq_take_fast(struct slabby_allocator *pool,
                                                   const _Atomic uint32_t *limit, uint32_t *out_id,
                                                   struct slb_cpu_cache **out_cache) {
    struct slb_cpu_cache *cache;
    uint32_t id;
    __asm__ goto(SLB_RSEQ_TAKE_FAST(SLB_RSEQ_UNTIMED) SLB_RSEQ_END_COUNTED("refused")
                 : [id] "=&r"(id), "=&c"(cache)
                 : [sample] "i"(offsetof(struct slb_cpu_cache, sample_at)),
                   [counted] "i"(offsetof(struct slb_cpu_cache, fast_taken)),
                   SLB_RSEQ_INPUTS_FOR(pool, pool->caches, *limit)
                 : "rax", "r10", "memory", "cc"
                 : refused, counted_only);
    *out_id = id;
    *out_cache = cache;
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
counted_only:
    return SLB_RSEQ_COUNTED;
}

/* slb_rseq_try_take for an allocation by id. SLB_RSEQ_COUNTED: it was counted, and restarted. */
SLB_INLINE enum slb_rseq_result slb_rseq_try_take_counted(struct slabby_allocator *pool, uint32_t *out_id) {
    uint32_t id;
    __asm__ goto(SLB_RSEQ_TAKE_FAST("") SLB_RSEQ_END_COUNTED("restarted")
                 : [id] "=&r"(id)
                 : [counted] "i"(offsetof(struct slb_cpu_cache, fast_taken)), SLB_RSEQ_INPUTS(pool)
                 : "rax", "rcx", "r10", "memory", "cc"
                 : refused, restarted, counted_only);
    *out_id = id;
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
restarted:
    return SLB_RSEQ_RESTARTED;
counted_only:
    return SLB_RSEQ_COUNTED;
}

/* slb_rseq_try_give for a release by id. SLB_RSEQ_COUNTED: it was counted, and restarted. */
SLB_INLINE enum slb_rseq_result slb_rseq_try_give_fast(struct slabby_allocator *pool, uint32_t id) {
    __asm__ goto(SLB_RSEQ_BEGIN SLB_RSEQ_LOAD
                 "movzwl %%r10w, %%eax\n\t"
                 "cmpl %[max], %%eax\n\t"
                 "jae %l[refused]\n\t"
                 "movl %[id], %c[ids](%%rcx, %%rax, 4)\n\t"
                 "addq $1, %%r10\n\t" SLB_RSEQ_COUNT
                 "movq %%r10, %c[header](%%rcx)\n\t" SLB_RSEQ_END_COUNTED("restarted")
                 :
                 : [id] "r"(id), [counted] "i"(offsetof(struct slb_cpu_cache, fast_given)),
                   SLB_RSEQ_INPUTS_FOR(pool, (pool)->return_caches, (pool)->rseq_cpus)
                 : "rax", "rcx", "r10", "memory", "cc"
                 : refused, restarted, counted_only);
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
restarted:
    return SLB_RSEQ_RESTARTED;
counted_only:
    return SLB_RSEQ_COUNTED;
}

/* Frees the word of a slab that is live by id and biased to this CPU, under any generation but the last. */
SLB_INLINE enum slb_rseq_result slb_rseq_release_fast(struct slabby_allocator *pool, uint64_t id) {
    __asm__ goto(SLB_RSEQ_BEGIN "movl " SLB_RSEQ_AT(
                     "4") ", %%ecx\n\t"
                          "cmpl %[cpus], %%ecx\n\t"
                          "jae %l[aside]\n\t" SLB_RSEQ_REQUEST "shlq %[shift], %%rcx\n\t"
                          "orq %[live], %%rcx\n\t"
                          "movq %[entry], %%rax\n\t"
                          "subq %%rcx, %%rax\n\t" /* generation alone, if the rest is as it must be */
                          "testq %%rax, %[mask]\n\t"
                          "jnz %l[refused]\n\t"
                          "cmpq %[end], %%rax\n\t"
                          "jae %l[refused]\n\t"
                          "addq %[step], %%rax\n\t"
                          "movq %%rax, %[entry]\n\t" SLB_RSEQ_END_TO("aside")
                 :
                 : [area] "r"(SLB_RSEQ_AREA), [cpus] "m"(pool->release_cpus), [shift] "i"(SLB_WORD_HIGH),
                   [live] "i"(SLABBY_SLAB_STATE_LIVE_FAST | SLB_WORD_BIASED), [entry] "m"(pool->words[id]),
                   [mask] "m"(pool->id_mask), [end] "m"(pool->ref_end), [step] "m"(pool->generation_step)
                 : "rax", "rcx", "memory", "cc"
                 : refused, aside);
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
aside:
    return SLB_RSEQ_RESTARTED;
}

/* One more release by id through the caller's cache. */
SLB_INLINE enum slb_rseq_result slb_rseq_try_note_fast_given(struct slabby_allocator *pool) {
    __asm__ goto(SLB_RSEQ_BEGIN SLB_RSEQ_LOAD "addq $1, %c[given](%%rcx)\n\t" SLB_RSEQ_END
                 :
                 : [given] "i"(offsetof(struct slb_cpu_cache, fast_given)), SLB_RSEQ_INPUTS(pool)
                 : "rax", "rcx", "r10", "memory", "cc"
                 : refused, restarted);
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
restarted:
    return SLB_RSEQ_RESTARTED;
}

#endif
