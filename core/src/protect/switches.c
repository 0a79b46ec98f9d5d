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

/*
 * The inline paths serve pools alone whose protections have nothing to do there. A release frees its word, then looks
 * at the protections; who switches one on looks at the words next, and must find the word free or be seen. After a
 * compare-and-swap seq_cst sees to that, after a sequence (word_bias.h) the fence: behind it each sequence has made
 * its word free for everybody to see, or has not looked yet.
 */
SLB_PRIVATE void slb_protections_set(struct slabby_allocator *pool, uint32_t protect) {
    uint32_t more = protect & ~atomic_exchange(&pool->protect, protect);
    atomic_store(&pool->hot_cpus, (protect & SLB_PROTECT_ON_ALLOCATE) != 0 ? 0 : pool->rseq_cpus);
    atomic_store(&pool->release_cpus, protect != 0 ? 0 : pool->rseq_cpus);
    if (protect != 0)
        slb_bias_disable(pool);
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

/* Slots that are in use stay until their release, so the pool goes on looking for them. The sampling point of each CPU
 * is set anew: it may lie far off where latencies are not tracked. */
SLB_PRIVATE slabby_status slb_switch_guards(struct slabby_allocator *pool, uint32_t rate,
                                            slabby_error *error) {
    slabby_status status = rate == 0 ? SLABBY_OK : slb_guards_prepare(pool, error);
    if (status != SLABBY_OK)
        return status;
    if (rate != 0) {
        atomic_store(&pool->plain_ids, 0);
        set_protection(pool, SLB_PROTECT_SAMPLE, true);
    }
    atomic_store(&pool->guard_rate, rate);
    slb_latency_track(pool, atomic_load(&pool->timing.tracking));
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
