/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What nearly every test program of the core needs, in one include. */
#ifndef SLABBY_TEST_SUPPORT_H
#define SLABBY_TEST_SUPPORT_H

#include "checks.h"
#include "timing.h"
#include "random.h"
#include "scale.h"

#endif
