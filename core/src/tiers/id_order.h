/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The order in which the ids of a batch lie in a CPU's cache. It decides how often two CPUs request the same line of
 * words from each other.
 *
 * Apart: one id of each line, then the next of each. This is for a CPU that releases what it allocates. Two ids that
 * lie next to each other in its cache come to lie on top of two caches as soon as a thread moves to another CPU between
 * an allocation and a release. If their words shared a line, the two CPUs would then take this line from each other at
 * every operation. Of 15 whole lines, these slabs are the ones that are served in turn:
 *
 *      line 0   0 15 30 ..
 *      line 1   8 23 38 ..
 *      line 2   1 16 31 ..
 *
 * By line: all ids of a line, then those of the next. This is for a CPU whose slabs are released on another one. Each
 * line then travels there and back once for all of its slabs; apart, it would travel once for each.
 */
#ifndef SLB_TIERS_ID_ORDER_H
#define SLB_TIERS_ID_ORDER_H

#include "base.h"

/* Puts `count` ids, at most SLB_CACHE_IDS, into this order, if they are of few lines and do not lie about so. */
SLB_PRIVATE void slb_order_ids(uint32_t *ids, uint32_t count, bool by_line);

#endif
