/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The label of a pool in metrics and URLs: its name if that is suitable there, else its number in the process:
 *
 *   "orders"      a name of letters, digits, '.', '_' and '-', which no pool that was open before it has
 *   "pool17"      no name
 *   "orders~17"   a name that is taken, that looks like "pool17", or that has other characters ('_' stands for them)
 *
 * A name never contains '~' as a label, so no two open pools have the same. The choice is made once, when the pool is
 * made, so that its series do not change when others come and go.
 */
#ifndef SLB_OBSERVE_POOL_LABEL_H
#define SLB_OBSERVE_POOL_LABEL_H

#include "pool.h"
#include "status.h"

/* The longest label with its NUL: a name, '~' and four digits. */
#define SLB_POOL_LABEL_SIZE 80u

/* Whether a pool is open: neither closed nor drained. */
SLB_PRIVATE bool slb_pool_is_open(struct slabby_allocator *pool);

/* Whether the name of a pool that is being made can be its label. Under the lock of the pool table. */
SLB_PRIVATE bool slb_pool_label_is_name(const char *name);

SLB_PRIVATE void slb_pool_label_add(struct slb_text *text, const struct slabby_allocator *pool);

#endif
