/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Text without printf, for reports that are written inside a signal handler. Builds the same slb_text. */
#ifndef SLB_OBSERVE_PLAIN_TEXT_H
#define SLB_OBSERVE_PLAIN_TEXT_H

#include "status.h"

/* The final NUL is in place after each call, as far as the text fits. */
SLB_PRIVATE void slb_plain_add(struct slb_text *text, const char *string);
SLB_PRIVATE void slb_plain_number(struct slb_text *text, uint64_t number);
SLB_PRIVATE void slb_plain_hex(struct slb_text *text, uint64_t number);

#endif
