/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Put before every file of the core. Restartable sequences are there although the code is instrumented, and the
 * functions of tiers/rseq_x86_64.h, tiers/rseq_by_id_x86_64.h, tiers/rseq_run_*.h and tiers/rseq_aarch64.h are in
 * sequences.c. Blocks of memory are accessed by functions of runtime.c, because the compiler instruments single
 * accesses only; what a run allocates lies at the same place in every run.
 */
#ifndef SLABBY_SCHEDULE_PRELUDE_H
#define SLABBY_SCHEDULE_PRELUDE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#undef __SANITIZE_THREAD__
#define SLB_TIERS_RSEQ_X86_64_H
#define SLB_TIERS_RSEQ_BY_ID_X86_64_H
#define SLB_TIERS_RSEQ_RUN_X86_64_H
#define SLB_TIERS_RSEQ_RUN_NONE_H
#define SLB_TIERS_RSEQ_AARCH64_H

#define SLB_HAVE_SINGLES 1

struct slabby_allocator;
struct slb_stripe;
union slb_cpu_cache_entry;

/* enum slb_rseq_result, which is not known yet */
int slb_rseq_try_take(struct slabby_allocator *pool, uint32_t *out_id);
int slb_rseq_try_give(intptr_t area, struct slabby_allocator *pool, uint32_t id);
int slb_rseq_try_add(uint32_t cpu, volatile void *counter, uint64_t by);
bool slb_rseq_enter_single(struct slabby_allocator *pool, struct slb_stripe **out_stripe, uint32_t *out_cpu,
                           uint64_t *out_number);
uint32_t slb_rseq_cpu(void);
void slb_rseq_order_counts(void);
int slb_rseq_try_give_batch(struct slabby_allocator *pool, union slb_cpu_cache_entry *const *stacks,
                            const uint32_t *ids, uint32_t count);
int slb_rseq_try_take_batch(struct slabby_allocator *pool, union slb_cpu_cache_entry *const *stacks,
                            const _Atomic uint32_t *limit, uint32_t *ids, uint32_t count, uint64_t change,
                            void *out_cache);
int slb_rseq_try_fold(struct slabby_allocator *pool, uint64_t amount);
bool slb_rseq_take_untimed(struct slabby_allocator *pool, const _Atomic uint32_t *limit, uint64_t *out_id,
                           void *out_cache);
int slb_rseq_try_swap(struct slabby_allocator *pool, uint64_t id, uint64_t biased, uint64_t word);
int slb_rseq_release(intptr_t area, struct slabby_allocator *pool, const _Atomic uint64_t *limit, uint64_t id,
                     uint64_t free_word);
int slb_rseq_try_read(struct slabby_allocator *pool, uint64_t id, uint64_t *out_word);
int slb_rseq_try_exchange(struct slabby_allocator *pool, uint64_t id, uint64_t expected, uint64_t word,
                          uint64_t *out_found);
int slb_rseq_try_peek(struct slabby_allocator *pool, uint64_t *out_header, uint32_t *out_sample_at);
int slb_rseq_try_audit(struct slabby_allocator *pool, uint64_t *key, uint64_t ref, uint64_t about);
int slb_rseq_try_note_fast_given(struct slabby_allocator *pool);
#define SLB_RSEQ_COUNTS_FAST 1
#define SLB_RSEQ_AREA 0 /* which no simulated sequence needs */
int slb_rseq_take_fast(struct slabby_allocator *pool, const _Atomic uint32_t *limit, uint32_t *out_id,
                       void *out_cache);
int slb_rseq_try_take_counted(struct slabby_allocator *pool, uint32_t *out_id);
int slb_rseq_try_give_fast(struct slabby_allocator *pool, uint32_t id);
int slb_rseq_release_fast(struct slabby_allocator *pool, uint64_t id);
bool slb_rseq_release_next(intptr_t area, _Atomic uint64_t *entry, const _Atomic uint32_t *limit,
                           uint64_t biased, uint64_t word);
void slb_rseq_release_run(struct slabby_allocator *pool, const uint64_t *refs, uint32_t *ids, uint64_t count,
                          void *out_run);

void *schedule_copy(void *to, const void *from, size_t size);
void *schedule_fill(void *to, int byte, size_t size);
int schedule_compare(const void *one, const void *other, size_t size);
void *schedule_calloc(size_t count, size_t size);
void schedule_free(void *memory);

#define memcpy schedule_copy
#define memmove schedule_copy
#define memset schedule_fill
#define memcmp schedule_compare
#define explicit_bzero(to, size) ((void)schedule_fill(to, 0, size))
#define calloc schedule_calloc
#define free schedule_free

#endif
