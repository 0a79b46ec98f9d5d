/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A run of releases (rseq_run.h) for x86-64, of the parts in rseq_x86_64.h. */
#ifndef SLB_TIERS_RSEQ_RUN_X86_64_H
#define SLB_TIERS_RSEQ_RUN_X86_64_H

/* Loads into r9 the bits of this CPU's words other than the generation, into r8 its stack, into r10 the header, and
 * into r11 the end of the place for the ids. */
#define SLB_RSEQ_RUN_BEGIN                                                                                   \
    "movl " SLB_RSEQ_AT("4") ", %%ecx\n\t"                                                                   \
                             "cmpl %c[cpus](%[pool]), %%ecx\n\t"                                             \
                             "jae 8f\n\t"                                                                    \
                             "movq %%rcx, %%r9\n\t"                                                          \
                             "shlq %[bias_shift], %%r9\n\t"                                                  \
                             "orq %[live], %%r9\n\t"                                                         \
                             "shlq %[shift], %%rcx\n\t"                                                      \
                             "addq %c[stacks](%[pool]), %%rcx\n\t"                                           \
                             "movq %%rcx, %%r8\n\t"                                                          \
                             "movq %c[header](%%r8), %%r10\n\t"                                              \
                             "movzwl %%r10w, %%ecx\n\t"                                                      \
                             "subq %%rsi, %%rcx\n\t" /* the length with all of them */                       \
                             "cmpl %c[max](%[pool]), %%ecx\n\t"                                              \
                             "ja 8f\n\t" /* locked or too full */                                            \
                             "leaq %c[cached](%%r8, %%rcx, 4), %%r11\n\t"

/* The slab that rsi counts: its free word of before into rax, its id into rcx and into both arrays. */
#define SLB_RSEQ_RUN_SLAB                                                                                    \
    "movq (%[refs], %%rsi, 8), %%rax\n\t"                                                                    \
    "subq %c[ref_bias](%[pool]), %%rax\n\t"                                                                  \
    "cmpq %c[ref_limit](%[pool]), %%rax\n\t"                                                                 \
    "jae 6b\n\t"                                                                                             \
    "movl %c[id_mask](%[pool]), %%ecx\n\t"                                                                   \
    "andl %%eax, %%ecx\n\t"                                                                                  \
    "subq %%rcx, %%rax\n\t"                                                                                  \
    "movl %%ecx, (%[ids], %%rsi, 4)\n\t"                                                                     \
    "movl %%ecx, (%%r11, %%rsi, 4)\n\t"

/* Its word: as far as here a restart finds it as it was. The store is the last instruction that the kernel restarts. */
#define SLB_RSEQ_RUN_WORD                                                                                    \
    "leaq (%%rax, %%r9), %%rdx\n\t"                                                                          \
    "cmpq (%[words], %%rcx, 8), %%rdx\n\t"                                                                   \
    "jne 6b\n\t"                                                                                             \
    "addq %c[step](%[pool]), %%rax\n\t"                                                                      \
    "movq %%rax, (%[words], %%rcx, 8)\n\t"

/* Goes to 7 where the kernel has interrupted this thread since the sequence was armed; rdi points to the descriptor. */
#define SLB_RSEQ_RUN_STILL                                                                                   \
    "cmpq %%rdi, " SLB_RSEQ_AT("8") "\n\t"                                                                   \
                                    "jne 7f\n\t"

/* The header with the ids of all words that were stored. stosq moves rdi on, which tells an interrupted run that it is
 * done: the jump behind it is restarted too. */
#define SLB_RSEQ_RUN_COMMIT                                                                                  \
    "leaq (%%rsi, %%r10), %%rax\n\t"                                                                         \
    "addq %[count], %%rax\n\t"                                                                               \
    "leaq %c[header](%%r8), %%rdi\n\t"                                                                       \
    "stosq\n\t"                                                                                              \
    "jmp 10f\n\t"

#define SLB_RSEQ_RUN_RESTARTED                                                                               \
    "leaq 8 + %c[header](%%r8), %%rax\n\t"                                                                   \
    "cmpq %%rax, %%rdi\n\t"                                                                                  \
    "je 10f\n\t"                                                                                             \
    "jmp 7f\n\t"

/* Behind what the kernel restarts. */
#define SLB_RSEQ_RUN_NEXT                                                                                    \
    "addq $1, %%rsi\n\t"                                                                                     \
    "jnz 5b\n\t"                                                                                             \
    "jmp 6b\n\t"

/* Each way out, and the run disarms itself. */
#define SLB_RSEQ_RUN_RESULT                                                                                  \
    "7:\n\t"                                                                                                 \
    "movl %[restarted], %%eax\n\t"                                                                           \
    "jmp 9f\n\t"                                                                                             \
    "8:\n\t"                                                                                                 \
    "movl %[refused], %%eax\n\t"                                                                             \
    "jmp 9f\n\t"                                                                                             \
    "10:\n\t"                                                                                                \
    "movl %[done], %%eax\n\t"                                                                                \
    "9:\n\t"                                                                                                 \
    "movq $0, " SLB_RSEQ_AT("8") "\n\t"

/* The first of `count` slabs, at least one, as far as they are live and biased to this CPU. `ids` gets the id of each
 * that was looked at, where no other thread writes. The arrays are counted from their ends, so that one addition counts
 * a slab and finds the last. */
SLB_INLINE void slb_rseq_release_run(struct slabby_allocator *pool, const slabby_ref *refs, uint32_t *ids,
                                     uint64_t count, struct slb_rseq_run *out) {
    uint64_t left = -count, result;
    __asm__ volatile(
        "xorl %%r8d, %%r8d\n\t" SLB_RSEQ_BEGIN "movq %%rax, %%rdi\n\t" SLB_RSEQ_RUN_BEGIN "jmp 5f\n\t"
        "6:\n\t" /* behind the last, or at one that is not for this way */
        SLB_RSEQ_RUN_STILL SLB_RSEQ_RUN_COMMIT
        "5:\n\t" SLB_RSEQ_RUN_STILL SLB_RSEQ_RUN_SLAB SLB_RSEQ_RUN_WORD SLB_RSEQ_END_OR(
            SLB_RSEQ_RUN_RESTARTED) SLB_RSEQ_RUN_NEXT SLB_RSEQ_RUN_RESULT
        : "=&a"(result), "+S"(left)
        : [area] "r"(SLB_RSEQ_AREA), [pool] "r"(pool), [refs] "r"(refs + count), [ids] "r"(ids + count),
          [words] "r"(pool->words), [count] "rm"(count),
          [cpus] "i"(offsetof(struct slabby_allocator, release_cpus)), [bias_shift] "i"(SLB_WORD_HIGH),
          [live] "i"(SLABBY_SLAB_STATE_LIVE | SLB_WORD_BIASED), [shift] "i"(SLB_CACHE_STRIDE_LOG2),
          [stacks] "i"(offsetof(struct slabby_allocator, return_caches)),
          [header] "i"(offsetof(struct slb_cpu_cache, header)),
          [cached] "i"(offsetof(struct slb_cpu_cache, ids)),
          [max] "i"(offsetof(struct slabby_allocator, cache_max)),
          [ref_bias] "i"(offsetof(struct slabby_allocator, ref_bias)),
          [ref_limit] "i"(offsetof(struct slabby_allocator, ref_limit)),
          [id_mask] "i"(offsetof(struct slabby_allocator, id_mask)),
          [step] "i"(offsetof(struct slabby_allocator, generation_step)), [done] "i"(SLB_RSEQ_DONE),
          [refused] "i"(SLB_RSEQ_REFUSED), [restarted] "i"(SLB_RSEQ_RESTARTED)
        : "rcx", "rdx", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
    *out = (struct slb_rseq_run){.freed = left + count, .result = (enum slb_rseq_result)result};
}

#endif
