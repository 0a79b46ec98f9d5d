/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protect/switches.h"

#include "observe/stacks.h"
#include "observe/latency.h"
#include "os/os.h"
#include "protect/guard_slots.h"
#include "status.h"
#include "tiers/gate.h"
#include "tiers/word_bias.h"

#include <inttypes.h>

SLB_PRIVATE void slb_word_sequences_forbid(struct slabby_allocator *pool) {
    atomic_store(&pool->release_cpus, 0);
    atomic_store(&pool->rseq_cpus, 0);
    atomic_store(&pool->word_cpus, 0);
    atomic_store(&pool->ref_limit, 0);
    atomic_store(&pool->bias_limit, 0);
}

SLB_PRIVATE void slb_word_sequences_allow(struct slabby_allocator *pool) {
    bool rseq = pool->backend == SLABBY_CPU_CACHE_BACKEND_RSEQ;
    uint32_t used = slb_used_cpus(pool);
    uint32_t limit =
        used < SLB_WORD_REVOKING ? used : SLB_WORD_REVOKING; /* words can name no CPU above this */
    atomic_store(&pool->word_cpus, slb_rseq_available() ? SLB_OS_MOST_CPUS : 0);
    atomic_store(&pool->rseq_cpus, rseq ? limit : 0);
    atomic_store(&pool->bias_limit, rseq ? pool->ref_end : 0);
}

/*
 * The inline paths serve pools without protections. `ref_limit` and `hot_cpus` send the others aside with the first
 * compare that the paths make anyhow.
 *
 * A release frees its word first and reads `protect` next. The caller that switches a protection on stores `protect`
 * first and reads the words next; it must find the word free, or the release must find the protection. After a
 * compare-and-swap, seq_cst ensures this. After a sequence (word_bias.h), the fence ensures it: it restarts each
 * sequence that has not committed, and interrupts each CPU. A release whose commit came before the interrupt has its
 * free word visible to us now. A release whose commit comes later loads `protect` later still, and finds it. The inline
 * path never loads `protect` after its sequence: it reads `ref_limit` inside the sequence, so the fence restarts a
 * sequence that read the old value. Releases in batches and by id, and those of a binding, read `release_cpus` so.
 */
SLB_PRIVATE void slb_protections_set(struct slabby_allocator *pool, uint32_t protect) {
    uint32_t more = protect & ~atomic_exchange(&pool->protect, protect);
    bool acts = (protect & SLB_PROTECT_ON_RELEASE) != 0;
    atomic_store(&pool->hot_cpus, (protect & SLB_PROTECT_ON_ALLOCATE) != 0 ? 0 : pool->rseq_cpus);
    atomic_store(&pool->release_cpus, acts ? 0 : pool->rseq_cpus);
    atomic_store(&pool->ref_limit, acts ? 0 : atomic_load(&pool->bias_limit));
    if (more != 0 && pool->rseq_cpus != 0 && slb_pool_exists(pool))
        slb_os_fence_rseq();
}

static void set_protection(struct slabby_allocator *pool, uint32_t bit, bool on) {
    slb_gate_lock(pool);
    uint32_t protect = atomic_load(&pool->protect);
    slb_protections_set(pool, on ? protect | bit : protect & ~bit);
    slb_gate_unlock(pool);
}

SLB_PRIVATE slabby_status slb_switch_debug(struct slabby_allocator *pool, bool on, slabby_error *error) {
    if (on && !slb_stacks_prepare(pool))
        return slb_error_set(error, SLABBY_NO_SYSTEM_MEMORY, SLABBY_OPTION_DEBUG, 1, 0, 1,
                             "option debug: the system refused address space for the stacks of %" PRIu32
                             " slabs; lower the capacity or leave it off",
                             pool->reserved);
    set_protection(pool, SLB_PROTECT_STACKS, on);
    return SLABBY_OK;
}

/* Slots that are in use stay until their release, so the pool continues to check for them. The sampling point of each
 * CPU is set again, because it may be far away if latencies are not tracked. */
SLB_PRIVATE slabby_status slb_switch_guards(struct slabby_allocator *pool, uint32_t rate,
                                            slabby_error *error) {
    slabby_status status = rate == 0 ? SLABBY_OK : slb_guards_prepare(pool, error);
    if (status != SLABBY_OK)
        return status;
    if (rate != 0) {
        set_protection(pool, SLB_PROTECT_SAMPLE, true);
    }
    atomic_store(&pool->guard_rate, rate);
    slb_guards_draw_again(pool);
    slb_latency_sample_next(pool);
    return SLABBY_OK;
}

SLB_PRIVATE slabby_status slb_switches_begin(struct slabby_allocator *pool, slabby_error *error) {
    uint32_t rate = (uint32_t)slb_option(&pool->options, SLABBY_OPTION_GUARD_SAMPLE_RATE);
    slabby_status status = SLABBY_OK;
    if (slb_option(&pool->options, SLABBY_OPTION_DEBUG))
        status = slb_switch_debug(pool, true, error);
    if (status == SLABBY_OK && rate != 0)
        status = slb_switch_guards(pool, rate, error);
    return status;
}
