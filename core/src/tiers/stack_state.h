/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The head of a tagged stack; stack.h has its operations. */
#ifndef SLB_TIERS_STACK_STATE_H
#define SLB_TIERS_STACK_STATE_H

#include "base.h"

/* A tagged stack: {tag:32, index + 1:32}; every swap raises the tag, so an old head never matches again. */
typedef _Atomic uint64_t slb_stack;

#endif
