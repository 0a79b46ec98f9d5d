/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The first and the last steps of the public functions: find the pool behind a handle; count and record an answer. */
#ifndef SLB_API_CALL_H
#define SLB_API_CALL_H

#include "observe/audit.h"
#include "observe/counters.h"
#include "pool.h"
#include "resilience/fork.h"
#include "tiers/hold.h"

SLB_INLINE struct slb_hold slb_hold_handle_begin(slabby_allocator *allocator) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    return pool == NULL ? (struct slb_hold){NULL, NULL} : slb_hold_begin(pool);
}

SLB_INLINE void slb_hold_handle_end(struct slb_hold *hold) {
    if (hold->pool != NULL)
        slb_hold_end(hold);
}

/* A hold of the pool behind a handle until the end of the block; of nothing where the handle is none. */
#define SLB_HOLD_HANDLE(allocator)                                                                           \
    __attribute__((cleanup(slb_hold_handle_end), unused)) struct slb_hold slb_hold_here =                    \
        slb_hold_handle_begin(allocator)

/* The pool behind a handle whose pool still exists; otherwise the status to answer. The caller is in a hold. */
SLB_INLINE struct slabby_allocator *slb_existing(slabby_allocator *allocator, slabby_status *out_status) {
    struct slabby_allocator *pool = slb_pool_of(allocator);
    *out_status = pool == NULL ? SLABBY_INVALID_ARGUMENT : SLABBY_OK;
    if (pool != NULL && !slb_pool_exists(pool))
        *out_status = slb_pool_closed_status(pool);
    if (*out_status != SLABBY_OK)
        return NULL;
    slb_fork_check(pool);
    return pool;
}

/* Counts a refusal, records the call. */
SLB_INLINE slabby_status slb_answered(struct slabby_allocator *pool, int32_t operation, uint64_t ref,
                                      slabby_status status) {
    if (slb_unlikely(status != SLABBY_OK))
        (void)slb_refuse(pool, status);
    return slb_audited(pool, operation, ref, status);
}

/* The same for calls that allocate or release: their success was recorded where it happened. */
SLB_INLINE slabby_status slb_concluded(struct slabby_allocator *pool, int32_t operation, uint64_t ref,
                                       slabby_status status) {
    if (slb_likely(status == SLABBY_OK))
        return status;
    return status == SLABBY_MEMORY_CORRUPTION ? slb_refuse(pool, status)
                                              : slb_answered(pool, operation, ref, status);
}

#endif
