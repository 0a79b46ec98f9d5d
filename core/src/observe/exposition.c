/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "observe/exposition.h"

#include "observe/plain_text.h"

#include <string.h>

/* Whole numbers, but for the type that has a fraction. */
struct number {
    bool has_fraction;
    uint64_t whole;
    double real;
};

static struct number number_of(const struct slb_metric_sample *sample,
                               const struct slb_metric_values *values) {
    const char *snapshot = sample->in_health ? (const char *)&values->health : (const char *)&values->stats;
    struct number number = {false, 0, 0};
    int32_t small;
    switch (sample->type) {
    case SLB_FIELD_F64:
        memcpy(&number.real, snapshot + sample->offset, sizeof number.real);
        number.has_fraction = true;
        break;
    case SLB_FIELD_ENUM:
        memcpy(&small, snapshot + sample->offset, sizeof small);
        number.whole = small == sample->equals;
        break;
    default:
        memcpy(&number.whole, snapshot + sample->offset, sizeof number.whole);
    }
    return number;
}

/* ---------------------------------------------------------------------------------------------------- text */

static void add_line(struct slb_text *text, const char *before, const char *label, const char *after) {
    slb_plain_add(text, before);
    slb_plain_add(text, label);
    slb_plain_add(text, after);
}

static void add_count(struct slb_text *text, const char *before, const char *label, const char *after,
                      uint64_t count) {
    add_line(text, before, label, after);
    slb_plain_number(text, count);
    slb_plain_add(text, "\n");
}

static void add_histogram(struct slb_text *text, const struct slb_metric_values *values) {
    const struct slb_histogram *histogram = &values->histogram;
    for (uint32_t i = 0; i < SLB_METRIC_BOUND_COUNT; i++)
        add_count(text, SLB_METRIC_BUCKET, values->label, slb_metric_bounds[i].after, histogram->at_most[i]);
    add_count(text, SLB_METRIC_BUCKET, values->label, "\",le=\"+Inf\"} ", histogram->count);
    add_count(text, SLB_METRIC_CUMULATED, values->label, "\"} ", histogram->count);
    add_line(text, SLB_METRIC_SUM, values->label, "\"} ");
    slb_plain_decimal(text, histogram->sum_seconds);
    slb_plain_add(text, "\n");
}

static void add_samples(struct slb_text *text, const struct slb_metric *metric,
                        const struct slb_metric_values *values) {
    for (uint32_t i = 0; i < metric->sample_count; i++) {
        struct number number = number_of(&metric->samples[i], values);
        add_line(text, metric->before, values->label, metric->samples[i].after);
        if (number.has_fraction)
            slb_plain_decimal(text, number.real);
        else
            slb_plain_number(text, number.whole);
        slb_plain_add(text, "\n");
    }
}

SLB_PRIVATE void slb_exposition_write(struct slb_text *text, const struct slb_metric_values *values,
                                      uint64_t count) {
    slb_plain_add(text, slb_metric_info);
    for (uint32_t i = 0; i < SLB_METRIC_COUNT && count > 0; i++) {
        slb_plain_add(text, slb_metrics[i].head);
        for (uint64_t k = 0; k < count; k++) {
            if (slb_metrics[i].before == NULL)
                add_histogram(text, &values[k]);
            else
                add_samples(text, &slb_metrics[i], &values[k]);
        }
    }
    slb_plain_add(text, "# EOF\n");
}

/* ------------------------------------------------------------------------------------------------- records */

struct records {
    slabby_sample *samples;
    uint64_t capacity, count;
};

static void add_record(struct records *records, const struct slb_metric *metric, int32_t part, int32_t label,
                       double value) {
    slabby_sample sample = {.metric = metric->id, .part = part, .label = label, .value = value};
    if (records->count < records->capacity)
        slb_copy_record(records->samples, records->count, &sample, sizeof sample);
    records->count++;
}

static void add_histogram_records(struct records *records, const struct slb_metric *metric,
                                  const struct slb_histogram *histogram, const uint64_t *buckets) {
    for (uint32_t i = 0; i < SLB_METRIC_BOUND_COUNT; i++)
        add_record(records, metric, SLABBY_METRIC_PART_BUCKET, (int32_t)i, (double)histogram->at_most[i]);
    add_record(records, metric, SLABBY_METRIC_PART_COUNT, 0, (double)histogram->count);
    add_record(records, metric, SLABBY_METRIC_PART_SUM, 0, histogram->sum_seconds);
    for (uint32_t i = 0; i < SLB_LATENCY_BUCKETS; i++)
        if (buckets[i] != 0)
            add_record(records, metric, SLABBY_METRIC_PART_NATIVE_BUCKET, slb_histogram_index(i),
                       (double)buckets[i]);
}

SLB_PRIVATE uint64_t slb_samples_write(slabby_sample *samples, uint64_t capacity,
                                       const struct slb_metric_values *values, const uint64_t *buckets) {
    struct records records = {.samples = samples, .capacity = capacity};
    for (uint32_t i = 0; i < SLB_METRIC_COUNT; i++) {
        const struct slb_metric *metric = &slb_metrics[i];
        if (metric->before == NULL)
            add_histogram_records(&records, metric, &values->histogram, buckets);
        for (uint32_t k = 0; k < metric->sample_count; k++) {
            struct number number = number_of(&metric->samples[k], values);
            double value = number.has_fraction ? number.real : (double)number.whole;
            add_record(&records, metric, SLABBY_METRIC_PART_VALUE, (int32_t)k, value);
        }
    }
    return records.count;
}
