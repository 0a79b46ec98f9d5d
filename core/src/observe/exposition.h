/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The metrics of pools as OpenMetrics text and as records: one writer over the contract's table. */
#ifndef SLB_OBSERVE_EXPOSITION_H
#define SLB_OBSERVE_EXPOSITION_H

#include "observe/histogram.h"
#include "observe/pool_label.h"
#include "status.h"

/* The numbers of one pool at one moment. */
struct slb_metric_values {
    char label[SLB_POOL_LABEL_SIZE];
    slabby_stats stats;
    slabby_health health;
    struct slb_histogram histogram;
};

/* The samples of a metric stand together, whatever pools they are of. */
SLB_PRIVATE void slb_exposition_write(struct slb_text *text, const struct slb_metric_values *values,
                                      uint64_t count);

/* Stores up to `capacity` samples and answers how many there are. */
SLB_PRIVATE uint64_t slb_samples_write(slabby_sample *samples, uint64_t capacity,
                                       const struct slb_metric_values *values, const uint64_t *buckets);

#endif
