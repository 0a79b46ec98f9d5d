/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Restartable sequences for x86-64. In this thread's rseq area (os/os.h) the CPU
 * number lies 4 bytes in (the first word is never read: others write it), the pointer to the running sequence 8 bytes
 * in. A sequence is described by {version and flags, start, length to the commit's end, abort address}; the four bytes
 * before the abort address carry the signature that libc registered.
 */
#ifndef SLB_TIERS_RSEQ_X86_64_H
#define SLB_TIERS_RSEQ_X86_64_H

#if SLB_OS_RSEQ_FIXED /* by the offset from the thread pointer, which is the same in every thread */
#define SLB_RSEQ_AREA slb_os_rseq_offset
#define SLB_RSEQ_AT(byte) "%%fs:" byte "(%[area])"
#else
#define SLB_RSEQ_AREA ((intptr_t)slb_os_rseq_area())
#define SLB_RSEQ_AT(byte) byte "(%[area])"
#endif

#define SLB_RSEQ_BEGIN                                                                                       \
    ".pushsection __rseq_cs, \"aw\"\n\t"                                                                     \
    ".balign 32\n\t"                                                                                         \
    "3:\n\t"                                                                                                 \
    ".long 0, 0\n\t"                                                                                         \
    ".quad 1f, 2f - 1f, 4f\n\t"                                                                              \
    ".popsection\n\t"                                                                                        \
    "leaq 3b(%%rip), %%rax\n\t"                                                                              \
    "movq %%rax, " SLB_RSEQ_AT("8") "\n\t"                                                                   \
                                    "1:\n\t"

/* The caller's cache into rcx, its header into r10; a CPU that the table does not know is refused. */
#define SLB_RSEQ_LOAD                                                                                        \
    "movl " SLB_RSEQ_AT("4") ", %%ecx\n\t"                                                                   \
                             "cmpl %[cpus], %%ecx\n\t"                                                       \
                             "jae %l[refused]\n\t"                                                           \
                             "shlq %[shift], %%rcx\n\t"                                                      \
                             "addq %[caches], %%rcx\n\t"                                                     \
                             "movq %c[header](%%rcx), %%r10\n\t"

/* The place of the topmost id into rax: len - 1 as a signed number, which is below 0 for an empty and for a locked
 * stack. */
#define SLB_RSEQ_TOP                                                                                         \
    "movswl %%r10w, %%eax\n\t"                                                                               \
    "subl $1, %%eax\n\t"                                                                                     \
    "js %l[refused]\n\t"

/* The end of the sequence, and what a restart does instead. */
#define SLB_RSEQ_END_OR(restart)                                                                             \
    "2:\n\t"                                                                                                 \
    ".pushsection __rseq_abort, \"ax\"\n\t"                                                                  \
    ".byte 0x0f, 0xb9, 0x3d\n\t" /* ud1, never executed: keeps disassemblers in step */                      \
    ".long 0x53053053\n\t"                                                                                   \
    "4:\n\t" restart ".popsection\n\t"

#define SLB_RSEQ_END_TO(label) SLB_RSEQ_END_OR("jmp %l[" label "]\n\t")
#define SLB_RSEQ_END SLB_RSEQ_END_TO("restarted")

#define SLB_RSEQ_INPUTS(pool) SLB_RSEQ_INPUTS_FOR(pool, (pool)->caches, (pool)->rseq_cpus)
#define SLB_RSEQ_INPUTS_FOR(pool, stacks, limit) SLB_RSEQ_INPUTS_IN(SLB_RSEQ_AREA, pool, stacks, limit)

#define SLB_RSEQ_INPUTS_IN(its_area, pool, stacks, limit)                                                    \
    [area] "r"(its_area), [cpus] "m"(limit), [caches] "m"(stacks), [max] "m"((pool)->cache_max),             \
        [shift] "i"(SLB_CACHE_STRIDE_LOG2), [header] "i"(offsetof(struct slb_cpu_cache, header)),            \
        [ids] "i"(offsetof(struct slb_cpu_cache, ids))

/* Between a count and the commit of a take that it is about: stores stay in order, and the sequence is a compiler
 * barrier. */
SLB_INLINE void slb_rseq_order_counts(void) {
}

SLB_INLINE enum slb_rseq_result slb_rseq_try_take(struct slabby_allocator *pool, uint32_t *out_id) {
    uint32_t id;
    __asm__ goto(SLB_RSEQ_BEGIN SLB_RSEQ_LOAD SLB_RSEQ_TOP "movl %c[ids](%%rcx, %%rax, 4), %[id]\n\t"
                                                           "addq $0xffff, %%r10\n\t"
                                                           "movq %%r10, %c[header](%%rcx)\n\t" SLB_RSEQ_END
                 : [id] "=&r"(id)
                 : SLB_RSEQ_INPUTS(pool)
                 : "rax", "rcx", "r10", "memory", "cc"
                 : refused, restarted);
    *out_id = id;
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
restarted:
    return SLB_RSEQ_RESTARTED;
}

/* Refuses the allocation whose turn it is to be timed (slb_sample_is_due), so that the caller fetches the clock
 * first. */
#define SLB_RSEQ_UNTIMED                                                                                     \
    "cmpl %c[sample](%%rcx), %%r10d\n\t"                                                                     \
    "jns %l[refused]\n\t"

/* The same for the hot path: an allocation that is not to be timed. Answers which cache served it. The length of the
 * new header is the place of the topmost id; it is below 0 for an empty and for a locked stack. */
SLB_INLINE bool slb_rseq_take_untimed(struct slabby_allocator *pool, const _Atomic uint32_t *limit,
                                      uint64_t *out_id, struct slb_cpu_cache **out_cache) {
    struct slb_cpu_cache *cache;
    uint64_t id;
    __asm__ goto(SLB_RSEQ_BEGIN SLB_RSEQ_LOAD SLB_RSEQ_UNTIMED
                 "addq $0xffff, %%r10\n\t"
                 "movswl %%r10w, %%eax\n\t"
                 "testl %%eax, %%eax\n\t"
                 "js %l[refused]\n\t"
                 "movl %c[ids](%%rcx, %%rax, 4), %k[id]\n\t"
                 "movq %%r10, %c[header](%%rcx)\n\t" SLB_RSEQ_END_TO("refused")
                 : [id] "=&r"(id), "=&c"(cache)
                 : [sample] "i"(offsetof(struct slb_cpu_cache, sample_at)),
                   SLB_RSEQ_INPUTS_FOR(pool, pool->caches, *limit)
                 : "rax", "r10", "memory", "cc"
                 : refused);
    *out_id = id;
    *out_cache = cache;
    return true;
refused:
    return false;
}

SLB_INLINE enum slb_rseq_result slb_rseq_try_give(intptr_t area, struct slabby_allocator *pool, uint32_t id) {
    __asm__ goto(SLB_RSEQ_BEGIN SLB_RSEQ_LOAD "movzwl %%r10w, %%eax\n\t"
                                              "cmpl %[max], %%eax\n\t" /* len >= max: full or locked */
                                              "jae %l[refused]\n\t"
                                              "movl %[id], %c[ids](%%rcx, %%rax, 4)\n\t"
                                              "addq $1, %%r10\n\t"
                                              "movq %%r10, %c[header](%%rcx)\n\t" SLB_RSEQ_END
                 :
                 : [id] "r"(id), SLB_RSEQ_INPUTS_IN(area, pool, (pool)->return_caches, (pool)->rseq_cpus)
                 : "rax", "rcx", "r10", "memory", "cc"
                 : refused, restarted);
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
restarted:
    return SLB_RSEQ_RESTARTED;
}

/* Replaces a biased word by `word`. The biased word must be `biased` with this CPU's number in the bits of the bias. */
#define SLB_RSEQ_SWAP                                                                                        \
    "shlq %[shift], %%rcx\n\t"                                                                               \
    "orq %[biased], %%rcx\n\t"                                                                               \
    "cmpq %[entry], %%rcx\n\t"                                                                               \
    "jne %l[refused]\n\t"                                                                                    \
    "movq %[word], %[entry]\n\t"

#define SLB_RSEQ_SWAP_INPUTS(its_area, its_entry, limit, its_biased, its_word)                               \
    [area] "r"(its_area), [cpus] "m"(limit), [biased] "r"(its_biased), [word] "r"(its_word),                 \
        [entry] "m"(its_entry), [shift] "i"(SLB_WORD_HIGH)

SLB_INLINE enum slb_rseq_result slb_rseq_try_swap(struct slabby_allocator *pool, uint64_t id, uint64_t biased,
                                                  uint64_t word) {
    __asm__ goto(SLB_RSEQ_BEGIN "movl " SLB_RSEQ_AT("4") ", %%ecx\n\t"
                                                         "cmpl %[cpus], %%ecx\n\t"
                                                         "jae %l[refused]\n\t" SLB_RSEQ_SWAP SLB_RSEQ_END
                 :
                 : SLB_RSEQ_SWAP_INPUTS(SLB_RSEQ_AREA, pool->words[id], pool->rseq_cpus, biased, word)
                 : "rax", "rcx", "memory", "cc"
                 : refused, restarted);
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
restarted:
    return SLB_RSEQ_RESTARTED;
}

/* Requests the line of a word for writing, ahead of reading the word. A CPU that releases what another one has
 * allocated would else request the line twice, to read and to write. */
#define SLB_RSEQ_REQUEST "prefetchw %[entry]\n\t"

/* The same for the release of the hot path, of a slab that was free as `free_word` before it was handed out. At or
 * above the limit the word is not read. The CPU needs no check: a word is biased only to a CPU that the pool knows. */
SLB_INLINE enum slb_rseq_result slb_rseq_release(intptr_t area, struct slabby_allocator *pool,
                                                 const _Atomic uint64_t *limit, uint64_t id,
                                                 uint64_t free_word) {
    __asm__ goto(SLB_RSEQ_BEGIN "cmpq %[limit], %[free]\n\t"
                                "jae %l[aside]\n\t" SLB_RSEQ_REQUEST
                                "movl " SLB_RSEQ_AT("4") ", %%ecx\n\t"
                                                         "shlq %[shift], %%rcx\n\t"
                                                         "leaq %c[live](%[free], %%rcx), %%rcx\n\t"
                                                         "cmpq %[entry], %%rcx\n\t"
                                                         "jne %l[refused]\n\t"
                                                         "movq %[free], %%rax\n\t"
                                                         "addq %[step], %%rax\n\t"
                                                         "movq %%rax, %[entry]\n\t" SLB_RSEQ_END_TO("aside")
                 :
                 : [area] "r"(area), [limit] "m"(*limit), [free] "r"(free_word),
                   [step] "m"(pool->generation_step), [entry] "m"(pool->words[id]),
                   [shift] "i"(SLB_WORD_HIGH), [live] "i"(SLABBY_SLAB_STATE_LIVE | SLB_WORD_BIASED)
                 : "rax", "rcx", "memory", "cc"
                 : refused, aside);
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
aside:
    return SLB_RSEQ_RESTARTED;
}

/* For sequences that read or swap a word while nothing else keeps the pool from ending: the sequence checks the limit
 * first, and the end of a pool sets the limit to 0 and fences before it unmaps the words. */
#define SLB_RSEQ_WORD_INPUTS(pool, id)                                                                       \
    [area] "r"(SLB_RSEQ_AREA), [cpus] "m"((pool)->word_cpus), [entry] "m"((pool)->words[id])

#define SLB_RSEQ_CHECK_LIMIT                                                                                 \
    "movl " SLB_RSEQ_AT("4") ", %%ecx\n\t"                                                                   \
                             "cmpl %[cpus], %%ecx\n\t"                                                       \
                             "jae %l[refused]\n\t"

SLB_INLINE enum slb_rseq_result slb_rseq_try_read(struct slabby_allocator *pool, uint64_t id,
                                                  uint64_t *out_word) {
    uint64_t word;
    __asm__ goto(SLB_RSEQ_BEGIN SLB_RSEQ_CHECK_LIMIT "movq %[entry], %[word]\n\t" SLB_RSEQ_END
                 : [word] "=&r"(word)
                 : SLB_RSEQ_WORD_INPUTS(pool, id)
                 : "rax", "rcx", "memory", "cc"
                 : refused, restarted);
    *out_word = word;
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
restarted:
    return SLB_RSEQ_RESTARTED;
}

/* A compare-and-swap that is valid on every CPU, and the last instruction of its sequence. *out_found: the word
 * before. */
SLB_INLINE enum slb_rseq_result slb_rseq_try_exchange(struct slabby_allocator *pool, uint64_t id,
                                                      uint64_t expected, uint64_t word, uint64_t *out_found) {
    uint64_t found;
    __asm__ goto(SLB_RSEQ_BEGIN SLB_RSEQ_CHECK_LIMIT "movq %[expected], %%rax\n\t"
                                                     "lock cmpxchgq %[word], %[entry]\n\t" SLB_RSEQ_END
                 : "=&a"(found)
                 : [expected] "r"(expected), [word] "r"(word), SLB_RSEQ_WORD_INPUTS(pool, id)
                 : "rcx", "memory", "cc"
                 : refused, restarted);
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
    __asm__ goto(SLB_RSEQ_BEGIN SLB_RSEQ_LOAD "movq %%r10, %[found]\n\t"
                                              "movl %c[sample](%%rcx), %[sample_at]\n\t" SLB_RSEQ_END
                 : [found] "=&r"(header), [sample_at] "=&r"(sample_at)
                 : [sample] "i"(offsetof(struct slb_cpu_cache, sample_at)), SLB_RSEQ_INPUTS(pool)
                 : "rax", "rcx", "r10", "memory", "cc"
                 : refused, restarted);
    *out_header = header;
    *out_sample_at = sample_at;
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
restarted:
    return SLB_RSEQ_RESTARTED;
}

/* The same in a loop, which keeps the area and the entry in registers: a word that is expected to be biased. */
SLB_INLINE bool slb_rseq_release_next(intptr_t area, _Atomic uint64_t *entry, const _Atomic uint32_t *limit,
                                      uint64_t biased, uint64_t word) {
    __asm__ goto(SLB_RSEQ_BEGIN "movl " SLB_RSEQ_AT(
                     "4") ", %%ecx\n\t"
                          "cmpl %[cpus], %%ecx\n\t"
                          "jae %l[refused]\n\t" SLB_RSEQ_REQUEST SLB_RSEQ_SWAP SLB_RSEQ_END_TO("refused")
                 :
                 : SLB_RSEQ_SWAP_INPUTS(area, *entry, *limit, biased, word)
                 : "rax", "rcx", "memory", "cc"
                 : refused);
    return true;
refused:
    return false;
}

SLB_INLINE uint32_t slb_rseq_cpu(void) {
    uint32_t cpu;
    __asm__ volatile("movl " SLB_RSEQ_AT("4") ", %[cpu]" : [cpu] "=r"(cpu) : [area] "r"(SLB_RSEQ_AREA));
    return cpu;
}

/* Adds while this thread runs on `cpu`. The addition itself is the commit. */
SLB_INLINE enum slb_rseq_result slb_rseq_try_add(uint32_t cpu, _Atomic uint64_t *counter, uint64_t by) {
    __asm__ goto(SLB_RSEQ_BEGIN "cmpl %[cpu], " SLB_RSEQ_AT("4") "\n\t"
                                                                 "jne %l[refused]\n\t"
                                                                 "addq %[by], %[counter]\n\t" SLB_RSEQ_END
                 :
                 : [area] "r"(SLB_RSEQ_AREA), [cpu] "r"(cpu), [counter] "m"(*counter), [by] "r"(by)
                 : "rax", "memory", "cc"
                 : refused, restarted);
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
restarted:
    return SLB_RSEQ_RESTARTED;
}

/* A short time of observe/latency_counts.h, by its index; `last` and `counted` have the forms that
 * observe/latency_state.h shows. The store of `last` is the commit; what is stored before it may be stored again. */
#define SLB_HAVE_RSEQ_SHORT_TIMES 1

SLB_INLINE enum slb_rseq_result slb_rseq_try_add_short(uint32_t cpu, struct slb_short_times *times,
                                                       uint64_t index) {
    __asm__ goto(SLB_RSEQ_BEGIN
                 "cmpl %[cpu], " SLB_RSEQ_AT("4") "\n\t"
                                                  "jne %l[refused]\n\t"
                                                  "movq %c[last](%[times]), %%rcx\n\t"
                                                  "movq %c[counted](%[times]), %%rax\n\t"
                                                  "movq %%rax, %%r10\n\t"
                                                  "xorq %%rcx, %%r10\n\t"
                                                  "testl %[turn], %%r10d\n\t"
                                                  "jz 5f\n\t" /* of a sequence that was restarted */
                                                  "movzbl %%al, %%r10d\n\t"
                                                  "shrq %[count], %%rax\n\t"
                                                  "movq %%rax, %c[counts](%[times], %%r10, 8)\n\t"
                                                  "5:\n\t"
                                                  "movzbl %%cl, %%r10d\n\t"
                                                  "movq %c[counts](%[times], %%r10, 8), %%rax\n\t"
                                                  "addq $1, %%rax\n\t"
                                                  "shlq %[count], %%rax\n\t"
                                                  "movl %%ecx, %%r11d\n\t"
                                                  "andl %[low], %%r11d\n\t"
                                                  "orq %%r11, %%rax\n\t"
                                                  "movq %%rax, %c[counted](%[times])\n\t"
                                                  "subq %%r10, %%rcx\n\t"
                                                  "leaq %c[turn](%%rcx, %[index]), %%rcx\n\t"
                                                  "movq %%rcx, %c[last](%[times])\n\t" SLB_RSEQ_END
                 :
                 : [area] "r"(SLB_RSEQ_AREA), [cpu] "r"(cpu), [times] "r"(times), [index] "r"(index),
                   [last] "i"(offsetof(struct slb_short_times, last)),
                   [counted] "i"(offsetof(struct slb_short_times, counted)),
                   [counts] "i"(offsetof(struct slb_short_times, counts)), [turn] "i"(SLB_SHORT_TURN),
                   [low] "i"(2 * SLB_SHORT_TURN - 1), [count] "i"(SLB_SHORT_COUNT)
                 : "rax", "rcx", "r10", "r11", "memory", "cc"
                 : refused, restarted);
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
restarted:
    return SLB_RSEQ_RESTARTED;
}

/* An allocation of tiers/single.h enters, in one try: counted in the stripe of this CPU. Answers the stripe, the CPU,
 * and the number before. */
#define SLB_HAVE_SINGLES 1

SLB_INLINE bool slb_rseq_enter_single(struct slabby_allocator *pool, struct slb_stripe **out_stripe,
                                      uint32_t *out_cpu, uint64_t *out_number) {
    struct slb_stripe *stripe;
    uint64_t number;
    uint32_t cpu;
    __asm__ goto(
        SLB_RSEQ_BEGIN
        "movl " SLB_RSEQ_AT("4") ", %[cpu]\n\t"
                                 "cmpl %[cpus], %[cpu]\n\t"
                                 "jae %l[refused]\n\t"
                                 "imulq %[size], %q[cpu], %[stripe]\n\t"
                                 "addq %[stripes], %[stripe]\n\t"
                                 "movq %c[entered](%[stripe]), %[number]\n\t"
                                 "addq $1, %c[entered](%[stripe])\n\t" SLB_RSEQ_END_TO("refused")
        : [cpu] "=&r"(cpu), [stripe] "=&r"(stripe), [number] "=&r"(number)
        : [area] "r"(SLB_RSEQ_AREA), [cpus] "m"(pool->single_cpus), [stripes] "m"(pool->stripes),
          [size] "i"(sizeof(struct slb_stripe)), [entered] "i"(offsetof(struct slb_stripe, single_entered))
        : "rax", "memory", "cc"
        : refused);
    *out_stripe = stripe;
    *out_cpu = cpu;
    *out_number = number;
    return true;
refused:
    return false;
}

/* `count` ids, at least one: first one at a time, until what is left is a multiple of four; then four at a time. */
#define SLB_RSEQ_COPY(from_ids, to_ids)                                                                      \
    "xorl %%eax, %%eax\n\t"                                                                                  \
    "jmp 6f\n\t"                                                                                             \
    "5:\n\t"                                                                                                 \
    "movl " from_ids ", %%esi\n\t"                                                                           \
    "movl %%esi, " to_ids "\n\t"                                                                             \
    "addq $1, %%rax\n\t"                                                                                     \
    "6:\n\t"                                                                                                 \
    "movl %k[count], %%esi\n\t"                                                                              \
    "subl %%eax, %%esi\n\t"                                                                                  \
    "testl $3, %%esi\n\t"                                                                                    \
    "jnz 5b\n\t"                                                                                             \
    "jmp 8f\n\t"                                                                                             \
    "7:\n\t"                                                                                                 \
    "movups " from_ids ", %%xmm0\n\t"                                                                        \
    "movups %%xmm0, " to_ids "\n\t"                                                                          \
    "addq $4, %%rax\n\t"                                                                                     \
    "8:\n\t"                                                                                                 \
    "cmpq %[count], %%rax\n\t"                                                                               \
    "jb 7b\n\t"

/* `count` ids, at least one, onto this CPU's stack: written above the header's length, visible with the commit. */
SLB_INLINE enum slb_rseq_result slb_rseq_try_give_batch(struct slabby_allocator *pool,
                                                        union slb_cpu_cache_entry *const *stacks,
                                                        const uint32_t *ids, uint32_t count) {
    __asm__ goto(
        SLB_RSEQ_BEGIN SLB_RSEQ_LOAD
        "movzwl %%r10w, %%eax\n\t"
        "leal (%%rax, %[count]), %%esi\n\t"
        "cmpl %[max], %%esi\n\t"
        "ja %l[refused]\n\t"
        "leaq %c[ids](%%rcx, %%rax, 4), %%rdi\n\t" SLB_RSEQ_COPY(
            "(%[from], %%rax, 4)", "(%%rdi, %%rax, 4)") "addq %[count], %%r10\n\t"
                                                        "movq %%r10, %c[header](%%rcx)\n\t" SLB_RSEQ_END
        :
        : [from] "r"(ids), [count] "r"((uint64_t)count), SLB_RSEQ_INPUTS_FOR(pool, *stacks, pool->rseq_cpus)
        : "rax", "rcx", "r10", "rsi", "rdi", "xmm0", "memory", "cc"
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
    /* volatile: gcc 12 drops a sequence whose output nobody wants */
    __asm__ volatile goto(
        SLB_RSEQ_BEGIN SLB_RSEQ_LOAD
        "movzwl %%r10w, %%eax\n\t"
        "cmpl %[max], %%eax\n\t"
        "ja %l[refused]\n\t" /* locked */
        "subl %k[count], %%eax\n\t"
        "jb %l[refused]\n\t"
        "leaq %c[ids](%%rcx, %%rax, 4), %%rdi\n\t" SLB_RSEQ_COPY(
            "(%%rdi, %%rax, 4)", "(%[to], %%rax, 4)") "addq %[change], %%r10\n\t"
                                                      "movq %%r10, %c[header](%%rcx)\n\t" SLB_RSEQ_END
        : "=&c"(cache)
        : [to] "r"(ids), [count] "r"((uint64_t)count), [change] "r"(change),
          SLB_RSEQ_INPUTS_FOR(pool, *stacks, *limit)
        : "rax", "r10", "rsi", "rdi", "xmm0", "memory", "cc"
        : refused, restarted);
    *out_cache = cache;
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
restarted:
    return SLB_RSEQ_RESTARTED;
}

/* Takes `amount` served allocations off the header of a CPU that serves many; answers through the result only. */
SLB_INLINE enum slb_rseq_result slb_rseq_try_fold(struct slabby_allocator *pool, uint64_t amount) {
    __asm__ goto(SLB_RSEQ_BEGIN SLB_RSEQ_LOAD "movzwl %%r10w, %%eax\n\t"
                                              "cmpl %[max], %%eax\n\t"
                                              "ja %l[refused]\n\t" /* locked */
                                              "cmpq %[amount], %%r10\n\t"
                                              "jb %l[refused]\n\t"
                                              "subq %[amount], %%r10\n\t"
                                              "movq %%r10, %c[header](%%rcx)\n\t" SLB_RSEQ_END
                 :
                 : [amount] "r"(amount << 16), SLB_RSEQ_INPUTS(pool)
                 : "rax", "rcx", "r10", "memory", "cc"
                 : refused, restarted);
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
restarted:
    return SLB_RSEQ_RESTARTED;
}

/* A record of 24 bytes into this CPU's ring, under a key above the one before and above the floor
 * (observe/audit_rings.h). The key is stored before the other words. */
SLB_INLINE enum slb_rseq_result slb_rseq_try_audit(struct slabby_allocator *pool, uint64_t *key, uint64_t ref,
                                                   uint64_t about) {
    uint64_t given;
    __asm__ goto(SLB_RSEQ_BEGIN "movl " SLB_RSEQ_AT("4") ", %%ecx\n\t"
                                                         "cmpl %[cpus], %%ecx\n\t"
                                                         "jae %l[refused]\n\t"
                                                         "shlq %[ring], %%rcx\n\t"
                                                         "addq %[rings], %%rcx\n\t"
                                                         "movq %c[head](%%rcx), %%r10\n\t"
                                                         "leaq -1(%%r10), %%rax\n\t"
                                                         "andq %[mask], %%rax\n\t"
                                                         "leaq (%%rax, %%rax, 2), %%rax\n\t"
                                                         "shlq $3, %%rax\n\t"
                                                         "addq %c[slots](%%rcx), %%rax\n\t"
                                                         "movq %[key], %[given]\n\t"
                                                         "movq (%%rax), %%rax\n\t"
                                                         "addq $1, %%rax\n\t"
                                                         "cmpq %[given], %%rax\n\t"
                                                         "cmovaq %%rax, %[given]\n\t"
                                                         "movq %[merged], %%rax\n\t"
                                                         "movq %c[floor](%%rax), %%rax\n\t"
                                                         "addq $1, %%rax\n\t"
                                                         "cmpq %[given], %%rax\n\t"
                                                         "cmovaq %%rax, %[given]\n\t"
                                                         "movq %%r10, %%rax\n\t"
                                                         "andq %[mask], %%rax\n\t"
                                                         "leaq (%%rax, %%rax, 2), %%rax\n\t"
                                                         "shlq $3, %%rax\n\t"
                                                         "addq %c[slots](%%rcx), %%rax\n\t"
                                                         "movq %[given], (%%rax)\n\t"
                                                         "movq %[ref], 8(%%rax)\n\t"
                                                         "movq %[about], 16(%%rax)\n\t"
                                                         "addq $1, %%r10\n\t"
                                                         "movq %%r10, %c[head](%%rcx)\n\t" SLB_RSEQ_END
                 : [given] "=&r"(given)
                 : [area] "r"(SLB_RSEQ_AREA), [cpus] "m"(pool->rseq_cpus), [rings] "m"(pool->audit.rings),
                   [mask] "m"(pool->audit.mask), [merged] "m"(pool->audit.merged), [key] "r"(*key),
                   [ref] "r"(ref), [about] "r"(about), [ring] "i"(SLB_AUDIT_RING_LOG2),
                   [head] "i"(offsetof(struct slb_audit_ring, head)),
                   [slots] "i"(offsetof(struct slb_audit_ring, slots)),
                   [floor] "i"(offsetof(struct slb_audit_merged, floor))
                 : "rax", "rcx", "r10", "memory", "cc"
                 : refused, restarted);
    *key = given;
    return SLB_RSEQ_DONE;
refused:
    return SLB_RSEQ_REFUSED;
restarted:
    return SLB_RSEQ_RESTARTED;
}

#endif
