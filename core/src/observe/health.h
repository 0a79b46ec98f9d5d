/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Health: score = H x E x L x B x I, and 0 once the pool was closed.
 *
 *   H   1 up to 80 % used, then linear down to 0.2 at 100 %
 *   E   1 - failed allocations / attempts in the window
 *   L   min(1, max_alloc_latency / p99), where there is a limit and at least 100 samples; else 1
 *   B   breaker closed 1, half open 0.5 (also when its timeout is over and no allocation has come yet), open 0
 *   I   0.25 with corruption that nobody has acknowledged (slabby_reclaim); else 1
 *
 * The window is the last 30 to 60 seconds: two baselines of the counters, of which the older is dropped every half
 * minute by the next caller (a tick, a snapshot, a slow path). The trend is over the scores of the last 32 ticks: a
 * Mann-Kendall test at p < 0.05 with ties corrected, and a Theil-Sen slope that amounts to 0.05 or more over them.
 */
#ifndef SLB_OBSERVE_HEALTH_H
#define SLB_OBSERVE_HEALTH_H

#include "observe/condition_state.h"
#include "observe/latency_state.h"
#include "pool.h"

SLB_PRIVATE void slb_health_fill(struct slabby_allocator *pool, const struct slb_conditions *conditions,
                                 slabby_health *out);

/* The same without the trend, which takes as long as all the rest, and the statistics that it is made of. */
SLB_PRIVATE void slb_health_values(struct slabby_allocator *pool, const struct slb_conditions *conditions,
                                   slabby_health *out, slabby_stats *out_stats);

/* One more score for the trend. */
SLB_PRIVATE void slb_health_tick(struct slabby_allocator *pool, const struct slb_conditions *conditions);

/* Starts the next half of the window where it is due, and notes what is in use. */
SLB_PRIVATE void slb_health_note(struct slabby_allocator *pool, uint64_t used);

/* Where `count` scores head, oldest first: a word of enum slabby_trend. */
SLB_PRIVATE int32_t slb_trend(const double *scores, uint32_t count);

#endif
