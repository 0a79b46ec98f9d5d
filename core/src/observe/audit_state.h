/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The data of the audit records. */
#ifndef SLB_OBSERVE_AUDIT_STATE_H
#define SLB_OBSERVE_AUDIT_STATE_H

#include "base.h"

/*
 * A record in the ring of a CPU. The key is its time and orders it (observe/audit_rings.h); 0: never written.
 *
 *    63                24 23      16 15       8 7         0
 *   +--------------------+----------+----------+-----------+
 *   | thread (40)        | -status  | binding  | operation |      about
 *   +--------------------+----------+----------+-----------+
 */
struct slb_audit_slot {
    _Atomic uint64_t key, ref, about;
};

#define SLB_AUDIT_THREAD_AT 24
#define SLB_AUDIT_STATUS_AT 16
#define SLB_AUDIT_BINDING_AT 8

/* Record s of a ring lies in slot s modulo the size. The first line is the writers', the second the reader's. */
struct slb_audit_ring {
    _Alignas(SLB_CACHE_LINE) _Atomic uint64_t head; /* records written */
    struct slb_audit_slot *slots;
    _Atomic uint32_t busy;                          /* a thread without sequences is writing */
    _Alignas(SLB_CACHE_LINE) _Atomic uint64_t read; /* records that have a number */
    uint64_t end, last,
        key; /* for the merge under way: where it ends, the last key before that, the next key */
};

#define SLB_AUDIT_RING_LOG2 7
_Static_assert(sizeof(struct slb_audit_ring) == 1u << SLB_AUDIT_RING_LOG2, "sequences shift by it");

/* Rings in addition to those of the CPUs, for threads that cannot write into their CPU's ring. */
#define SLB_AUDIT_SHARED_RINGS 4u

/* A record in its order. sequence: its number + 1, so that untouched memory is no record. */
struct slb_audit_entry {
    uint64_t sequence, time_ns, ref, about;
};

/* What readers share. */
struct slb_audit_merged {
    _Alignas(SLB_CACHE_LINE) _Atomic uint64_t floor;  /* every later record has a higher key */
    _Alignas(SLB_CACHE_LINE) _Atomic uint32_t reader; /* process whose thread is reading, 0: none */
    _Atomic uint64_t next;                            /* number of the next record */
    _Atomic uint64_t dropped;                         /* records that found every ring taken */
    uint64_t dropped_read;
};

struct slb_audit {
    struct slb_audit_merged *merged;
    struct slb_audit_ring *rings; /* of each CPU, then the shared ones */
    struct slb_audit_entry *entries;
    _Atomic uint64_t *keys; /* of each slab: its newest record's */
    uint64_t size;          /* records, a power of two; 0: no audit */
    uint64_t mask;          /* of the slots of a ring: as many, 2 at least */
};

/*
 * A chain of written records: the file, the position, and the digest of its last line, so that the next call
 * continues the chain. The key is the file behind the descriptor, because descriptor numbers are reused. A file that
 * is shorter than what was written into it has begun anew: it was truncated, or is another one with the same number.
 */
#define SLB_AUDIT_CHAINS 4u
#define SLB_AUDIT_LINE 1024u /* the longest line fits: observe/audit_write.c */

struct slb_audit_chain {
    uint64_t device, inode;
    uint64_t cursor;    /* of the first record that is not wholly in the file */
    uint64_t asked;     /* the cursor of the last call, if that failed: the caller may pass it again */
    uint64_t after;     /* the cursor once `line` is wholly written */
    uint64_t used_at;   /* turn of the last use; 0: free */
    uint64_t written;   /* bytes that the file has of this chain */
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
