/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protect/protect.h"

#include "observe/stacks.h"
#include "protect/bit_guard.h"
#include "protect/quarantine.h"
#include "protect/secure.h"

SLB_PRIVATE void slb_protect_issue_slowly(struct slabby_allocator *pool, uint32_t id) {
    uint64_t word = atomic_load_explicit(&pool->words[id], memory_order_acquire);
    uint32_t protect = atomic_load_explicit(&pool->protect, memory_order_relaxed);
    if (protect & SLB_PROTECT_STACKS)
        slb_stacks_allocated(pool, id, slb_word_generation(word));
    if (protect & SLB_PROTECT_BIT_GUARD)
        slb_bit_guard_write(pool, id, slb_word_generation(word));
}

/* Zeroed also when damaged: a quarantined slab keeps its owner's secrets from whoever reclaims it. */
SLB_PRIVATE slabby_status slb_protect_return(struct slabby_allocator *pool, uint32_t id, uint64_t generation,
                                             bool *out_kept) {
    uint32_t protect = atomic_load_explicit(&pool->protect, memory_order_relaxed);
    struct slb_damage damage;
    if (protect & SLB_PROTECT_STACKS)
        slb_stacks_released(pool, id, generation);
    bool intact =
        (protect & SLB_PROTECT_BIT_GUARD) == 0 || slb_bit_guard_intact(pool, id, generation, &damage);
    if (protect & (SLB_PROTECT_SECURE | SLB_PROTECT_DELAY))
        slb_secure_zero(slb_slab_data(pool, id), pool->slab_size);
    *out_kept = !intact && slb_corruption_found(pool, id, &damage);
    return intact ? SLABBY_OK : SLABBY_MEMORY_CORRUPTION;
}
