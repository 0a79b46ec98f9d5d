/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which protections of a pool act. */
#ifndef SLB_PROTECT_PROTECT_STATE_H
#define SLB_PROTECT_PROTECT_STATE_H

#include "base.h"

/* What release and allocate must do beyond the tiers; 0 keeps the hot path short. */
enum slb_protection {
    SLB_PROTECT_SECURE = 1u << 0,    /* zero on release */
    SLB_PROTECT_BIT_GUARD = 1u << 1, /* patterns beside the slab, written on allocate, verified on release */
    SLB_PROTECT_DELAY = 1u << 2,     /* released slabs wait before reuse */
    SLB_PROTECT_SHUFFLE = 1u << 3,   /* slabs come in random order; acts where CPU caches are refilled */
    SLB_PROTECT_STACKS = 1u << 4,    /* the stack of every allocation and release is recorded */
    SLB_PROTECT_AUDIT = 1u << 5,     /* every call is recorded */
    SLB_PROTECT_SAMPLE = 1u << 6,    /* some slabs lie on guard slots; set for good by the first sampling */
    SLB_PROTECT_TOOLS = 1u << 7      /* AddressSanitizer or valgrind is told which slabs are in use */
};

/* Protections that act when a slab is released; a guarded slab is known by its word. */
#define SLB_PROTECT_ON_RELEASE (~(uint32_t)(SLB_PROTECT_SAMPLE | SLB_PROTECT_SHUFFLE))

/* Protections that act when a slab is handed out. */
#define SLB_PROTECT_ON_ALLOCATE                                                                              \
    (SLB_PROTECT_BIT_GUARD | SLB_PROTECT_STACKS | SLB_PROTECT_AUDIT | SLB_PROTECT_TOOLS)

#endif
