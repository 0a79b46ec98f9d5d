/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The open pools of the process and their labels, and the metrics as text and as records: what they say, that both say
 * the same, and that other threads may end pools meanwhile. */
#define _GNU_SOURCE
#include "support.h"
#include "threads.h"

#include "observe/histogram.h"
#include "observe/latency.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------------------- support */

static slabby_allocator *named_pool(const char *name, uint64_t capacity) {
    slabby_options *options;
    slabby_allocator *pool = NULL;
    CHECK_STATUS(slabby_options_create(&options), SLABBY_OK);
    CHECK_STATUS(slabby_options_set_text(options, "name", name, NULL), SLABBY_OK);
    CHECK_STATUS(slabby_options_set_text(options, "latency_tracking", "all", NULL), SLABBY_OK);
    CHECK_STATUS(slabby_create(&pool, 64, capacity, options, NULL), SLABBY_OK);
    slabby_options_destroy(options);
    return pool;
}

static uint64_t address_of(slabby_allocator *pool) {
    return (uint64_t)(uintptr_t)pool;
}

/* The text of one pool, or of all. The caller frees it. */
static char *text_of(slabby_allocator *one_or_all) {
    uint64_t length = 0;
    char *text = NULL;
    slabby_status status = SLABBY_BUFFER_TOO_SMALL;
    while (status == SLABBY_BUFFER_TOO_SMALL) {
        uint64_t capacity = length + 256;
        free(text);
        text = malloc(capacity);
        assert_non_null(text);
        status = slabby_metrics_text(text, capacity, &length, one_or_all);
    }
    CHECK_STATUS(status, SLABBY_OK);
    assert_int_equal(strlen(text), length);
    return text;
}

/* The value of a series, whose line begins with `series` and a blank; -1 where there is none. */
static double value_in(const char *text, const char *series) {
    size_t length = strlen(series);
    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1)
        if (strncmp(line, series, length) == 0 && line[length] == ' ')
            return strtod(line + length, NULL);
    return -1;
}

static void check_value(const char *text, const char *series, double expected) {
    double found = value_in(text, series);
    if (found != expected) /* NOLINT: whole numbers */
        fail_msg("%s is %f, not %f, in\n%s", series, found, expected, text);
}

static void check_label(slabby_allocator *pool, const char *expected) {
    char label[128];
    uint64_t length = 0;
    CHECK_STATUS(slabby_pool_label(label, sizeof label, &length, pool), SLABBY_OK);
    assert_string_equal(label, expected);
    assert_int_equal(length, strlen(expected));
}

/* "orders~17" for a base "orders" and the number of the pool. */
static void check_numbered(slabby_allocator *pool, const char *format) {
    char expected[128];
    slabby_ref ref = take(pool);
    (void)snprintf(expected, sizeof expected, format, (unsigned)(ref >> 52));
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    check_label(pool, expected);
}

/* Whether the list has a pool, with this label. */
static int is_listed(slabby_allocator *pool, const char *label) {
    slabby_pool_info info = {.struct_size = sizeof info};
    uint64_t cursor = 0, count = 0;
    int found = 0;
    for (;;) {
        CHECK_STATUS(slabby_pools_next(&info, &count, &cursor), SLABBY_OK);
        if (count == 0)
            return found;
        if (info.allocator_address != (uint64_t)(uintptr_t)pool)
            continue;
        assert_string_equal(info.label, label);
        found++;
    }
}

/* -------------------------------------------------------------------------------------------------- labels */

/* Guards: a label is the name where that is free and safe in a URL, else the number; it stays while others come and
 * go. */
static void labels_are_unique(void **state) {
    (void)state;
    slabby_allocator *first = named_pool("orders", 10), *second = named_pool("orders", 10);
    slabby_allocator *other = named_pool("a.b_c-D9", 10), *none = named_pool("", 10);
    slabby_allocator *odd = named_pool("a b/\"\xc3\xa9", 10), *numbered = named_pool("pool17", 10);
    slabby_allocator *dots = named_pool("..", 10), *tilde = named_pool("orders~17", 10);
    check_label(first, "orders");
    check_numbered(second, "orders~%u");
    check_label(other, "a.b_c-D9");
    check_numbered(none, "pool%u");
    check_numbered(odd, "a_b____~%u");
    check_numbered(numbered, "pool17~%u");
    check_numbered(dots, "..~%u");
    check_numbered(tilde, "orders_17~%u");
    CHECK_STATUS(slabby_close(first), SLABBY_OK);
    check_numbered(second, "orders~%u");
    slabby_allocator *third = named_pool("orders", 10);
    check_label(third, "orders");
    slabby_allocator *pools[] = {second, other, none, odd, numbered, dots, tilde, third};
    for (size_t i = 0; i < COUNT_OF(pools); i++)
        finish(pools[i]);
    CHECK_STATUS(slabby_destroy(first), SLABBY_OK);
}

/* Guards: the list has each open pool once, and none that was closed, drained or destroyed. */
static void the_list_has_open_pools(void **state) {
    (void)state;
    slabby_allocator *open = named_pool("open", 10), *closed = named_pool("closed", 10);
    assert_int_equal(is_listed(open, "open"), 1);
    assert_int_equal(is_listed(closed, "closed"), 1);
    slabby_ref ref = take(closed);
    CHECK_STATUS(slabby_close(closed), SLABBY_OK);
    assert_int_equal(is_listed(closed, "closed"), 0);
    check_label(closed, "closed");
    CHECK_STATUS(slabby_release(closed, ref), SLABBY_OK);
    CHECK_STATUS(slabby_destroy(closed), SLABBY_OK);
    assert_int_equal(is_listed(closed, "closed"), 0);
    assert_int_equal(is_listed(open, "open"), 1);
    finish(open);
    assert_int_equal(is_listed(open, "open"), 0);
}

/* Guards: bad arguments change nothing. */
static void bad_arguments_are_refused(void **state) {
    (void)state;
    slabby_allocator *pool = named_pool("orders", 10), *closed = named_pool("closed", 10);
    slabby_pool_info info = {.struct_size = 4};
    slabby_sample sample = {.struct_size = 4};
    uint64_t count = 77, cursor = 0;
    char text[64];
    CHECK_STATUS(slabby_destroy(closed), SLABBY_OK);
    CHECK_STATUS(slabby_pools_next(NULL, &count, &cursor), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_pools_next(&info, NULL, &cursor), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_pools_next(&info, &count, NULL), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_pools_next(&info, &count, &cursor), SLABBY_ABI_MISMATCH);
    info.struct_size = sizeof info;
    cursor = UINT64_MAX;
    CHECK_STATUS(slabby_pools_next(&info, &count, &cursor), SLABBY_OK);
    assert_int_equal(count, 0);
    count = 77;
    CHECK_STATUS(slabby_pool_label(text, 64, NULL, NULL), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_pool_label(NULL, 64, NULL, pool), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_pool_label(text, 64, NULL, closed), SLABBY_CLOSED);
    CHECK_STATUS(slabby_metrics_text(NULL, 64, NULL, pool), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_metrics_text(text, 64, NULL, closed), SLABBY_CLOSED);
    CHECK_STATUS(slabby_metrics_text(text, 64, NULL, (slabby_allocator *)(void *)text),
                 SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_metrics_read(NULL, &count, address_of(pool), 1), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_metrics_read(&sample, NULL, address_of(pool), 1), SLABBY_INVALID_ARGUMENT);
    CHECK_STATUS(slabby_metrics_read(&sample, &count, address_of(pool), 1), SLABBY_ABI_MISMATCH);
    CHECK_STATUS(slabby_metrics_read(NULL, &count, address_of(closed), 0), SLABBY_CLOSED);
    CHECK_STATUS(slabby_metrics_read(NULL, &count, 0, 0), SLABBY_INVALID_ARGUMENT);
    assert_int_equal(count, 77);
    finish(pool);
}

/* ------------------------------------------------------------------------------------------------- numbers */

/* Guards: each series says what a handful of known calls did. */
static void text_says_what_happened(void **state) {
    (void)state;
    slabby_allocator *pool = named_pool("orders", 10);
    slabby_ref refs[10], other = 0;
    uint32_t id = 0;
    void *data = NULL;
    for (int i = 0; i < 9; i++)
        refs[i] = take(pool);
    CHECK_STATUS(slabby_allocate_fast(&data, &id, pool), SLABBY_OK);
    CHECK_STATUS(slabby_allocate(&other, NULL, pool), SLABBY_OUT_OF_MEMORY);
    CHECK_STATUS(slabby_release(pool, refs[0]), SLABBY_OK);
    CHECK_STATUS(slabby_release(pool, refs[0]), SLABBY_DOUBLE_DEALLOCATION);
    CHECK_STATUS(slabby_data(&data, pool, refs[0]), SLABBY_USE_AFTER_FREE);
    CHECK_STATUS(slabby_release(pool, 1), SLABBY_INVALID_REFERENCE);
    CHECK_STATUS(slabby_deallocate_fast(pool, 10), SLABBY_INVALID_SLAB_ID);
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_FORCED_OPEN), SLABBY_OK);
    char *text = text_of(pool);
    check_value(text, "slabby_slabs{pool=\"orders\",state=\"live\"}", 9);
    check_value(text, "slabby_slabs{pool=\"orders\",state=\"free\"}", 1);
    check_value(text, "slabby_capacity_slabs{pool=\"orders\"}", 10);
    check_value(text, "slabby_slab_size_bytes{pool=\"orders\"}", 64);
    check_value(text, "slabby_peak_slabs{pool=\"orders\"}", 10);
    check_value(text, "slabby_deallocations_total{pool=\"orders\"}", 1);
    check_value(text, "slabby_allocation_failures_total{pool=\"orders\",reason=\"out_of_memory\"}", 1);
    check_value(text, "slabby_rejected_calls_total{pool=\"orders\",reason=\"double_deallocation\"}", 1);
    check_value(text, "slabby_rejected_calls_total{pool=\"orders\",reason=\"use_after_free\"}", 1);
    check_value(text, "slabby_rejected_calls_total{pool=\"orders\",reason=\"invalid_reference\"}", 1);
    check_value(text, "slabby_rejected_calls_total{pool=\"orders\",reason=\"invalid_slab_id\"}", 1);
    check_value(text, "slabby_health_score{pool=\"orders\"}", 0);
    check_value(text, "slabby_breaker_state{pool=\"orders\",slabby_breaker_state=\"open\"}", 1);
    check_value(text, "slabby_breaker_state{pool=\"orders\",slabby_breaker_state=\"closed\"}", 0);
    check_value(text, "slabby_alloc_duration_seconds_count{pool=\"orders\"}", 10);
    check_value(text, "slabby_alloc_duration_seconds_bucket{pool=\"orders\",le=\"+Inf\"}", 10);
    check_value(text, "slabby_build_info{version=\"0.1.0\",abi_version=\"1\"}", 1);
    assert_string_equal(text + strlen(text) - 6, "# EOF\n");
    free(text);
    CHECK_STATUS(slabby_breaker_force(pool, SLABBY_BREAKER_MODE_NORMAL), SLABBY_OK);
    CHECK_STATUS(slabby_reset(pool), SLABBY_OK);
    finish(pool);
}

/* Guards: of all pools, a metric's samples stand together under one head, and a closed pool has none. */
static void text_of_all_groups_samples(void **state) {
    (void)state;
    slabby_allocator *one = named_pool("one", 10), *two = named_pool("two", 20);
    slabby_allocator *closed = named_pool("closed", 10);
    CHECK_STATUS(slabby_close(closed), SLABBY_OK);
    char *text = text_of(NULL);
    const char *head = strstr(text, "# TYPE slabby_capacity_slabs gauge\n");
    assert_non_null(head);
    assert_null(strstr(head + 1, "# TYPE slabby_capacity_slabs gauge\n"));
    assert_non_null(
        strstr(head, "slabby_capacity_slabs{pool=\"one\"} 10\nslabby_capacity_slabs{pool=\"two\"} 20\n"));
    assert_null(strstr(text, "pool=\"closed\""));
    free(text);
    CHECK_STATUS(slabby_destroy(closed), SLABBY_OK);
    finish(one);
    finish(two);
    text = text_of(NULL);
    assert_null(strstr(text, "pool="));
    assert_non_null(strstr(text, "slabby_build_info"));
    free(text);
}

/* Guards: whatever the capacity, the text is cut, ended by NUL, and its full length stored. */
static void text_is_cut_where_it_does_not_fit(void **state) {
    (void)state;
    slabby_allocator *pool = named_pool("orders", 10);
    char *whole = text_of(pool);
    uint64_t length = strlen(whole), needed = 0;
    char *cut = malloc(length + 2);
    assert_non_null(cut);
    for (uint64_t capacity = 0; capacity <= length + 1; capacity += capacity < length - 8 ? 7 : 1) {
        memset(cut, 'x', length + 2);
        CHECK_STATUS(slabby_metrics_text(cut, capacity, &needed, pool),
                     capacity > length ? SLABBY_OK : SLABBY_BUFFER_TOO_SMALL);
        assert_int_equal(needed, length);
        if (capacity > 0) {
            assert_int_equal(strlen(cut), capacity > length ? length : capacity - 1);
            assert_memory_equal(cut, whole, strlen(cut));
        }
        assert_int_equal(cut[capacity < length + 1 ? capacity : length + 1], 'x');
    }
    free(cut);
    free(whole);
    finish(pool);
}

static double sum_of_records(const slabby_sample *samples, uint64_t count, int32_t part) {
    double sum = 0;
    for (uint64_t i = 0; i < count; i++)
        sum += samples[i].part == part ? samples[i].value : 0;
    return sum;
}

/* Guards: the records have the numbers of the text; more than fit are counted; native buckets hold every allocation. */
static void records_say_the_same(void **state) {
    (void)state;
    static slabby_sample samples[2048];
    slabby_allocator *pool = named_pool("orders", 1000);
    uint64_t count = 0, again = 0, at = 0;
    for (int i = 0; i < 5000; i++)
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    samples[0].struct_size = sizeof samples[0];
    CHECK_STATUS(slabby_metrics_read(samples, &count, address_of(pool), COUNT_OF(samples)), SLABBY_OK);
    assert_in_range(count, 70, COUNT_OF(samples));
    CHECK_STATUS(slabby_metrics_read(NULL, &again, address_of(pool), 0), SLABBY_OK);
    assert_int_equal(again, count);
    char *text = text_of(pool);
    /* Both are in the order of the list; native buckets stand in records alone, +Inf in the text alone. */
    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
        const char *infinite = strstr(line, "le=\"+Inf\"");
        if (*line == '#' || strstr(line, "slabby_build_info") == line ||
            (infinite != NULL && infinite < strchr(line, '\n')))
            continue;
        while (samples[at].part == SLABBY_METRIC_PART_NATIVE_BUCKET)
            at++;
        double found = strtod(strchr(line, ' '), NULL);
        if (samples[at].value - found > 1e-9 || found - samples[at].value > 1e-9)
            fail_msg("record %" PRIu64 " is %f where the text has %.60s", at, samples[at].value, line);
        at++;
    }
    free(text);
    while (at < count && samples[at].part == SLABBY_METRIC_PART_NATIVE_BUCKET)
        at++;
    assert_int_equal(at, count);
    assert_true(sum_of_records(samples, count, SLABBY_METRIC_PART_NATIVE_BUCKET) ==
                sum_of_records(samples, count, SLABBY_METRIC_PART_COUNT));
    finish(pool);
}

/* Guards: a bucket holds what took at most its limit. Each native bucket below the limit's index counts, none above. */
static void buckets_hold_what_their_limits_say(void **state) {
    (void)state;
    static slabby_sample samples[2048];
    slabby_allocator *pool = named_pool("orders", 1000);
    uint64_t count = 0;
    double at_most = -1, below = 0, above = 0;
    const int32_t limit_index = -318; /* 2^(-318/32) s is 1.02 ms */
    for (int i = 0; i < 5000; i++)
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    samples[0].struct_size = sizeof samples[0];
    CHECK_STATUS(slabby_metrics_read(samples, &count, address_of(pool), COUNT_OF(samples)), SLABBY_OK);
    for (uint64_t i = 0; i < count; i++) {
        if (samples[i].part == SLABBY_METRIC_PART_BUCKET && samples[i].label == 14)
            at_most = samples[i].value; /* the limit of a millisecond */
        if (samples[i].part == SLABBY_METRIC_PART_NATIVE_BUCKET && samples[i].label <= limit_index - 2)
            below += samples[i].value;
        if (samples[i].part == SLABBY_METRIC_PART_NATIVE_BUCKET && samples[i].label <= limit_index + 2)
            above += samples[i].value;
        /* no allocation of this machine took less than a tenth of a nanosecond, or more than some minutes */
        if (samples[i].part == SLABBY_METRIC_PART_NATIVE_BUCKET)
            assert_in_range(samples[i].label + 2000, 2000 - 33 * 34, 2000 + 10 * 32);
    }
    assert_true(below <= at_most && at_most <= above);
    finish(pool);
}

/* Guards: a native bucket of schema 5 ends where the core's bucket does, and at most half a bucket off. The index of a
 * bucket that ends at t seconds is 32 log2(t). */
static void native_buckets_end_where_the_cores_do(void **state) {
    (void)state;
    static uint64_t buckets[SLB_LATENCY_BUCKETS];
    struct slb_histogram histogram;
    slabby_allocator *pool = named_pool("orders", 10);
    for (int i = 0; i < 1000; i++)
        CHECK_STATUS(slabby_release(pool, take(pool)), SLABBY_OK);
    slb_histogram_fill(pool, buckets, &histogram);
    double tick = histogram.sum_seconds / (double)slb_latency_sums(pool).weighted_ticks;
    for (uint32_t bucket = 0; bucket < SLB_LATENCY_BUCKETS; bucket++) {
        double off = slb_histogram_index(bucket) - ((double)bucket + 1 + 32 * log2(tick));
        if (fabs(off) > 0.5 + 1e-6)
            fail_msg("bucket %u ends %f buckets off, with a tick of %g s", (unsigned)bucket, off, tick);
    }
    finish(pool);
}

/* ------------------------------------------------------------------------------------------------- threads */

struct load {
    slabby_allocator *pool;
    _Atomic int stop;
};

static void allocate_and_release(struct load *load) {
    for (int i = 0; i < 200; i++) {
        slabby_ref ref;
        if (slabby_allocate(&ref, NULL, load->pool) == SLABBY_OK)
            (void)slabby_release(load->pool, ref);
    }
}

/* The number + 1 of a bucket that fell, or 0. */
static uint64_t fall_of(const double *before, const slabby_sample *now, uint64_t count) {
    for (uint64_t i = 0; i < count; i++)
        if (now[i].value < before[i])
            return i + 1;
    return 0;
}

/* Worker 0 reads, the others allocate. */
static void read_under_load(struct worker *worker) {
    struct load *load = worker->shared;
    static slabby_sample samples[2048];
    static double before[19];
    uint64_t count = 0;
    if (worker->index != 0) {
        while (!atomic_load(&load->stop))
            allocate_and_release(load);
        return;
    }
    for (int round = 0; round < 300; round++) {
        samples[0].struct_size = sizeof samples[0];
        (void)slabby_metrics_read(samples, &count, address_of(load->pool), COUNT_OF(samples));
        uint64_t first = 0;
        while (first < count && samples[first].part != SLABBY_METRIC_PART_BUCKET)
            first++;
        uint64_t fell = first == count ? 99 : fall_of(before, &samples[first], COUNT_OF(before));
        if (fell != 0)
            complain("in round %d bucket %" PRIu64 " fell", round, fell - 1);
        for (uint64_t i = 0; i < COUNT_OF(before); i++)
            before[i] = samples[first + i].value;
        allocate_and_release(load);
    }
    atomic_store(&load->stop, 1);
}

/* Guards: no bucket falls while threads allocate. */
static void buckets_only_grow(void **state) {
    (void)state;
    struct load load = {.pool = named_pool("orders", 100)};
    run_threads(3, read_under_load, &load, test_seed());
    assert_no_thread_failed();
    finish(load.pool);
}

static void make_and_end_pools(struct worker *worker) {
    static const char *const names[] = {"orders", "", "other", "orders"};
    for (int round = 0; round < 1500; round++) {
        slabby_allocator *pool = named_pool(names[worker->index % 4], 100);
        slabby_ref ref;
        if (slabby_allocate(&ref, NULL, pool) != SLABBY_OK || slabby_release(pool, ref) != SLABBY_OK)
            complain("a new pool does not serve");
        if (slabby_destroy(pool) != SLABBY_OK)
            complain("a pool with nothing out was not destroyed");
    }
}

static void read_everything(void) {
    slabby_pool_info info = {.struct_size = sizeof info};
    slabby_stats stats = {.struct_size = sizeof stats};
    uint64_t cursor = 0, count = 1;
    char *text = text_of(NULL);
    if (strcmp(text + strlen(text) - 6, "# EOF\n") != 0)
        complain("the text has no end");
    free(text);
    while (slabby_pools_next(&info, &count, &cursor) == SLABBY_OK && count == 1) {
        slabby_status status =
            slabby_get_stats(&stats, (slabby_allocator *)(uintptr_t)info.allocator_address);
        if ((status != SLABBY_OK && status != SLABBY_CLOSED) || info.label[0] == '\0')
            complain("a listed pool answers %d", status);
    }
}

/* Two threads read while two make pools and end them. */
static void come_and_go(struct worker *worker) {
    _Atomic int *ended = worker->shared;
    if (worker->index < 2) {
        make_and_end_pools(worker);
        atomic_fetch_add(ended, 1);
        return;
    }
    while (atomic_load(ended) < 2)
        read_everything();
}

/* Guards: text and list work while other threads make and destroy pools. */
static void pools_come_and_go(void **state) {
    (void)state;
    _Atomic int ended = 0;
    run_threads(4, come_and_go, &ended, test_seed());
    assert_no_thread_failed();
}

/* Guards: a child process made by fork while a thread reads has its own pools and numbers. */
static void a_child_reads_too(void **state) {
    (void)state;
    slabby_allocator *pool = named_pool("orders", 10);
    slabby_ref ref = take(pool);
    pid_t child = fork();
    if (child == 0) {
        char *text = text_of(NULL);
        _exit(value_in(text, "slabby_slabs{pool=\"orders\",state=\"live\"}") == 1 ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_STATUS(slabby_release(pool, ref), SLABBY_OK);
    finish(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_unique),          cmocka_unit_test(the_list_has_open_pools),
        cmocka_unit_test(bad_arguments_are_refused),  cmocka_unit_test(text_says_what_happened),
        cmocka_unit_test(text_of_all_groups_samples), cmocka_unit_test(text_is_cut_where_it_does_not_fit),
        cmocka_unit_test(records_say_the_same),       cmocka_unit_test(buckets_hold_what_their_limits_say),
        cmocka_unit_test(buckets_only_grow),          cmocka_unit_test(pools_come_and_go),
        cmocka_unit_test(a_child_reads_too),          cmocka_unit_test(native_buckets_end_where_the_cores_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
