/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A ring of fixed-size records that any number of threads write and read without a lock: events.
 *
 *   record s lies in entry s mod size:   | check | word 0 (time) | word 1 | ... |
 *
 * A writer takes the next sequence number, stores its words and finally the check, a hash of the sequence number and
 * every word. It never waits, so a signal handler may write. A thread that vanishes in the middle (fork,
 * cancellation) damages only its own record.
 *
 * A reader accepts a record only if the check fits the requested sequence number. An older record, a newer one, a
 * half-written one and a mixture by two writers a whole lap apart all fail. (A mixture of two or more words passes
 * with a probability of 2^-64, of one word never.) A record that a cursor skips counts as lost, so read + lost =
 * written, always.
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

/* The first record at or after *cursor; adds the number of skipped records to *lost. The reader waits for a record
 * that is still being written, but for at most a second once newer records are complete. */
SLB_PRIVATE enum slb_ring_found slb_ring_read(const struct slb_ring *ring, uint64_t *cursor, uint64_t *lost,
                                              uint64_t *words);

SLB_PRIVATE uint64_t slb_ring_next(const struct slb_ring *ring);

#endif
