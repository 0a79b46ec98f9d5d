/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Options: what a caller requested, and what a pool uses. Ranges and enumerators come from the contract. */
#ifndef SLB_OPTIONS_H
#define SLB_OPTIONS_H

#include "base.h"
#include "slabby_contract.h"

#include <slabby/slabby.h>

#define SLB_NAME_BYTES 64

struct slb_options {
    int64_t value[SLB_OPTION_COUNT]; /* index = id - 1 */
    uint64_t set;                    /* bit id - 1: requested, not the default */
    uint64_t preset;                 /* bit id - 1: requested by a preset alone */
    char name[SLB_NAME_BYTES];
    slabby_log_function logger; /* null: none */
    void *logger_context;
};

SLB_INLINE int64_t slb_option(const struct slb_options *options, int32_t id) {
    return options->value[id - 1];
}

/* The contract's row of an option, or NULL. */
SLB_PRIVATE const struct slb_option_info *slb_option_info(int32_t id);

SLB_PRIVATE void slb_options_init(struct slb_options *options);

/* Range and power of two. */
SLB_PRIVATE slabby_status slb_option_check(int32_t id, int64_t value, slabby_error *error);

/* The same, then stored. */
SLB_PRIVATE slabby_status slb_option_set(struct slb_options *options, int32_t id, int64_t value,
                                         slabby_error *error);

/* degrade_at and survive_at in the wrong order, about one of which the caller spoke. */
SLB_PRIVATE slabby_status slb_option_check_thresholds(int32_t option, int64_t degrade_at, int64_t survive_at,
                                                      slabby_error *error);

/* True after guard_pages, which a preset alone requested, were replaced by bit_guard. */
SLB_PRIVATE bool slb_options_soften_guards(struct slb_options *options);

/* Defaults that depend on machine and capacity; refusals of what this build cannot do, and of combinations. */
SLB_PRIVATE slabby_status slb_options_resolve(struct slb_options *options, uint64_t capacity,
                                              slabby_error *error);

#endif
