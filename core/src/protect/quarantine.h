/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What becomes of a slab whose surroundings were overwritten: counted, remembered for slabby_explain, and by
 * corruption_policy kept out of service, put back, or the end of the process. */
#ifndef SLB_PROTECT_QUARANTINE_H
#define SLB_PROTECT_QUARANTINE_H

#include "observe/events.h"
#include "protect/bit_guard.h"

/* The slab is in the caller's hands, its word free under the next generation. Answers whether it stays out of
 * service; its word then says quarantined. The logger may read the whole pool, and would wait for a slab that is on its
 * way between two lists: a caller that carries one outside the pool's lock gets the notification to send once the slab
 * has arrived. NULL where events are delivered later anyway, or no logger waits. */
SLB_PRIVATE bool slb_corruption_found(struct slabby_allocator *pool, uint32_t id,
                                      const struct slb_damage *damage,
                                      struct slb_notification *out_notification);

/* The latest report about a reference. */
SLB_PRIVATE bool slb_corruption_recall(struct slabby_allocator *pool, slabby_ref ref, struct slb_damage *out);

/* Every quarantined slab back into service; answers how many, and acknowledges. */
SLB_PRIVATE uint64_t slb_quarantine_reclaim(struct slabby_allocator *pool);

#endif
