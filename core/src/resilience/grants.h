/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Grants that nobody has taken yet: counted as allocated, in no list of free slabs, their words say free.
 *
 * A grant has one owner at any time, and who that is changes under the gate lock alone: the waiter is in its listener's
 * list `granted` (the listener owns the slab), or somebody has unlinked it under the lock and owns the slab from then
 * on. Those who may unlink it are slabby_wait_take, slabby_wait_cancel, slabby_listener_destroy and slb_grants_revoke;
 * each unlinks, changes the state and copies the id before it unlocks, and works on the slab afterwards. So of a
 * revocation and a take that meet, the first to lock has the slab, and the second finds the waiter in another list.
 *
 * Protections acted when the slab came back the last time, and nobody has had it since: it goes back as it is.
 *
 * From the moment it is unlinked to its word's change or its return to the tiers the slab is counted as live and is in
 * nobody's list, as a slab is in the middle of a release: maintenance waits for that, and the pool cannot end.
 */
#ifndef SLB_RESILIENCE_GRANTS_H
#define SLB_RESILIENCE_GRANTS_H

#include "resilience/waiters.h"

/* What is to be known of one grant. */
struct slb_grant {
    uint64_t ticket, age_ns;
    uint32_t id;
};

/* Takes back what was not taken within the time that its listener allows, and serves who waits. Answers how many
 * slabs. Where the caller interrupted its own thread inside the core it never waits for the lock. */
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
