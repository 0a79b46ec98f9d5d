/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The values inside a caller's options. */
#ifndef SLB_API_OPTION_VALUES_H
#define SLB_API_OPTION_VALUES_H

#include "options.h"

SLB_PRIVATE const struct slb_options *slb_options_of(const slabby_options *options);

#endif
