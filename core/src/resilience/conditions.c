/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "resilience/conditions.h"

#include "observe/health.h"
#include "resilience/breaker.h"
#include "resilience/degrade.h"

static int32_t pool_state(struct slabby_allocator *pool) {
    if (atomic_load(&pool->phase) != SLB_PHASE_OPEN)
        return SLABBY_POOL_STATE_DRAINED;
    return (atomic_load(&pool->gate.reasons) & SLB_GATE_CLOSED) != 0 ? SLABBY_POOL_STATE_CLOSED
                                                                     : SLABBY_POOL_STATE_OPEN;
}

SLB_PRIVATE struct slb_conditions slb_conditions_of(struct slabby_allocator *pool) {
    struct slb_conditions conditions = {.pool_state = pool_state(pool),
                                        .degradation_state = slb_degrade_check(pool)};
    conditions.breaker_state = slb_breaker_check(pool, &conditions.refuses);
    return conditions;
}

SLB_PRIVATE void slb_conditions_tick(struct slabby_allocator *pool) {
    slb_breaker_poll(pool);
    if (slb_degrade_is_on(pool))
        slb_degrade_poll(pool);
    struct slb_conditions conditions = slb_conditions_of(pool);
    slb_health_tick(pool, &conditions);
}
