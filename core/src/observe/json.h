/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Snapshots as JSON: one writer over the contract's field tables, so that struct and text cannot drift apart. */
#ifndef SLB_OBSERVE_JSON_H
#define SLB_OBSERVE_JSON_H

#include "slabby_contract.h"
#include "status.h"

SLB_PRIVATE void slb_json_object(struct slb_text *text, const struct slb_field *fields, uint32_t count,
                                 const void *snapshot);

/* A text in quotes, with what JSON does not allow inside escaped. UTF-8 passes as it is; each byte that is none becomes
 * U+FFFD. */
SLB_PRIVATE void slb_json_text(struct slb_text *text, const char *value);

/* The word of an enumeration's value; "unknown" for any other. */
SLB_PRIVATE const char *slb_json_enumerator(const struct slb_enumerator *words, int32_t value);

#endif
