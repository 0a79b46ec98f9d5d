/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The treatment of a slab whose surroundings were overwritten: it is counted, and remembered for slabby_explain. By
 * corruption_policy it then stays out of service, goes back into service, or the process ends. */
#ifndef SLB_PROTECT_QUARANTINE_H
#define SLB_PROTECT_QUARANTINE_H

#include "observe/events.h"
#include "protect/bit_guard.h"

/* The caller has the slab in hand, and its word says free under the next generation. Answers whether the slab stays out
 * of service; its word then says quarantined. The logger may read the whole pool, and would wait for a slab that is
 * between two lists. So a caller that has such a slab in hand outside the pool's lock gets the notification, and sends
 * it when the slab is in a list. NULL where events are delivered later anyway, or no logger waits. */
SLB_PRIVATE bool slb_corruption_found(struct slabby_allocator *pool, uint32_t id,
                                      const struct slb_damage *damage,
                                      struct slb_notification *out_notification);

/* The latest report about a reference. */
SLB_PRIVATE bool slb_corruption_recall(struct slabby_allocator *pool, slabby_ref ref, struct slb_damage *out);

/* Returns every quarantined slab to service; answers how many, and acknowledges the corruptions. */
SLB_PRIVATE uint64_t slb_quarantine_reclaim(struct slabby_allocator *pool);

#endif
