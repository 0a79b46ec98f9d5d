/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a pool remembers of corruption that was found. */
#ifndef SLB_PROTECT_QUARANTINE_STATE_H
#define SLB_PROTECT_QUARANTINE_STATE_H

#include "base.h"

/* What was found overwritten, for slabby_explain; ref = 0: no report. */
#define SLB_DAMAGE_REPORTS 8u

struct slb_damage_report {
    _Atomic uint64_t ref;
    _Atomic int64_t offset;
    _Atomic uint32_t bytes; /* expected << 8 | found */
};

struct slb_corruption {
    _Atomic uint64_t found;          /* corruptions since the pool was made */
    _Atomic uint64_t unacknowledged; /* of them, since the last slabby_reclaim */
    _Atomic uint64_t quarantined;    /* slabs that are out of service for it */
    _Atomic uint32_t policy;         /* enum slabby_corruption_policy */
    _Atomic uint64_t turn;           /* number of the next report */
    struct slb_damage_report reports[SLB_DAMAGE_REPORTS];
};

#endif
