/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How many pattern bytes a side has; bit_guard.h says what for. */
#ifndef SLB_PROTECT_BIT_GUARD_STATE_H
#define SLB_PROTECT_BIT_GUARD_STATE_H

#include "base.h"

#define SLB_GUARD_MINIMUM 8u
#define SLB_GUARD_MAXIMUM 64u

#endif
