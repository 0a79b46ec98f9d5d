/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Grants that have not been taken yet: counted as allocated, in no list of free slabs, their words say free.
 *
 * A grant has one owner at any time, and the owner changes under the gate lock only: either the waiter is in its
 * listener's list `granted` (the listener owns the slab), or a thread has unlinked it under the lock and owns the slab
 * from then on. The functions that may unlink it are slabby_wait_take, slabby_wait_cancel, slabby_listener_destroy and
 * slb_grants_revoke; each unlinks, changes the state and copies the id before it unlocks, and works on the slab
 * afterwards. So if a revocation and a take meet, the first to lock gets the slab, and the second finds the waiter in
 * another list.
 *
 * The protections acted when the slab came back the last time, and no user has had it since: it goes back to the tiers
 * as it is.
 *
 * From the moment when the grant is unlinked until its word changes or the slab returns to the tiers, the slab counts
 * as live and is in no list, like a slab in the middle of a release. Maintenance waits for the end of this state, and
 * the pool cannot end.
 */
#ifndef SLB_RESILIENCE_GRANTS_H
#define SLB_RESILIENCE_GRANTS_H

#include "resilience/waiters.h"

/* The data of one grant, for observers. */
struct slb_grant {
    uint64_t ticket, age_ns;
    uint32_t id;
};

/* Takes back the grants that were not taken within the time that their listener allows, and serves the waiters. Answers
 * how many slabs it took back. If the caller interrupted its own thread inside the core, this never waits for the
 * lock. */
SLB_PRIVATE uint64_t slb_grants_revoke(struct slabby_allocator *pool);

/* Slabs that were granted and will not be issued go back to the tiers. Without the lock. */
SLB_PRIVATE void slb_grants_return(struct slabby_allocator *pool, const uint32_t *ids, uint32_t count);

/* Calls `visit`, where it is not null, for each grant. Answers how many there are. Needs the lock. */
typedef void slb_visit_grant(void *context, const struct slb_grant *grant);
SLB_PRIVATE uint64_t slb_grants_visit(struct slabby_allocator *pool, slb_visit_grant *visit, void *context);

/* One grant after the other; the cursor begins at 0. Grants that come and go meanwhile may or may not be seen. Locks
 * for a bounded number of steps at a time. */
SLB_PRIVATE bool slb_grants_next(struct slabby_allocator *pool, uint64_t *cursor, struct slb_grant *out);

#endif
