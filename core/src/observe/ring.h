/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A ring of fixed records that any number of threads write and read without a lock: the audit trail and the events.
 *
 *   record s lies in place s mod size:   | check | word 0 (time) | word 1 | ... |
 *
 * A writer takes the next sequence number, stores its words and last the check, a mixture of the sequence number and
 * every word. It never waits and never looks back, so a signal handler may write, and a thread that vanishes in the
 * middle (fork, cancellation) harms its own record alone.
 *
 * A reader believes a record only when the check fits the sequence number it asks for: an older record, a newer one, a
 * half-written one and one that two writers a whole lap apart mixed up all fail. (A mixture of two or more words passes
 * with a probability of 2^-64, of one word never.) Whatever a cursor passes without handing it out is counted as lost,
 * so handed out + lost = written, always.
 */
#ifndef SLB_OBSERVE_RING_H
#define SLB_OBSERVE_RING_H

#include "observe/ring_state.h"

enum slb_ring_found {
    SLB_RING_RECORD,    /* words holds the record at the cursor, which was moved on */
    SLB_RING_END,       /* nothing more to read now */
    SLB_RING_BAD_CURSOR /* no record has had this number yet */
};

/* Async-signal-safe. Answers the sequence number. */
SLB_PRIVATE uint64_t slb_ring_write(const struct slb_ring *ring, const uint64_t *words);

/* The first record at or after *cursor; adds to *lost what was passed over. A record whose writer is still busy holds
 * the reader up, for a second at most once younger records are complete. */
SLB_PRIVATE enum slb_ring_found slb_ring_read(const struct slb_ring *ring, uint64_t *cursor, uint64_t *lost,
                                              uint64_t *words);

SLB_PRIVATE uint64_t slb_ring_next(const struct slb_ring *ring);

#endif
