/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Text without printf, for reports that are written inside a signal handler, and where printf takes too long. Builds
 * the same slb_text. */
#ifndef SLB_OBSERVE_PLAIN_TEXT_H
#define SLB_OBSERVE_PLAIN_TEXT_H

#include "status.h"

/* The final NUL is in place after each call, as far as the text fits. */
SLB_PRIVATE void slb_plain_add(struct slb_text *text, const char *string);
SLB_PRIVATE void slb_plain_number(struct slb_text *text, uint64_t number);
SLB_PRIVATE void slb_plain_hex(struct slb_text *text, uint64_t number);

/* Nine digits after the point, whatever the locale. "NaN" for what is no number, or beyond what nine digits can
 * follow: slb_is_decimal. */
SLB_PRIVATE void slb_plain_decimal(struct slb_text *text, double value);
SLB_PRIVATE bool slb_is_decimal(double value);

#endif
