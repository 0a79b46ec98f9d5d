/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Empty, except in builds with SLABBY_TEST_HOOKS. */
#include "pool.h"

#ifdef SLABBY_TEST_HOOKS

#include "tiers/cpu_cache.h"
#include "tiers/gate.h"

void (*slb_test_point)(int point);
uint64_t (*slb_test_clock)(void);
bool slb_test_bias_never_backs_off;
__thread uint64_t slb_test_waiter_steps, slb_test_waiter_steps_here, slb_test_waiter_steps_most;

void slb_test_waiter_step(void) {
    slb_test_waiter_steps++;
    if (++slb_test_waiter_steps_here > slb_test_waiter_steps_most)
        slb_test_waiter_steps_most = slb_test_waiter_steps_here;
}

void slb_test_gate_cycle(struct slabby_allocator *pool) {
    slb_gate_lock(pool);
    slb_gate_close(pool, SLB_GATE_PAUSE);
    slb_gate_open(pool, SLB_GATE_PAUSE);
    slb_gate_unlock(pool);
}

/* The stripes take back what the headers gain, so that the sums stay as they are. */
void slb_test_age_counters(struct slabby_allocator *pool) {
    const uint64_t years = (1ull << 41) + 5;
    slb_gate_lock(pool);
    slb_gate_close(pool, SLB_GATE_PAUSE);
    for (uint32_t cpu = 0; cpu < slb_used_cpus(pool) && pool->cache_max != 0; cpu++) {
        atomic_fetch_add(&pool->caches[cpu].cache.header, years << 16);
        atomic_fetch_sub(&pool->stripes[cpu].folded, years);
    }
    slb_gate_open(pool, SLB_GATE_PAUSE);
    slb_gate_unlock(pool);
}

#endif
