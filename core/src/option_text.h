/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Options as text: names, and values such as 4KiB, 250us, 80% or an enumerator. */
#ifndef SLB_OPTION_TEXT_H
#define SLB_OPTION_TEXT_H

#include "base.h"
#include "status.h"

#include <slabby/slabby.h>

/* The number of the option with this name. */
SLB_PRIVATE slabby_status slb_option_find(const char *name, int32_t *out_id, slabby_error *error);

/* Converts a text to the value of an option that is no text itself; slb_option_check checks the range. */
SLB_PRIVATE slabby_status slb_option_parse(int32_t id, const char *text, int64_t *out_value,
                                           slabby_error *error);

/* A value of an option that is no text itself, as slb_option_parse reads it: in the largest unit that it is a whole
 * number of. */
SLB_PRIVATE void slb_option_format(struct slb_text *text, int32_t id, int64_t value);

/* A whole number without a unit. */
SLB_PRIVATE bool slb_option_parse_count(const char *text, int64_t *out_value);

#endif
