/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The data of the audit records. */
#ifndef SLB_OBSERVE_AUDIT_STATE_H
#define SLB_OBSERVE_AUDIT_STATE_H

#include "base.h"

/* Words of a record behind the time: thread, reference, {status, binding, operation}. */
#define SLB_AUDIT_WORDS 4u
#define SLB_AUDIT_STRIDE 8u /* a cache line each, so that writers do not disturb each other */

/*
 * A chain of written records: the file, the position, and the digest of its last line, so that the next call
 * continues the chain. The key is the file behind the descriptor, because descriptor numbers are reused.
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
    _Atomic uint32_t writer; /* process whose thread is writing, 0: none */
    uint64_t turn;
    struct slb_audit_chain chains[SLB_AUDIT_CHAINS];
};

#endif
