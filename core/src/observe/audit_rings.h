/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The rings into which audit records are written, and how a reader brings the records into one order.
 *
 *   ring of CPU 0        | slot | slot | ... |     written by sequences on CPU 0
 *   ring of CPU 1        | slot | slot | ... |
 *   shared rings         | slot | slot | ... |     written under `busy`, a lock that is tried, never waited for
 *                              |
 *                              v   merged by a reader, in the order of their keys
 *   entries              | 0 | 1 | 2 | ...         the trail: numbered, read by cursors
 *
 * Each ring has `audit` slots, touched as they are written, so one busy CPU alone keeps as many records as the option
 * says. The entries are as many, so a reader sees the last `audit` records of all CPUs together.
 *
 * Keys. The key of a record is the time in nanoseconds of the steady clock, raised above
 *   - the key before it in the same ring: so a ring is in order;
 *   - the key of the last record of the same thread: so is a thread;
 *   - the key of the last record about the same slab: so is the life of a slab, on however many CPUs. The thread that
 *     has a slab in hand stores its key before it publishes the slab (the store that makes the word live, the commit
 *     that gives the id to a tier), and the slab's next owner loads the key behind the load that pairs with it;
 *   - the floor: below it the order is settled.
 *
 * Writing. A sequence loads head, the key before and the floor, stores the slot, and commits by storing head + 1. No
 * other thread of this CPU came in between, or it restarts; no other CPU writes to the ring. A shared ring is the
 * same behind a compare-and-swap of `busy`.
 *
 * Reading, one reader at a time:
 *   1. floor = the highest key in any ring. Every record that was written before this call is at or below it.
 *   2. A full fence; then the head of each ring.
 *   3. Take the record with the lowest key of all rings, as long as that is not above the floor, and number it.
 *
 * So if record r happens before record s (both about one slab, or of one thread), r has the lower number:
 *   - The same call takes both: s has the higher key.
 *   - This call takes s, and r comes later. r is not above the floor, since s is not. So it was committed after the
 *     head of its ring was loaded, therefore after the floor was stored. s loads the floor after r was committed, and
 *     has a key above it: this call does not take it.
 * On two CPUs that order comes with the slab that is handed over, or with the thread that is moved. For one thread on
 * one CPU that has one record in the CPU's ring and one in a shared ring, the order comes from the lock of the shared
 * ring (it acquires, after a commit that released), and from the fence after each record in a shared ring. A writer
 * that stops in the middle delays no reader: nothing happens after its record yet.
 *
 * A record may be overwritten while it is copied. Writers store the key before the rest (in program order on x86-64,
 * before a barrier or by release elsewhere). A reader that has copied any newer word (acquire) finds the newer key
 * behind it; and a newer key is above that of the last record at the time of step 2. Records that were overwritten
 * before they were merged count as lost, and have numbers before those that remain.
 */
#ifndef SLB_OBSERVE_AUDIT_RINGS_H
#define SLB_OBSERVE_AUDIT_RINGS_H

#include "layout.h"
#include "pool.h"
#include "tiers/cpu_cache_rseq.h"

/* Sets the addresses of the audit of a new pool, whose memory reads as zeros. */
SLB_PRIVATE void slb_audit_init(struct slabby_allocator *pool, const struct slb_layout *layout,
                                char *metadata);

/* Writes a record where this CPU's ring cannot be used. */
SLB_PRIVATE uint64_t slb_audit_put_shared(struct slabby_allocator *pool, uint64_t key, uint64_t ref,
                                          uint64_t about);

/* Writes a record; answers its key, which is `key` or higher. Async-signal-safe. */
SLB_INLINE uint64_t slb_audit_put(struct slabby_allocator *pool, uint64_t key, uint64_t ref, uint64_t about) {
    if (slb_likely(slb_rseq_audit(pool, &key, ref, about)))
        return key;
    return slb_audit_put_shared(pool, key, ref, about);
}

/* The highest key in any ring. */
SLB_PRIVATE uint64_t slb_audit_newest(struct slabby_allocator *pool);

/* Every record from now on has a key above this one. */
SLB_PRIVATE void slb_audit_raise(_Atomic uint64_t *key, uint64_t to);

enum slb_audit_found {
    SLB_AUDIT_RECORD,    /* out_entry holds the record at the cursor, which was moved on */
    SLB_AUDIT_END,       /* nothing more to read now */
    SLB_AUDIT_BAD_CURSOR /* no record has had this number yet */
};

/* One reader at a time; it may keep the lock while it copies what it has read. In a child of fork the parent's reader
 * does not count. */
SLB_PRIVATE void slb_audit_lock(struct slabby_allocator *pool);
SLB_PRIVATE void slb_audit_unlock(struct slabby_allocator *pool);

/* Under the lock. The first record at or after *cursor; adds the number of skipped records to *lost. */
SLB_PRIVATE enum slb_audit_found slb_audit_fetch(struct slabby_allocator *pool, uint64_t *cursor,
                                                 uint64_t *lost, struct slb_audit_entry *out_entry);

/* Under the lock: the number that the next record will have. */
SLB_PRIVATE uint64_t slb_audit_end(struct slabby_allocator *pool);

/* In a child of fork: rings that vanished threads were writing to are free. */
SLB_PRIVATE void slb_audit_after_fork(struct slabby_allocator *pool);

#endif
