/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Audit: records of each operation on the pool, its thread and its result. A pool with the option `audit` has
 * SLB_PROTECT_AUDIT set, which takes every call off the inline paths. Other pools never call this.
 *
 * An allocation is recorded before its reference is returned, a release before the slab can be allocated again. So the
 * records of one slab are in the order of its life. Each operation that returns a slab (a release, the last unpin, a
 * reset) leaves exactly one record `release` or `deallocate_fast`.
 */
#ifndef SLB_OBSERVE_AUDIT_H
#define SLB_OBSERVE_AUDIT_H

#include "observe/audit_state.h"
#include "pool.h"
#include "status.h"

/* -1: the thread has no binding. */
SLB_PRIVATE void slb_audit_set_binding(int32_t binding);

/* The binding of the calling thread; `otherwise` if the thread has set none. */
SLB_PRIVATE int32_t slb_audit_binding(int32_t otherwise);

/* In a child of fork, whose thread has another number. */
SLB_PRIVATE void slb_audit_forget_thread(void);

/* For a thread that has the slab in hand: taken and not published yet, or released and in no list yet. ref: its
 * reference, or its id for operations by id. */
SLB_PRIVATE void slb_audit_hand_over(struct slabby_allocator *pool, int32_t operation, uint32_t id,
                                     uint64_t ref, slabby_status status);

/* For all others: the pool may end meanwhile. */
SLB_PRIVATE SLB_COLD void slb_audit_record(struct slabby_allocator *pool, int32_t operation, uint64_t ref,
                                           slabby_status status);

SLB_INLINE bool slb_is_audited(const struct slabby_allocator *pool) {
    return slb_unlikely(atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_AUDIT);
}

/* Records the answer of a call, and returns it. ref: the reference, the id for operations by id, the option's number
 * for option_change, else 0. */
SLB_INLINE slabby_status slb_audited(struct slabby_allocator *pool, int32_t operation, uint64_t ref,
                                     slabby_status status) {
    if (slb_is_audited(pool))
        slb_audit_record(pool, operation, ref, status);
    return status;
}

/* Under slb_audit_lock. The record at the cursor. false at the end and, with out_status InvalidArgument, for a cursor
 * beyond it. */
SLB_PRIVATE bool slb_audit_next(struct slabby_allocator *pool, uint64_t *cursor, uint64_t *lost,
                                slabby_audit_record *out, slabby_status *out_status);

/* Appends everything from *cursor on; see slabby_audit_write. */
SLB_PRIVATE slabby_status slb_audit_write(struct slabby_allocator *pool, uint64_t *out_count,
                                          uint64_t *cursor, int32_t fd, slabby_error *error);

#endif
