/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protect/protect.h"

#include "observe/stacks.h"
#include "protect/bit_guard.h"
#include "protect/guard_slots.h"
#include "protect/quarantine.h"
#include "protect/secure.h"
#include "protect/tools.h"

SLB_PRIVATE void slb_protect_issue_slowly(struct slabby_allocator *pool, uint32_t id) {
    uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_acquire);
    uint32_t protect = atomic_load_explicit(&pool->protect, memory_order_relaxed);
    if (protect & SLB_PROTECT_STACKS)
        slb_stacks_allocated(pool, id, slb_word_generation(pool->id_bits, word));
    if ((protect & SLB_PROTECT_BIT_GUARD) != 0 && !slb_guard_holds(pool, id))
        slb_bit_guard_write(pool, id, slb_word_generation(pool->id_bits, word));
    if (protect & SLB_PROTECT_TOOLS)
        slb_tools_issue(pool, id, slb_word_generation(pool->id_bits, word));
}

static bool protect_intact(struct slabby_allocator *pool, uint32_t id, uint64_t generation,
                           struct slb_damage *out_damage) {
    uint32_t protect = atomic_load_explicit(&pool->protect, memory_order_relaxed);
    if ((protect & SLB_PROTECT_SAMPLE) != 0 && slb_guard_holds(pool, id))
        return slb_guard_intact(pool, id, generation, out_damage);
    return (protect & SLB_PROTECT_BIT_GUARD) == 0 || slb_bit_guard_intact(pool, id, generation, out_damage);
}

/* Zeroed also when damaged: a quarantined slab keeps its owner's secrets from the caller that reclaims it. */
SLB_PRIVATE slabby_status slb_protect_return(struct slabby_allocator *pool, uint32_t id, uint64_t generation,
                                             bool *out_stored, struct slb_notification *out_notification) {
    uint32_t protect = atomic_load_explicit(&pool->protect, memory_order_relaxed);
    struct slb_damage damage;
    if (protect & SLB_PROTECT_STACKS)
        slb_stacks_released(pool, id, generation);
    bool guarded = (protect & SLB_PROTECT_SAMPLE) != 0 && slb_guard_holds(pool, id);
    /* ahead of the patterns, as return_zeroed_patterned of api/release.c */
    if (protect & (SLB_PROTECT_SECURE | SLB_PROTECT_DELAY))
        slb_secure_zero_slab(pool, id);
    bool intact = protect_intact(pool, id, generation, &damage);
    if (guarded) {
        slb_guard_close(pool, id, generation);
        if (protect & SLB_PROTECT_SECURE) /* bytes at its ordinary address from before `secure` was on */
            slb_secure_zero_slab(pool, id);
    } else if (protect & SLB_PROTECT_TOOLS) {
        slb_tools_return(pool, id);
    }
    *out_stored = !intact && slb_corruption_found(pool, id, &damage, out_notification);
    return intact ? SLABBY_OK : SLABBY_MEMORY_CORRUPTION;
}
