/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The audit trail: what was done to the pool, by which thread, with which result. A pool with the option `audit` has
 * SLB_PROTECT_AUDIT set, which leads every call past the inline paths; other pools never come here.
 *
 * An allocation is recorded before its reference is handed out, a release before the slab can be had again: the records
 * of one slab stand in the order of its life. Whatever brings a slab back (a release, the last unpin, a reset) leaves
 * exactly one record `release` or `deallocate_fast`.
 */
#ifndef SLB_OBSERVE_AUDIT_H
#define SLB_OBSERVE_AUDIT_H

#include "pool.h"
#include "status.h"

/* Words of a record behind the time: thread, reference, {status, binding, operation}. */
#define SLB_AUDIT_WORDS 4u
#define SLB_AUDIT_STRIDE 8u /* a cache line each, so that writers do not disturb each other */

/* The binding of the calling thread, where it said which. */
SLB_PRIVATE int32_t slb_audit_binding(int32_t otherwise);

SLB_PRIVATE SLB_COLD void slb_audit_record(struct slabby_allocator *pool, int32_t operation, uint64_t ref,
                                           slabby_status status);

/* Records what a call answers, and answers it. ref: the reference, the id for operations by id, the option's number
 * for option_change, else 0. */
SLB_INLINE slabby_status slb_audited(struct slabby_allocator *pool, int32_t operation, uint64_t ref,
                                     slabby_status status) {
    if (slb_unlikely(atomic_load_explicit(&pool->protect, memory_order_relaxed) & SLB_PROTECT_AUDIT))
        slb_audit_record(pool, operation, ref, status);
    return status;
}

/* The record at the cursor. false at the end and, with out_status InvalidArgument, for a cursor beyond it. */
SLB_PRIVATE bool slb_audit_next(struct slabby_allocator *pool, uint64_t *cursor, uint64_t *lost,
                                slabby_audit_record *out, slabby_status *out_status);

/*
 * A written trail: where it went, how far, and the digest of its last line, so that the next call goes on with the same
 * chain. Keyed by the file behind the descriptor, since numbers of descriptors are used again.
 */
#define SLB_AUDIT_CHAINS 4u
#define SLB_AUDIT_LINE 512u

struct slb_audit_chain {
    uint64_t device, inode;
    uint64_t cursor;    /* of the first record that is not wholly in the file */
    uint64_t asked;     /* what the last call was given, where it failed: it may come again with that */
    uint64_t after;     /* the cursor once `line` is wholly written */
    uint64_t used_at;   /* turn of the last use; 0: free */
    uint32_t rest;      /* bytes of `line` still to be written */
    uint32_t rest_at;   /* where they begin */
    uint32_t is_record; /* the line is one record, not a beginning or a loss */
    uint8_t digest[32];
    char line[SLB_AUDIT_LINE];
};

struct slb_audit_chains {
    _Atomic uint32_t writer; /* process whose thread is writing, 0: nobody */
    uint64_t turn;
    struct slb_audit_chain chains[SLB_AUDIT_CHAINS];
};

/* Appends everything from *cursor on; see slabby_audit_write. */
SLB_PRIVATE slabby_status slb_audit_write(struct slabby_allocator *pool, uint64_t *out_count,
                                          uint64_t *cursor, int32_t fd, slabby_error *error);

#endif
